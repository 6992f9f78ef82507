"""Dagster's own storage: dagster-postgres in the server that the subscriptions are in, pooled and grouped.

dagster-postgres opens a connection for every event of a run and looks at its tables' columns again for every run; here
all three storages of a process share one pool, what was once found is remembered, and events are committed in groups.
Everything else, above all what is written, is its own: an instance on the stock storage reads ours and the other way
round. `mode` in dagster.yaml chooses how much of this is used.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from dagster import DagsterEvent, Field, IntSource, StringSource

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

from resources.errors import SettingsError
from resources.runs.storage.event_log import GroupedEventLogStorage, PooledEventLogStorage
from resources.runs.storage.pool import POOL_SIZE, dagster_urls, pooled_engine, prepare, retry_when_disconnected

Parts = tuple[RunStorage[Any], EventLogStorage[Any], ScheduleStorage[Any]]


class _Pooled:
    """What the storages have in common: the process's pool in the place of a connection per use."""

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
    """Runs, through the pool. A restart of the database in the middle of a statement is nothing that a run notices."""

    def fetchall(self, query: Any) -> Sequence[Any]:
        """Read rows about runs; stock reads them through this alone,"""
        return retry_when_disconnected(partial(super().fetchall, query))

    def fetchone(self, query: Any) -> Any | None:
        """and one through this."""
        return retry_when_disconnected(partial(super().fetchone, query))

    def handle_run_event(self, run_id: str, event: DagsterEvent, update_timestamp: datetime | None = None) -> None:
        """Note in a run's row what an event says of it; twice is as once."""
        retry_when_disconnected(partial(super().handle_run_event, run_id, event, update_timestamp))

    def has_run_stats_index_cols(self) -> bool:
        """Stock looks for each run; columns once there stay."""
        return self._remembered("run_stats_index_cols", super().has_run_stats_index_cols)

    def has_backfill_id_column(self) -> bool:
        """Stock looks for each run; columns once there stay."""
        return self._remembered("backfill_id_column", super().has_backfill_id_column)

    def has_execution_plan_snapshot(self, execution_plan_snapshot_id: str) -> bool:
        """Stock reads the whole plan to see whether it is there, for each run that is created."""
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
"""How much of ours is used; for whoever suspects one of them."""


class OrchestratorStorage(DagsterStorage[Any], ConfigurableClass):
    """What dagster.yaml names. Holds the embedded server's lease, when it uses that, for the life of the process."""

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
