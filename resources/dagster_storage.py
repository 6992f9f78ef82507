"""Dagster's own storage: dagster-postgres in the server that the subscriptions are in, with a connection pool.

dagster-postgres opens a connection for every event of a run and looks at its tables' columns again for every run; here
all three storages of a process share one pool, and what was once found is remembered. Everything else, above all
what is written, is its own: an instance on the stock storage reads ours and the other way round.
"""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psycopg
import sqlalchemy as sa
from dagster import Field, IntSource, StringSource

# The two kinds of event of which more than a row is written; their lists are nowhere else.
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS

# What `store_event` is given.
from dagster._core.events.log import EventLogEntry

# What `storage: custom:` of dagster.yaml must be; documented as public, but without a public path.
from dagster._core.storage.base_storage import DagsterStorage

# What its three parts must be.
from dagster._core.storage.event_log.base import EventLogStorage

# As above.
from dagster._core.storage.runs.base import RunStorage

# As above.
from dagster._core.storage.schedules.base import ScheduleStorage

# How dagster.yaml makes an object of a class.
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.pool import ConnectionPoolEntry

from resources.database import connect_or_revive, lock_key, place, postgres_url, try_idle_connections
from resources.embedded import embedded_uri
from resources.errors import DatabaseUnreachable
from resources.settings import settings

POOL_SIZE = 4
OVERFLOW = 20
"""Connections beyond the pool's size that one process may open for a moment."""
CONNECT_SECONDS = 10
MAIN_TABLES = ("runs", "instance_info", "event_logs", "jobs")
"""The tables by which dagster-postgres's storages see whether theirs are made."""
LOCK = "dagster tables"

_engines: dict[tuple[str, int, int], sa.Engine] = {}
_prepared: set[str] = set()
_guard = threading.RLock()


class _Pooled:
    """What the three storages have in common: the process's pool in the place of a connection per use."""

    postgres_url: str
    _engine: sa.Engine

    def __init__(self, url: str, pool_size: int) -> None:
        super().__init__(url, should_autocreate_tables=False)  # type: ignore[call-arg]
        self._pool_size = pool_size
        self._engine = pooled_engine(url, pool_size)

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Cut statements short (ms), as the webserver asks; it has a pool already."""
        self._engine = pooled_engine(self.postgres_url, self._pool_size, statement_timeout)


class PooledRunStorage(_Pooled, PostgresRunStorage):
    """Runs, through the pool."""

    def has_run_stats_index_cols(self) -> bool:
        """Stock looks for each run; columns once there stay."""
        return self._remembered("run_stats_index_cols", super().has_run_stats_index_cols)

    def has_backfill_id_column(self) -> bool:
        """Stock looks for each run; columns once there stay."""
        return self._remembered("backfill_id_column", super().has_backfill_id_column)

    def _remembered(self, name: str, probe: Callable[[], bool]) -> bool:
        found: set[str] = self.__dict__.setdefault("_found", set())
        if name not in found and probe():
            found.add(name)
        return name in found


class PooledEventLogStorage(_Pooled, PostgresEventLogStorage):
    """Events, through the pool."""

    def store_event(self, event: EventLogEntry) -> None:
        """Write one event, in one statement: stock adds a NOTIFY that no Dagster of this version listens to.

        The seam for batches: rows gather here and are written before an op's body, at each status of a run, and before
        any read (`run_connection`, `index_connection`).
        """
        if event.is_dagster_event and event.dagster_event_type in {*ASSET_EVENTS, *ASSET_CHECK_EVENTS}:
            super().store_event(event)
            return
        with self._connect() as connection:
            connection.execute(self.prepare_insert_event(event))


class PooledScheduleStorage(_Pooled, PostgresScheduleStorage):
    """Schedules, sensors and their ticks, through the pool."""


class OrchestratorStorage(DagsterStorage[Any], ConfigurableClass):
    """What dagster.yaml names. Holds the embedded server's lease, when it uses that, for the life of the process."""

    def __init__(
        self, postgres_url: str = "", pool_size: int = POOL_SIZE, inst_data: ConfigurableClassData | None = None
    ) -> None:
        self._inst_data = inst_data
        url, maintenance = dagster_urls(postgres_url)
        prepare(url, maintenance)
        text = url.render_as_string(hide_password=False)
        self._runs = PooledRunStorage(text, pool_size)
        self._events = PooledEventLogStorage(text, pool_size)
        self._schedules = PooledScheduleStorage(text, pool_size)
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What this was made of, for Dagster to make it again in another process."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing has to be configured."""
        return {
            "postgres_url": Field(
                StringSource,
                is_required=False,
                default_value="",
                description="DAGSTER_DATABASE_URI when empty; else beside DATABASE_URI; else in the embedded server",
            ),
            "pool_size": Field(IntSource, is_required=False, default_value=POOL_SIZE),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "OrchestratorStorage":
        """Dagster's way to make one."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def run_storage(self) -> RunStorage[Any]:
        """Runs."""
        return self._runs

    @property
    def event_log_storage(self) -> EventLogStorage[Any]:
        """Events."""
        return self._events

    @property
    def schedule_storage(self) -> ScheduleStorage[Any]:
        """Schedules, sensors and their ticks."""
        return self._schedules


def dagster_urls(configured: str = "") -> tuple[sa.URL, sa.URL]:
    """Dagster's database, and another on the same server from which it can be made when it is missing.

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
    """Make the database and Dagster's tables where they are missing; looks once in a process. Safe in many at once."""
    text = url.render_as_string(hide_password=False)
    with _guard:
        if text not in _prepared:
            _ensure_database(url, maintenance)
            _ensure_tables(text)
            _prepared.add(text)


def pooled_engine(url: str, pool_size: int, statement_timeout: int = 0) -> sa.Engine:
    """The one engine of this process for these settings. `statement_timeout` in ms, 0: none."""
    key = (url, pool_size, statement_timeout)
    with _guard:
        if key not in _engines:
            _engines[key] = _make_engine(*key)
        return _engines[key]


def _make_engine(url: str, pool_size: int, statement_timeout: int) -> sa.Engine:
    engine = sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",  # as stock: each statement is a transaction unless one is begun
        pool_size=pool_size,
        max_overflow=OVERFLOW,
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "dagster",
            "options": f"-c timezone=UTC -c statement_timeout={statement_timeout}",
        },
    )
    event.listen(engine, "do_connect", _connect)
    try_idle_connections(engine)
    return engine


def _connect(
    dialect: Dialect, _entry: ConnectionPoolEntry, positional: tuple[Any, ...], named: dict[str, Any]
) -> DBAPIConnection:
    return connect_or_revive(dialect, positional, named)


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
    """Make the database if that is all that is wrong. Raises DatabaseUnreachable when the role may not."""
    try:
        with psycopg.connect(_conninfo(maintenance), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (url.database,)).fetchone():
                return False
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):  # another was first
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
    """Make Dagster's tables as dagster-postgres makes them, but one process at a time."""
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
    global _guard
    _guard = threading.RLock()
    for engine in _engines.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_own_connections_after_fork)
