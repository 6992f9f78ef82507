"""Dagster's storage: dagster-postgres on the server of the subscriptions, with a pool and grouped events.

dagster-postgres opens a connection for every event of a run and reads its tables' columns again for every run. Here all
three storages of a process share one pool, remember what they have read, and commit events in groups. Everything else,
above all what is written, is that of dagster-postgres: an instance on its storage reads ours, and the other way round.
`mode` in dagster.yaml chooses how much of this is used.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from dagster import DagsterEvent, DagsterRun, Field, IntSource, StringSource

# The base class for `storage: custom:` of dagster.yaml; public in the documents, but without a public path.
from dagster._core.storage.base_storage import DagsterStorage

# The base classes of its three parts.
from dagster._core.storage.event_log.base import EventLogStorage

# As above.
from dagster._core.storage.runs.base import RunStorage

# As above.
from dagster._core.storage.schedules.base import ScheduleStorage

# The names of the tags that say in which group a run is.
from dagster._core.storage.tags import PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG

# dagster.yaml makes an object of a class with this.
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage

from resources.errors import SettingsError
from resources.runs.storage.event_log import ENDS, GroupedEventLogStorage, PooledEventLogStorage
from resources.runs.storage.pool import POOL_SIZE, dagster_urls, pooled_engine, prepare, retry_when_disconnected

Parts = tuple[RunStorage[Any], EventLogStorage[Any], ScheduleStorage[Any]]


class _Pooled:
    """A storage that uses the process's pool instead of a connection for each use."""

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
    """Runs, through the pool. A run does not notice a restart of the database in the middle of a statement."""

    def fetchall(self, query: Any) -> Sequence[Any]:
        """Read rows about runs; dagster-postgres reads them through this"""
        return retry_when_disconnected(partial(super().fetchall, query))

    def fetchone(self, query: Any) -> Any | None:
        """and `fetchone` only."""
        return retry_when_disconnected(partial(super().fetchone, query))

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Add a run. The daemon creates requested runs with the tags of their group only; Dagster's page needs the
        fields.
        """
        root, parent = dagster_run.tags.get(ROOT_RUN_ID_TAG), dagster_run.tags.get(PARENT_RUN_ID_TAG)
        if root is not None and dagster_run.root_run_id is None:
            dagster_run = dagster_run._replace(root_run_id=root, parent_run_id=parent)
        return super().add_run(dagster_run)

    def handle_run_event(self, run_id: str, event: DagsterEvent, update_timestamp: datetime | None = None) -> None:
        """Update a run's row from an event. May run twice; a run that has ended keeps its first end."""
        if event.event_type in ENDS and (run := self._get_run_by_id(run_id)) is not None and run.is_finished:
            return
        retry_when_disconnected(partial(super().handle_run_event, run_id, event, update_timestamp))

    def has_run_stats_index_cols(self) -> bool:
        """Stock looks for each run; columns once there stay."""
        return self._remembered("run_stats_index_cols", super().has_run_stats_index_cols)

    def has_backfill_id_column(self) -> bool:
        """Stock looks for each run; columns once there stay."""
        return self._remembered("backfill_id_column", super().has_backfill_id_column)

    def has_execution_plan_snapshot(self, execution_plan_snapshot_id: str) -> bool:
        """Whether a plan is stored. dagster-postgres reads the whole plan for that, for each run that is created."""
        return self._has_snapshot_id(execution_plan_snapshot_id)

    def _remembered(self, name: str, probe: Callable[[], bool]) -> bool:
        found: set[str] = self.__dict__.setdefault("_found", set())
        if name not in found and probe():
            found.add(name)
        return name in found


class PooledScheduleStorage(_Pooled, PostgresScheduleStorage):
    """Schedules, sensors and their ticks, through the pool."""


def _stock(url: str, _pool_size: int) -> Parts:
    runs, events, schedules = PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage
    return runs(url, False), events(url, False), schedules(url, False)


def _pooled(url: str, pool_size: int) -> Parts:
    return (
        PooledRunStorage(url, pool_size),
        PooledEventLogStorage(url, pool_size),
        PooledScheduleStorage(url, pool_size),
    )


def _grouped(url: str, pool_size: int) -> Parts:
    return (
        PooledRunStorage(url, pool_size),
        GroupedEventLogStorage(url, pool_size),
        PooledScheduleStorage(url, pool_size),
    )


MODES: dict[str, Callable[[str, int], Parts]] = {"stock": _stock, "pooled": _pooled, "grouped": _grouped}
"""How much of this storage is used; another mode can show whether a fault is in it."""


class OrchestratorStorage(DagsterStorage[Any], ConfigurableClass):
    """The storage that dagster.yaml names. It holds the lease of the embedded server, if used, for its life."""

    def __init__(
        self,
        postgres_url: str = "",
        pool_size: int = POOL_SIZE,
        mode: str = "grouped",
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        self._inst_data = inst_data
        if mode not in MODES:
            raise SettingsError(f"Dagster's storage has no mode `{mode}`; dagster.yaml may say {', '.join(MODES)}.")
        url, maintenance = dagster_urls(postgres_url)
        prepare(url, maintenance)
        text = url.render_as_string(hide_password=False)
        self._runs, self._events, self._schedules = MODES[mode](text, pool_size)
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The configuration, for Dagster to make the object again in another process."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """All fields have defaults."""
        return {
            "postgres_url": Field(
                StringSource,
                is_required=False,
                default_value="",
                description="DAGSTER_DATABASE_URI when empty; else beside DATABASE_URI; else in the embedded server",
            ),
            "pool_size": Field(IntSource, is_required=False, default_value=POOL_SIZE),
            "mode": Field(
                StringSource,
                is_required=False,
                default_value="grouped",
                description="stock: dagster-postgres as it is; pooled: with a connection pool; grouped: events are also"
                " committed in groups",
            ),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "OrchestratorStorage":
        return cls(inst_data=inst_data, **config_value)

    @property
    def run_storage(self) -> RunStorage[Any]:
        return self._runs

    @property
    def event_log_storage(self) -> EventLogStorage[Any]:
        return self._events

    @property
    def schedule_storage(self) -> ScheduleStorage[Any]:
        return self._schedules
