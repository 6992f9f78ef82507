"""Dagster's event log through the process's pool, committed in groups.

dagster-postgres decides what is written and read; this decides when, and through which connection.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from dagster import DagsterEventType

# A watcher gets this cursor with each event.
from dagster._core.event_api import EventLogCursor

# For these two kinds of event more than a row is written; no public path lists them.
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS

# The argument of `store_event`.
from dagster._core.events.log import EventLogEntry

# The tables, for one INSERT of many rows, and because no public call deletes old results of checks.
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster_postgres.event_log import PostgresEventLogStorage

from resources.runs.storage.event_groups import EventGroups, Row
from resources.runs.storage.event_watch import EventWatch, Handler, Records
from resources.runs.storage.pool import pooled_engine
from resources.secrecy import redacted

LINKED = frozenset({*ASSET_EVENTS, *ASSET_CHECK_EVENTS})
"""Events with rows in other tables that have the event's id: dagster-postgres writes them, one at a time."""

RUN_STATUSES = frozenset(kind for kind in DagsterEventType if kind.name.startswith("RUN_"))
BARRIERS = RUN_STATUSES | {
    DagsterEventType.STEP_START,  # next comes the op's body, which may end the process
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_UP_FOR_RETRY,
    DagsterEventType.STEP_RESTARTED,
    DagsterEventType.STEP_SKIPPED,
    DagsterEventType.RESOURCE_INIT_FAILURE,
    DagsterEventType.HOOK_ERRORED,
}
"""Events after which a run waits until they, and all events before them, are committed."""

FAILURES = frozenset({DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED})
ENDS = FAILURES | {DagsterEventType.RUN_SUCCESS}
"""Of these a run has one, the first: a worker that was taken for dead and comes back may write another."""
TOLERANT = FAILURES | {DagsterEventType.RUN_CANCELING, DagsterEventType.ENGINE_EVENT}
"""Events of a run that fails, or of others about it: an incomplete log does not stop these."""

INSERT = SqlEventLogStorageTable.insert()
"""Built once, because SQLAlchemy caches what it compiles for a statement."""

END_TYPES = [kind.value for kind in ENDS]


def _insert_end() -> sa.Insert:
    table: Any = SqlEventLogStorageTable
    columns, earlier = [column for column in table.c if column.name != "id"], table.alias()
    has_ended = sa.exists().where(earlier.c.run_id == sa.bindparam("new_run_id"))
    has_ended = has_ended.where(earlier.c.dagster_event_type.in_(END_TYPES))
    given = [sa.bindparam(f"new_{column.name}", type_=column.type) for column in columns]
    return sa.insert(table).from_select([column.name for column in columns], sa.select(*given).where(~has_ended))


INSERT_END = _insert_end()
"""Inserts the end of a run that has none."""

EVENTS_AT_ONCE = 1000
"""How many events a watcher gets in one round."""


STRUCTURE = frozenset(
    {"__class__", "__enum__", "event_type_value", "job_name", "level", "logging_tags", "node_handle", "pipeline_name"}
    | {"run_id", "step_handle", "step_key", "step_kind_value"}
)
"""Parts of an event that Dagster reads, and not people: they stay, also when a secret is a word of them."""


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item if key in STRUCTURE else _without_secrets(item) for key, item in value.items()}
    return list(map(_without_secrets, value)) if isinstance(value, list) else redacted(value)


