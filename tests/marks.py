"""Marks on subscriptions that tests make by hand."""

from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import SubscriptionTable


def put_out_of_sync(subscription_id: UUID) -> None:
    """Out of sync, and not by a validation. Needs a transaction."""
    table = SubscriptionTable
    current_session().execute(sa.update(table).where(table.subscription_id == subscription_id).values(insync=False))
