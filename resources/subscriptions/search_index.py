"""Rebuilds the index by which subscriptions are found.

Each change writes its own words, so this is necessary only for rows that were written by hand, or by a version with
other words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR

from resources.database.session import SubscriptionDatabase, current_session
from resources.database.tables import CustomerDescriptionTable, SubscriptionMetadataTable, SubscriptionTable
from resources.domain.saving.search_text import description_vector, metadata_vector, search_vector

BATCH = 500
"""Rows of one transaction; a save of one of them waits so long."""


@dataclass(frozen=True)
class _Searched:
    """A table whose rows are found by words: the column, and how its words are made."""

    key: Any
    source: Any
    search: Any
    words: Callable[[Any], str]


SEARCHED = (
    _Searched(SubscriptionTable.subscription_id, SubscriptionTable.document, SubscriptionTable.search, search_vector),
    _Searched(
        SubscriptionMetadataTable.subscription_id,
        SubscriptionMetadataTable.metadata_,
        SubscriptionMetadataTable.search,
        metadata_vector,
    ),
    _Searched(
        CustomerDescriptionTable.id,
        CustomerDescriptionTable.description,
        CustomerDescriptionTable.search,
        description_vector,
    ),
)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many subscriptions were checked, and how many rows of theirs, in whatever table, had wrong words."""

    subscriptions: int
    corrected: int


def rebuild(database: SubscriptionDatabase) -> Rebuilt:
    """Make all words again. Commits each batch; may run twice, and at any time."""
    done = [_rebuild(database, table) for table in SEARCHED]
    return Rebuilt(done[0][0], sum(corrected for _, corrected in done))


def _rebuild(database: SubscriptionDatabase, table: _Searched) -> tuple[int, int]:
    seen = corrected = 0
    last: Any = None
    while True:
        with database.transaction():
            rows = _next(table, last)
            if not rows:
                return seen, corrected
            corrected += _correct(table, rows)
        seen, last = seen + len(rows), rows[-1][0]


def _next(table: _Searched, last: Any) -> list[tuple[Any, Any]]:
    query = sa.select(table.key, table.source).order_by(table.key).limit(BATCH).with_for_update(key_share=True)
    if last is not None:
        query = query.where(table.key > last)
    return [(row[0], row[1]) for row in current_session().execute(query)]


def _correct(table: _Searched, rows: list[tuple[Any, Any]]) -> int:
    made = sa.values(sa.column("key", sa.Uuid), sa.column("words", sa.Text), name="made").data(
        [(key, table.words(source)) for key, source in rows]
    )
    words = sa.cast(made.c.words, TSVECTOR)
    update = (
        sa.update(table.key.class_)
        .where(table.key == made.c.key, table.search.is_distinct_from(words))
        .values(search=words)
        .returning(table.key)
    )
    return len(current_session().execute(update, execution_options={"synchronize_session": False}).all())
