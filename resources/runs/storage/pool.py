"""Where Dagster's database is, and the one connection pool of a process for it.

dagster-postgres opens a connection for each statement. Here all storages of a process share one engine. A forked child
leaves its parent's sockets alone and opens its own, and the pool replaces a connection that the server closed before it
is used.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import DagsterPostgresException
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.pool import ConnectionPoolEntry

from resources.database.embedded import embedded_uri
from resources.database.session import (
    KEEPALIVE,
    SERVER_KEEPALIVE,
    connect_or_restart,
    lock_key,
    named,
    ping_doubtful_connections,
    place,
    postgres_url,
)
from resources.errors import DatabaseUnreachable
from resources.settings import settings

Answer = TypeVar("Answer")

APPLICATION = "dagster"
POOL_SIZE = 4
RETRY_SECONDS = 15.0
"""How long to retry; with the timeout of the last try it is longer than a restart on a busy machine."""
PAUSE_SECONDS = 0.1
OVERFLOW = 20
"""How many connections beyond the pool's size a process may open for a moment."""
CONNECT_SECONDS = 10
MAIN_TABLES = ("runs", "instance_info", "event_logs", "jobs")
"""By these tables dagster-postgres's storages see whether theirs exist."""
LOCK = "dagster tables"

_engines: dict[tuple[str, int, int], sa.Engine] = {}
_prepared: set[str] = set()
_lock = threading.RLock()


def dagster_urls(configured: str = "") -> tuple[sa.URL, sa.URL]:
    """Dagster's database, and another on the same server from which it can be created.

    Both for psycopg2: dagster-postgres does not work with psycopg 3, for which SQLAlchemy takes a plain postgresql://.
    """
    known = settings()
    if not configured and known.dagster_database_uri is not None:
        configured = known.dagster_database_uri.get_secret_value()
    if configured:
        url = postgres_url(configured, "psycopg2")
        return url, url.set(database="postgres")
    if known.database_uri is not None:
        ours = postgres_url(known.database_uri.get_secret_value(), "psycopg2")
        return ours.set(database=f"{ours.database or ours.username}_dagster"), ours
    embedded = postgres_url(embedded_uri("dagster"), "psycopg2")
    return embedded, embedded.set(database="postgres")


def prepare(url: sa.URL, maintenance: sa.URL) -> None:
    """Create the database and Dagster's tables if missing; checks once in a process. Safe in many at once."""
    text = url.render_as_string(hide_password=False)
    with _lock:
        if text not in _prepared:
            _ensure_database(url, maintenance)
            _ensure_tables(text)
            _prepared.add(text)


def pooled_engine(url: str, pool_size: int, statement_timeout: int = 0) -> sa.Engine:
    """The one engine of this process for these settings. `statement_timeout` in ms, 0: none."""
    key = (url, pool_size, statement_timeout)
    with _lock:
        if key not in _engines:
            _engines[key] = _make_engine(*key)
        return _engines[key]


def retry_when_disconnected(query: Callable[[], Answer]) -> Answer:
    """Do what may run twice, and retry it when the server ended the connection in the middle of it.

    The pool takes care of connections that were broken before. While the server refuses connections, dagster-postgres
    retries for about ten seconds, and this until `RETRY_SECONDS` are over.
    """
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return query()
        except (sa.exc.DBAPIError, DagsterPostgresException) as error:
            is_disconnected = isinstance(error, DagsterPostgresException) or error.connection_invalidated
            if not is_disconnected or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def _make_engine(url: str, pool_size: int, statement_timeout: int) -> sa.Engine:
    engine = sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",  # as in dagster-postgres: each statement is a transaction unless one is begun
        pool_size=pool_size,
        max_overflow=OVERFLOW,
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c timezone=UTC -c statement_timeout={statement_timeout} {SERVER_KEEPALIVE}",
            **KEEPALIVE,
        },
    )
    event.listen(engine, "do_connect", _connect)
    ping_doubtful_connections(engine)
    return engine


def _connect(
    dialect: Dialect, _entry: ConnectionPoolEntry, positional: tuple[Any, ...], given: dict[str, Any]
) -> DBAPIConnection:
    return connect_or_restart(dialect, positional, given | {"application_name": named(APPLICATION)})


def _ensure_database(url: sa.URL, maintenance: sa.URL) -> None:
    try:
        psycopg.connect(_conninfo(url)).close()
    except psycopg.OperationalError as error:
        if not _make_database(url, maintenance, error):
            reason = " ".join(str(error).split()).rstrip(".?")
            raise DatabaseUnreachable(
                f"Dagster's storage, {place(url)}, does not answer. {reason}."
                " Check DAGSTER_DATABASE_URI and DATABASE_URI, and that the server runs."
            ) from error


def _make_database(url: sa.URL, maintenance: sa.URL, error: psycopg.OperationalError) -> bool:
    """Create the database if only that is missing. Raises DatabaseUnreachable when the role may not create one."""
    try:
        with psycopg.connect(_conninfo(maintenance), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (url.database,)).fetchone():
                return False
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):  # another made it
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(url.database))))
    except psycopg.OperationalError:
        return False
    except psycopg.errors.InsufficientPrivilege:
        raise DatabaseUnreachable(
            f"Dagster's storage, {place(url)}, does not exist, and user {url.username} may not make it. Make it with"
            f" `createdb --owner={url.username} {url.database}`, or name another with DAGSTER_DATABASE_URI."
        ) from error
    return True


def _ensure_tables(url: str) -> None:
    """Create Dagster's tables as dagster-postgres does, but in one process at a time."""
    engine = pooled_engine(url, POOL_SIZE)
    with engine.connect() as connection:
        if _has_tables(connection):
            return
        connection.execute(sa.select(sa.func.pg_advisory_lock(lock_key(LOCK))))
        try:
            if not _has_tables(connection):
                for storage in (PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage):
                    storage(url, should_autocreate_tables=True)
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(lock_key(LOCK))))


def _has_tables(connection: sa.Connection) -> bool:
    row = connection.execute(sa.select(*(sa.func.to_regclass(table) for table in MAIN_TABLES))).one()
    return None not in row


def _conninfo(url: sa.URL) -> str:
    plain = url.set(drivername="postgresql").update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
    return plain.render_as_string(hide_password=False)


def _own_connections_after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    for engine in _engines.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_own_connections_after_fork)
