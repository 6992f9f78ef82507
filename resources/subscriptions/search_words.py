"""Finds subscriptions by the words that are stored with them, and by their values: what names no column of theirs.

All searched text is written in the transaction that changes it, so a search is always up to date.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR

from resources.database.session import current_session
from resources.database.tables import (
    CustomerDescriptionTable,
    ProductTable,
    SubscriptionMetadataTable,
    SubscriptionTable,
)
from resources.domain.saving.search_text import IDS, LONGEST_IN_RUN, RUN, fielded, parts_of, run_of, words_of
from resources.errors import InvalidQuery
from resources.subscriptions.list_fields import Condition, snake_case
from resources.subscriptions.search_query import Compare, Leaf, Phrase, Range, Word, literal
from resources.subscriptions.value_paths import fields_of, value_paths

SHORTEST_PART = 3
ID_PARTS = re.compile("([0-9a-f]{8} )?([0-9a-f]{4} )*[0-9a-f]{1,12}")
SEARCHED: Sequence[tuple[Any, Any]] = (
    (SubscriptionTable, sa.cast(SubscriptionTable.document, sa.Text)),
    (CustomerDescriptionTable, sa.cast(sa.func.to_jsonb(CustomerDescriptionTable.description), sa.Text)),
    (SubscriptionMetadataTable, sa.cast(SubscriptionMetadataTable.metadata_, sa.Text)),
)
"""The tables with words, and the JSON that the words are of."""
STORED = ("label", "subscription_instance_id", "metadata", "customer_description")


class SubscriptionWords:
    """The words of one search, which reads the products at most once."""

    def anywhere(self, leaf: Word | Phrase) -> Condition:
        """Subscriptions that have the words, or whose product has them: products are few, and read as they are now."""
        return sa.or_(by_index(leaf), self._of_product(leaf))

    def of_other_field(self, leaf: Leaf) -> Condition | None:
        """By the values of the models; else by a field that stored words have: of metadata, or of older models."""
        name = leaf.field or ""
        if fields := fields_of(name, by_index):
            return sa.or_(*(field.meets(leaf) for field in fields))
        if isinstance(leaf, Range) or (isinstance(leaf, Compare) and leaf.sign != "="):
            return None
        if snake_case(name) not in STORED and not _is_stored(name):
            return None
        return by_index(Phrase(literal(leaf.text), name) if isinstance(leaf, Compare) else leaf)

    def other_names(self) -> Iterable[str]:
        """The paths of values, and their names alone."""
        return {name for one in value_paths() for name in (one.path, one.name)} | set(STORED)

    def _of_product(self, leaf: Word | Phrase) -> Condition:
        """By the ids of products that have the words, so that PostgreSQL can tell whether an index is worth it."""
        found = [key for key, texts in self._products.items() if any(_stands_in(leaf, text) for text in texts)]
        return SubscriptionTable.product_id.in_(found) if found else sa.false()

    @cached_property
    def _products(self) -> Mapping[UUID, Sequence[str]]:
        table = ProductTable
        columns = (table.name, table.product_type, table.tag, table.description, table.product_id)
        rows = current_session().execute(sa.select(table.product_id, *columns))
        return {row[0]: [str(value) for value in row[1:]] for row in rows}


def by_index(leaf: Word | Phrase) -> Condition:
    """Words that are stored with their fields: of the subscription, of its descriptions, of its metadata."""
    field = snake_case(leaf.field) if leaf.field else None
    part = leaf.text.strip("*") if isinstance(leaf, Word) and leaf.text.startswith("*") else ""
    conditions = [_has_part(*one, part, field) if part else _has_words(one[0], leaf, field) for one in SEARCHED]
    return sa.or_(
        conditions[0], *(_owned(table, one) for (table, _), one in zip(SEARCHED[1:], conditions[1:], strict=True))
    )


def _owned(table: Any, condition: Condition) -> Condition:
    """An array that is made before the search, so that the indexes of `subscriptions` serve it like a constant."""
    owners = sa.select(table.subscription_id).where(condition).scalar_subquery()
    return SubscriptionTable.subscription_id == sa.any_(sa.func.array(owners))


def _has_words(table: Any, leaf: Word | Phrase, field: str | None) -> Condition:
    """The words one after the other, the last of a Word as a beginning; false when there are none.

    Several are found by their runs, and only what has those is compared word by word, if it need be.
    """
    words = words_of(leaf.text)
    kept = [f"'{word if field is None else fielded(field, word)}'" for word in words]
    if not kept:
        return sa.false()
    if isinstance(leaf, Word):
        kept[-1] += ":*"
    phrase = " <-> ".join(kept)
    if len(words) == 1 or (field or "") in IDS or _may_be_id(words):
        return _matches(table, phrase)
    by_runs = _matches(table, _runs(words, is_beginning=isinstance(leaf, Word)))
    if field is None and len(words) <= RUN and max(map(len, words)) <= LONGEST_IN_RUN:
        return by_runs
    # Not of the column itself, whose index would be read for each word.
    exactly = sa.func.coalesce(table.search, sa.cast("", TSVECTOR)).bool_op("@@")(sa.cast(phrase, TSQUERY))
    return sa.and_(by_runs, exactly)


def _may_be_id(words: Sequence[str]) -> bool:
    """Whether words may be those of an id, from the first or within it; these are not stored in runs."""
    return ID_PARTS.fullmatch(" ".join(words)) is not None


def _runs(words: Sequence[str], *, is_beginning: bool) -> str:
    """The runs that follow one another in the words; the last may have more behind it."""
    runs = [run_of(words[at : at + RUN]) for at in range(max(len(words) - RUN, 0) + 1)]
    last = f"'{runs[-1]}':*" if is_beginning else f"'{runs[-1]}'"
    if not is_beginning and len(words) < RUN:
        last = f"({last} | '{runs[-1]} ':*)"
    return " & ".join([*(f"'{run}'" for run in runs[:-1]), last])


def _has_part(table: Any, text: Any, part: str, field: str | None) -> Condition:
    """Three characters at a time by the index, then exactly: within stored words, or in the text across them."""
    first, *others = words_of(part) or [""]
    if not others and len(first) < SHORTEST_PART:
        raise InvalidQuery(
            f"`*{part}*` asks for a part of a word; that has {SHORTEST_PART} letters or digits at least."
        )
    before = "[^':~]*" if field is None else f"{fielded(field, '')}[^']*"
    quote = "'" if others else ""  # the first of several words ends there
    exactly = [sa.cast(table.search, sa.Text).regexp_match(f"'{before}{first}{quote}")]
    if part.lower() != first and field is None and part.isascii():  # whose case every database folds alike
        exactly = [sa.func.lower(text).contains(json.dumps(part.lower())[1:-1], autoescape=True)]
    kept = [word if field is None else fielded(field, word) for word in others]
    known = parts_of(first) | {f"'{word}'" for word in kept[:-1]} | {f"'{word}':*" for word in kept[-1:]}
    return sa.and_(_matches(table, " & ".join(sorted(known))), *exactly)


def _matches(table: Any, query: str) -> Condition:
    condition: Condition = table.search.bool_op("@@")(sa.cast(query, TSQUERY))
    return condition


def _is_stored(name: str) -> bool:
    """Whether any stored word has this field; the indexes of words answer."""
    query = f"'{fielded(snake_case(name), '')}':*"
    known = (sa.select(table.subscription_id).where(_matches(table, query)).exists() for table, _ in SEARCHED)
    return bool(current_session().scalar(sa.select(sa.or_(*known))))


def _stands_in(leaf: Word | Phrase, text: str) -> bool:
    """Whether a text has these words one after the other, the last of a Word as a beginning."""
    if isinstance(leaf, Word) and leaf.text.startswith("*"):
        part = leaf.text.strip("*").lower()
        return bool(part) and part in text.lower()
    words = words_of(text)
    *before, last = words_of(leaf.text) or [""]
    if not last:
        return False
    for at in range(len(words) - len(before)):
        behind = words[at + len(before)]
        is_last = behind == last if isinstance(leaf, Phrase) else behind.startswith(last)
        if is_last and list(words[at : at + len(before)]) == before:
            return True
    return False
