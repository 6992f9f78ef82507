"""The index by which subscriptions are found, made again from what they are.

Each save writes the words of what it saves, so there is nothing to do as a rule: only what was written by hand, or by a
version that knew other words, is found wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import InstrumentedAttribute

from resources.database import SubscriptionDatabase, current_session
from resources.documents import Document
from resources.search_text import json_pairs, search_vector, vector
from resources.tables import CustomerDescriptionTable, SubscriptionMetadataTable, SubscriptionTable

BATCH = 500
"""Rows in one transaction; as long a save of one of them waits."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many subscriptions there are, and how many entries of the index were wrong: theirs, and those of their
    metadata and of what customers call them.
    """

    subscriptions: int
    corrected: int


@dataclass(frozen=True, slots=True)
class _Indexed:
    """A table whose `search` is made from one of its columns."""

    table: type[SubscriptionTable | SubscriptionMetadataTable | CustomerDescriptionTable]
    key: InstrumentedAttribute[UUID]
    source: InstrumentedAttribute[Any]
    make: Callable[[Any], str | None]


def _of_document(document: Document) -> str | None:
    return search_vector(document) if document else None


INDEXED = (
    _Indexed(SubscriptionTable, SubscriptionTable.subscription_id, SubscriptionTable.document, _of_document),
    _Indexed(
        SubscriptionMetadataTable,
        SubscriptionMetadataTable.subscription_id,
        SubscriptionMetadataTable.metadata_,
        lambda metadata: vector(json_pairs("metadata", metadata)),
    ),
    _Indexed(
        CustomerDescriptionTable,
        CustomerDescriptionTable.id,
        CustomerDescriptionTable.description,
        lambda description: vector([("customer_description", description)]),
    ),
)


def rebuild(database: SubscriptionDatabase) -> Rebuilt:
    """Make every entry again. Commits each batch; may run twice, and beside everything else.

    Two statements per batch, and one more per table.
    """
    counts = {indexed.table: _rebuild(indexed, database) for indexed in INDEXED}
    return Rebuilt(counts[SubscriptionTable][0], sum(corrected for _, corrected in counts.values()))


def _rebuild(indexed: _Indexed, database: SubscriptionDatabase) -> tuple[int, int]:
    """How many rows there are, and how many of them were corrected."""
    seen = corrected = 0
    last: UUID | None = None
    while True:
        with database.transaction():
            rows = _hold_batch(indexed, last)
            if not rows:
                return seen, corrected
            corrected += _correct(indexed, {key: indexed.make(source) for key, source in rows})
        seen, last = seen + len(rows), rows[-1][0]


def _hold_batch(indexed: _Indexed, after: UUID | None) -> list[tuple[UUID, Any]]:
    """The next rows in the order of their keys, which nobody else changes until the end of the transaction."""
    query = sa.select(indexed.key, indexed.source).order_by(indexed.key).limit(BATCH).with_for_update(key_share=True)
    if after is not None:
        query = query.where(indexed.key > after)
    return [(key, source) for key, source in current_session().execute(query)]


def _correct(indexed: _Indexed, entries: dict[UUID, str | None]) -> int:
    """Write those that differ; how many."""
    made = (
        sa.func.unnest(sa.literal(list(entries), ARRAY(sa.Uuid)), sa.literal(list(entries.values()), ARRAY(sa.Text)))
        .table_valued(sa.column("key", sa.Uuid), sa.column("words", sa.Text))
        .render_derived("made")
    )
    search = sa.cast(made.c.words, TSVECTOR)
    statement = (
        sa.update(indexed.table)
        .where(indexed.key == made.c.key, indexed.table.search.is_distinct_from(search))
        .values(search=search)
        .returning(indexed.key)
        .execution_options(synchronize_session=False)
    )
    return len(current_session().execute(statement).all())
