"""Whether the subscription database answers at all."""

import sqlalchemy as sa

from resources.database.session import SubscriptionDatabase
from resources.errors import DatabaseUnreachable


def ping(database: SubscriptionDatabase) -> None:
    """Have the database answer one small statement, whatever its schema. Raises DatabaseError; may take long."""
    try:
        with database.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        raise DatabaseUnreachable(f"The database does not answer: {type(error).__name__}.") from error
