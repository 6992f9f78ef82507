"""The index by which subscriptions are found, made again from what they are.

Each save writes the words of its subscription, so there is nothing to do as a rule: only what was written by hand, or
by a version that knew other words, is found wrong.
"""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from resources.database import SubscriptionDatabase, current_session
from resources.queries import subscription_ids
from resources.search_text import search_text
from resources.tables import SubscriptionTable

BATCH = 500
"""Subscriptions in one transaction; as long a save of one of them waits."""

_WRITE = sa.text(
    """
    UPDATE subscriptions s SET search = made.search FROM (
        SELECT subscription_id, to_tsvector('simple', text) AS search
        FROM unnest(:ids, :texts) AS given (subscription_id, text)
    ) AS made
    WHERE made.subscription_id = s.subscription_id AND s.search IS DISTINCT FROM made.search
    RETURNING s.subscription_id
    """
).bindparams(sa.bindparam("ids", type_=ARRAY(sa.Uuid)), sa.bindparam("texts", type_=ARRAY(sa.Text)))


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many subscriptions were looked at, and of how many the words were wrong."""

    subscriptions: int
    corrected: int


def rebuild(database: SubscriptionDatabase) -> Rebuilt:
    """Make the words of every subscription again. Commits each batch; may run twice, and beside everything else.

    Three statements per batch.
    """
    seen = corrected = 0
    last: UUID | None = None
    while True:
        with database.transaction():
            ids = subscription_ids(after=last, limit=BATCH)
            if not ids:
                return Rebuilt(seen, corrected)
            corrected += _correct(ids)
        seen, last = seen + len(ids), ids[-1]


def _correct(ids: list[UUID]) -> int:
    table = SubscriptionTable
    rows = (
        current_session()
        .execute(
            sa.select(table.subscription_id, table.document)
            .where(table.subscription_id.in_(ids))
            .order_by(table.subscription_id)
            .with_for_update(key_share=True)
        )
        .all()
    )
    texts = [search_text(row.document) for row in rows]
    written = current_session().execute(_WRITE, {"ids": [row.subscription_id for row in rows], "texts": texts})
    return len(written.all())
