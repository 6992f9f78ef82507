"""Which subscriptions a search finds: the query language as a condition that the indexes answer.

Whatever is searched is written in the transaction that changes it, so a search is right at once.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY

from resources.errors import InvalidQuery
from resources.search_query import And, Node, Not, Or, Phrase, Word, parse
from resources.search_text import fielded, words_of
from resources.tables import CustomerDescriptionTable, ProductTable, SubscriptionMetadataTable, SubscriptionTable
from resources.types import SubscriptionLifecycle

Condition: TypeAlias = sa.ColumnElement[bool]
Leaf: TypeAlias = Word | Phrase

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "product": "product_name",
        "type": "product_type",
        "tag": "product_tag",
        "customer": "customer_id",
        "id": "subscription_id",
        "in_sync": "insync",
    }
)
PRODUCT_COLUMNS: Mapping[str, Any] = MappingProxyType(
    {
        "product_name": ProductTable.name,
        "product_type": ProductTable.product_type,
        "product_tag": ProductTable.tag,
        "product_description": ProductTable.description,
        "product_status": ProductTable.status,
        "product_id": sa.cast(ProductTable.product_id, sa.Text),
    }
)
PRODUCT_WORDS = tuple(column for name, column in PRODUCT_COLUMNS.items() if name != "product_status")
"""Where a word without a field is looked for; `active` does not mean the product."""
DATES: Mapping[str, Any] = MappingProxyType(
    {
        "start_date": SubscriptionTable.start_date,
        "end_date": SubscriptionTable.end_date,
        "created_at": SubscriptionTable.created_at,
    }
)
BOOLEANS: Mapping[str, bool] = MappingProxyType(
    {"true": True, "yes": True, "1": True} | dict.fromkeys(("false", "no", "0"), False)
)
DATE = re.compile(r"(>=|<=|>|<|=)?\s*(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?", re.ASCII)
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SEPARATOR = r"[\x01-/:-@\[-`{-\x7f]"
"""In a regular expression of PostgreSQL: what stands between words, as `words_of` cuts them."""


def search_condition(text: str) -> Condition:
    """The condition on `subscriptions` that a search stands for; all of them when it is blank.

    Raises InvalidQuery for a search that is too long, and for a value that its field cannot have.
    """
    node = parse(text)
    return sa.true() if node is None else _condition(node)


def words_condition(text: str) -> Condition:
    """Subscriptions that have all these words, or words that begin so; whatever signs are between them."""
    words = text.split()
    return sa.and_(*(_anywhere(Word(word)) for word in words)) if words else sa.false()


def _condition(node: Node) -> Condition:
    match node:
        case And(nodes):
            return sa.and_(*map(_condition, nodes))
        case Or(nodes):
            return sa.or_(*map(_condition, nodes))
        case Not(inner):
            return _condition(inner).is_not(True)
        case Word() | Phrase():
            return _leaf(node)


def _leaf(leaf: Leaf) -> Condition:
    if leaf.field is None:
        return _anywhere(leaf)
    field = CAMEL.sub("_", leaf.field).lower()
    field = ALIASES.get(field, field)
    if (special := SPECIAL.get(field)) is not None:
        return special(leaf.text)
    if field in DATES:
        return date_condition(DATES[field], leaf.text)
    if field in PRODUCT_COLUMNS:
        return _of_product(leaf, (PRODUCT_COLUMNS[field],))
    return _by_index(leaf, field)


def _anywhere(leaf: Leaf) -> Condition:
    return sa.or_(_by_index(leaf, None), _of_product(leaf, PRODUCT_WORDS))


def _by_index(leaf: Leaf, field: str | None) -> Condition:
    """Words that are kept with their fields: of the subscription, of its descriptions, of its metadata."""
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
    """An array made before the search, so that the indexes of `subscriptions` serve it like any constant."""
    return sa.select(table.subscription_id).where(table.search.bool_op("@@")(query)).scalar_subquery()


def _of_product(leaf: Leaf, columns: tuple[Any, ...]) -> Condition:
    """The words in the product as it is called now; there are few products."""
    words = words_of(leaf.text)
    if not words:
        return sa.false()
    end = f"($|{SEPARATOR})" if isinstance(leaf, Phrase) else ""
    pattern = f"(^|{SEPARATOR}){f'{SEPARATOR}+'.join(words)}{end}"
    found = sa.or_(*(column.regexp_match(pattern, flags="i") for column in columns))
    products = sa.select(ProductTable.product_id).where(found).scalar_subquery()
    return SubscriptionTable.product_id == sa.any_(sa.func.array(products))


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
        raise InvalidQuery(f"'{text}' is no date; expected one like 2024-05-31 or >=2024-05-31.") from None
    match found[1]:
        case ">=":
            return column >= first  # type: ignore[no-any-return]
        case ">":
            return column >= after  # type: ignore[no-any-return]
        case "<":
            return column < first  # type: ignore[no-any-return]
        case "<=":
            return column < after  # type: ignore[no-any-return]
    return sa.and_(column >= first, column < after)


def _span(year: int, month: int, day: int) -> tuple[datetime, datetime]:
    """The first moment of it, and the first after it; 0 is for what was not said. Raises ValueError, OverflowError."""
    if day:
        first = date(year, month, day)
        return _midnight(first), _midnight(first + timedelta(days=1))
    if month:
        return _midnight(date(year, month, 1)), _midnight(date(year + month // 12, month % 12 + 1, 1))
    return _midnight(date(year, 1, 1)), _midnight(date(year + 1, 1, 1))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