class PooledEventLogStorage(PostgresEventLogStorage):
    """Events, each committed as it comes, through the process's pool."""

    _engine: sa.Engine

    def __init__(self, url: str, pool_size: int) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self._pool_size = pool_size
        self._engine = pooled_engine(url, pool_size)
        self._watch = EventWatch(self._records_after)

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Cut statements short (ms), as the webserver asks; it has a pool already."""
        self._engine = pooled_engine(self.postgres_url, self._pool_size, statement_timeout)

    def count_of(self, run_ids: Sequence[str]) -> int:
        """How many events these runs have."""
        columns: Any = SqlEventLogStorageTable.c
        with self._connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(columns.run_id.in_(run_ids))) or 0

    def delete_check_results(self, asset: str, checks: Sequence[str], before: datetime, limit: int) -> int:
        """Delete the oldest results, at most `limit`, of checks of these names of assets under `asset`; how many.

        The newest of each check stays. Dagster keeps all of them, also when their runs are deleted.
        """
        table: Any = AssetCheckExecutionsTable
        ours = table.c.asset_key.startswith(f'["{asset}", ', autoescape=True) & table.c.check_name.in_(checks)
        newest = sa.select(sa.func.max(table.c.id)).where(ours).group_by(table.c.asset_key, table.c.check_name)
        is_old = (
            ours & (table.c.create_timestamp < before.astimezone(UTC).replace(tzinfo=None)) & table.c.id.not_in(newest)
        )
        old = sa.select(table.c.id).where(is_old).order_by(table.c.id).limit(limit)
        with self._connect() as connection:
            return connection.execute(table.delete().where(table.c.id.in_(old))).rowcount

    def store_event(self, event: EventLogEntry) -> None:
        """Write one event in one statement: dagster-postgres adds a NOTIFY, to which this Dagster does not listen."""
        if event.is_dagster_event and event.dagster_event_type in LINKED:
            super().store_event(event)
            return
        with self._connect() as connection:
            connection.execute(*_statement([self._event_to_row(event)]))

    def _event_to_row(self, event: EventLogEntry) -> dict[str, Any]:
        """The row of an event, without the secrets that the texts in it may have: every viewer reads them."""
        row = super()._event_to_row(event)
        if redacted(row["event"]) != row["event"]:
            row["event"] = json.dumps(_without_secrets(json.loads(row["event"])))
        return row

    # --- the live log ---

    def watch(self, run_id: str, cursor: str | None, callback: Handler) -> None:
        """Call `callback` for each event after `cursor`, within a second."""
        self._watch.watch_run(run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: Handler) -> None:
        """Stop calling `handler`."""
        self._watch.unwatch_run(run_id, handler)

    def dispose(self) -> None:
        """End the watches. The pool belongs to the process and stays."""
        self._watch.close()
        super().dispose()

    def _records_after(self, run_id: str, cursor: str | None) -> Records:
        found = self.get_records_for_run(run_id, cursor, limit=EVENTS_AT_ONCE)
        events = [(one.event_log_entry, str(EventLogCursor.from_storage_id(one.storage_id))) for one in found.records]
        return events, found.cursor


class GroupedEventLogStorage(PooledEventLogStorage):
    """Events, committed in groups.

    All are committed before an op's body begins, at failures, retries, skips and each status of a run, at asset and
    asset-check events, before any read, at exit, and within 50 ms. A process that is killed loses at most these.
    """

    def __init__(self, url: str, pool_size: int) -> None:
        super().__init__(url, pool_size)
        self._groups = EventGroups(self._write, self._is_written)

    def store_event(self, event: EventLogEntry) -> None:
        """Add an event, and commit when a run waits for it. Raises EventsNotWritten, so that its run fails."""
        kind = event.dagster_event_type if event.is_dagster_event else None
        if kind in LINKED or kind in ENDS:
            self._groups.flush()  # a run succeeds only with a complete log, and its end is a statement of its own
        if kind is not None and kind not in TOLERANT:
            self._groups.raise_if_incomplete(event.run_id)
        if kind in LINKED:
            super().store_event(event)
            return
        self._groups.add(self._event_to_row(event), now=kind in BARRIERS)
        if kind in FAILURES:
            self._groups.forget_incomplete(event.run_id)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Write asset events as dagster-postgres does, after the waiting events."""
        self._groups.flush()
        super().store_event_batch(events)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[sa.Connection]:
        """The connection for reads of a run's events: commits the waiting events first."""
        self._groups.flush()
        return super().run_connection(run_id)

    def index_connection(self) -> AbstractContextManager[sa.Connection]:
        """The connection for all other reads: commits the waiting events first."""
        self._groups.flush()
        return super().index_connection()

    def dispose(self) -> None:
        """Commit all events. The storage stays usable."""
        self._groups.flush()
        super().dispose()

    # Not through `_connect`, which logs its failures: a log handler of the run may wait for what is written here.

    def _write(self, rows: Sequence[Row]) -> None:
        with self._engine.connect() as connection:
            connection.execute(*_statement(rows))

    def _is_written(self, row: Row) -> bool:
        columns: Any = SqlEventLogStorageTable.c
        found = sa.select(sa.exists().where(columns.run_id == row["run_id"], columns.event == row["event"]))
        with self._engine.connect() as connection:
            return bool(connection.scalar(found))


def _statement(rows: Sequence[Row]) -> tuple[sa.Insert, Any]:
    if len(rows) == 1 and rows[0]["dagster_event_type"] in END_TYPES:
        return INSERT_END, {f"new_{name}": value for name, value in rows[0].items()}
    return INSERT, list(rows)
