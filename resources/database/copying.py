"""Inserts many rows at once, by PostgreSQL's COPY."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from resources.database.session import SubscriptionDatabase, current_session
from resources.database.tables import Table


def copy_rows(table: type[Table], columns: Collection[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows in the current transaction; dicts and lists become JSON, other columns get their defaults.

    Needs a session on PostgreSQL through psycopg. Raises what an INSERT of the rows would.
    """
    session = current_session()
    connection = session.connection().connection.driver_connection
    assert connection is not None, "a session in a transaction has a connection"
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    command = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.__tablename__), names)
    try:
        with connection.cursor() as cursor, cursor.copy(command) as copy:
            for row in rows:
                copy.write_row([json.dumps(one) if isinstance(one, dict | list) else one for one in row])
    except psycopg.IntegrityError as error:  # which SQLAlchemy, that does not know of the COPY, does not see
        raise sa.exc.IntegrityError(f"COPY {table.__tablename__}", None, error) from error


def vacuum(database: SubscriptionDatabase) -> None:
    """Let indexes alone answer from now on, and plans fit, after many rows have come: autovacuum takes its time."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))
