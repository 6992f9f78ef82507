"""Searches subscriptions: turns the query language into a condition that indexes answer.

All searched text is written in the transaction that changes it, so a search is always up to date.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY

from resources.database.session import current_session
from resources.database.tables import (
    CustomerDescriptionTable,
    ProductTable,
    SubscriptionMetadataTable,
    SubscriptionTable,
)
from resources.domain.saving.search_text import fielded, words_of
from resources.errors import InvalidQuery
from resources.subscriptions.list_fields import Condition, Kind, snake_case, span_condition
from resources.subscriptions.search_query import And, Node, Not, Or, Phrase, Word, parse
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from resources.types import SubscriptionLifecycle

Leaf: TypeAlias = Word | Phrase

ALIASES = MappingProxyType({other: field.key for field in SUBSCRIPTION_FIELDS.fields for other in field.also})
DATES = MappingProxyType({one.key: one.column for one in SUBSCRIPTION_FIELDS.fields if one.kind is Kind.MOMENT})
PRODUCT_FIELDS = ("product_name", "product_type", "product_tag", "product_description", "product_id", "product_status")
PRODUCT_WORDS = PRODUCT_FIELDS[:-1]
"""The product's fields that a word without a field searches; `active` does not mean the product."""
BOOLEANS: Mapping[str, bool] = MappingProxyType(
    {"true": True, "yes": True, "1": True} | dict.fromkeys(("false", "no", "0"), False)
)
DATE = re.compile(r"(>=|<=|>|<|=)?\s*(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?", re.ASCII)


def search_condition(text: str) -> Condition:
    """The condition on `subscriptions` of a search; all of them when it is blank.

    It reads the products if words may be theirs: they are few, and their present names count. Raises InvalidQuery for a
    search that is too long, and for a value that its field cannot have.
    """
    node = parse(text)
    return sa.true() if node is None else _Search().condition(node)


def words_condition(text: str) -> Condition:
    """Subscriptions that have all these words, or words that begin so, whatever signs are between them."""
    search = _Search()
    words = text.split()
    return sa.and_(*(search.condition(Word(word)) for word in words)) if words else sa.false()


class _Search:
    """A search, which reads the products at most once."""

    def condition(self, node: Node) -> Condition:
        match node:
            case And(nodes):
                return sa.and_(*map(self.condition, nodes))
            case Or(nodes):
                return sa.or_(*map(self.condition, nodes))
            case Not(inner):
                return self.condition(inner).is_not(True)
            case Word() | Phrase():
                return self._leaf(node)

    def _leaf(self, leaf: Leaf) -> Condition:
        if leaf.field is None:
            return sa.or_(_by_index(leaf, None), self._of_product(leaf, PRODUCT_WORDS))
        field = snake_case(leaf.field)
        field = ALIASES.get(field, field)
        if (special := SPECIAL.get(field)) is not None:
            return special(leaf.text)
        if field in DATES:
            return date_condition(DATES[field], leaf.text)
        if field in PRODUCT_FIELDS:
            return self._of_product(leaf, (field,))
        return _by_index(leaf, field)

    def _of_product(self, leaf: Leaf, fields: Sequence[str]) -> Condition:
        """By the ids of products that have the words, so that PostgreSQL can tell whether an index is worth it."""
        found = [key for key, texts in self._products.items() if any(_stands_in(leaf, texts[each]) for each in fields)]
        return SubscriptionTable.product_id.in_(found) if found else sa.false()

    @cached_property
    def _products(self) -> Mapping[UUID, Mapping[str, list[str]]]:
        """The words of each product by field."""
        table = ProductTable
        columns = (table.name, table.product_type, table.tag, table.description, table.product_id, table.status)
        rows = current_session().execute(sa.select(table.product_id, *columns))
        return {
            row[0]: {field: words_of(str(value)) for field, value in zip(PRODUCT_FIELDS, row[1:], strict=True)}
            for row in rows
        }


def _stands_in(leaf: Leaf, words: Sequence[str]) -> bool:
    """Whether these words contain those of the leaf one after the other, the last of a Word as a beginning."""
    *before, last = words_of(leaf.text) or [""]
    if not last:
        return False
    for at in range(len(words) - len(before)):
        behind = words[at + len(before)]
        is_last = behind == last if isinstance(leaf, Phrase) else behind.startswith(last)
        if is_last and list(words[at : at + len(before)]) == before:
            return True
    return False


def _by_index(leaf: Leaf, field: str | None) -> Condition:
    """Words that are stored with their fields: of the subscription, of its descriptions, of its metadata."""
    query = _tsquery(leaf, field)
    if query is None:
        return sa.false()
    subscription = SubscriptionTable
    beside = (
        subscription.subscription_id == sa.any_(sa.func.array(_owners(table, query)))
        for table in (CustomerDescriptionTable, SubscriptionMetadataTable)
    )
    return sa.or_(subscription.search.bool_op("@@")(query), *beside)


def _owners(table: Any, query: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
    """An array that is made before the search, so that the indexes of `subscriptions` serve it like a constant."""
    return sa.select(table.subscription_id).where(table.search.bool_op("@@")(query)).scalar_subquery()


def _tsquery(leaf: Leaf, field: str | None) -> sa.ColumnElement[Any] | None:
    """The words one after the other, the last of a Word as a beginning; None when there are none."""
    words = words_of(leaf.text)
    kept = [f"'{word if field is None else fielded(field, word)}'" for word in words]
    if not kept:
        return None
    if isinstance(leaf, Word):
        kept[-1] += ":*"
    return sa.cast(" <-> ".join(kept), TSQUERY)


def _status(text: str) -> Condition:
    found = [status.value for status in SubscriptionLifecycle if text and status.value.startswith(text.lower())]
    if not found:
        known = ", ".join(SubscriptionLifecycle)
        raise InvalidQuery(f"No subscription has a status that begins with '{text}'; there are {known}.")
    return SubscriptionTable.status.in_(found)


def _insync(text: str) -> Condition:
    wanted = BOOLEANS.get(text.lower())
    if wanted is None:
        raise InvalidQuery(f"`insync` is true or false, not '{text}'.")
    return sa.and_(SubscriptionTable.insync) if wanted else sa.not_(SubscriptionTable.insync)


SPECIAL: Mapping[str, Callable[[str], Condition]] = MappingProxyType({"status": _status, "insync": _insync})


def date_condition(column: Any, text: str) -> Condition:
    """A day, a month or a year (`2024-05-31`, `2024-05`, `2024`), in UTC; `>`, `>=`, `<` and `<=` before it compare."""
    found = DATE.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        first, after = _span(int(found[2]), int(found[3] or 0), int(found[4] or 0))
    except (ValueError, OverflowError):
        raise InvalidQuery(f"'{text}' is not a date; expected one like 2024-05-31 or >=2024-05-31.") from None
    return span_condition(column, found[1], first, after)


def _span(year: int, month: int, day: int) -> tuple[datetime, datetime]:
    """Its first moment, and the first after it; 0 stands for a missing part. Raises ValueError, OverflowError."""
    if day:
        first = date(year, month, day)
        return _midnight(first), _midnight(first + timedelta(days=1))
    if month:
        return _midnight(date(year, month, 1)), _midnight(date(year + month // 12, month % 12 + 1, 1))
    return _midnight(date(year, 1, 1)), _midnight(date(year + 1, 1, 1))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
