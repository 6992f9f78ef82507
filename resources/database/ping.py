"""Tests whether the subscription database answers."""

import sqlalchemy as sa

from resources.database.session import SubscriptionDatabase
from resources.errors import DatabaseUnreachable, TransportError


def ping(database: SubscriptionDatabase) -> None:
    """Send one small statement, which needs no schema. Raises DatabaseError; may take long."""
    try:
        with database.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except (sa.exc.DBAPIError, TransportError) as error:
        raise DatabaseUnreachable(f"The database does not answer: {type(error).__name__}.") from error
