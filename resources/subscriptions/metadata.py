"""Free JSON about a subscription, for an organisation's own code, without workflows and versions."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR, insert

from resources.database.session import current_session
from resources.database.tables import SubscriptionMetadataTable, SubscriptionTable
from resources.domain.saving.search_text import metadata_vector
from resources.errors import UnknownSubscription
from resources.types import SubscriptionId


def read_metadata(subscription_id: SubscriptionId) -> dict[str, Any]:
    """The metadata; empty when none was written."""
    table = SubscriptionMetadataTable
    query = sa.select(table.metadata_).where(table.subscription_id == subscription_id)
    return current_session().scalar(query) or {}


def write_metadata(subscription_id: SubscriptionId, metadata: dict[str, Any]) -> None:
    """Replace the whole metadata; may run twice. Raises UnknownSubscription."""
    table = SubscriptionMetadataTable.__table__
    known = sa.select(
        SubscriptionTable.subscription_id,
        sa.literal(metadata, SubscriptionMetadataTable.metadata_.type),
        sa.cast(metadata_vector(metadata), TSVECTOR),
    ).where(SubscriptionTable.subscription_id == subscription_id)
    statement = insert(SubscriptionMetadataTable).from_select(["subscription_id", "metadata", "search"], known)
    upsert = statement.on_conflict_do_update(
        index_elements=["subscription_id"],
        set_={name: statement.excluded[name] for name in ("metadata", "search")},
    ).returning(table.c.subscription_id)
    if current_session().execute(upsert).first() is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
