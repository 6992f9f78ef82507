"""Fixtures that most tests use, besides those of the public plugins."""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from sqlalchemy.orm import Session

from resources.database import lease
from resources.database.embedded import EmbeddedServer
from resources.database.session import StatementCount, SubscriptionDatabase, statement_counter
from resources.database.throwaway import KeptDatabase, administer, fresh_database, has_database
from resources.runs.workers.liveness import release_idle
from resources.testing import restore

DAGSTER_TEMPLATE = "template_dagster"


@pytest.fixture(scope="session")
def worker_database(server: EmbeddedServer) -> Iterator[SubscriptionDatabase]:
    """The database of this worker, in which nothing is ever committed."""
    with fresh_database(server) as database:
        yield database


@pytest.fixture
def session(worker_database: SubscriptionDatabase) -> Iterator[Session]:
    """The current session, whose transaction is rolled back after the test."""
    with worker_database.transaction() as session:
        yield session
        session.rollback()


@pytest.fixture
def statements(request: pytest.FixtureRequest) -> Iterator[StatementCount]:
    """The statements sent to the test's database since the fixture was made or cleared."""
    name = "database" if "database" in request.fixturenames else "worker_database"
    database: SubscriptionDatabase = request.getfixturevalue(name)
    with statement_counter(database.engine) as counted:
        yield counted


@pytest.fixture(scope="session")
def kept_dagster_database(server: EmbeddedServer) -> Iterator[KeptDatabase]:
    """The database of this worker's Dagster, with the tables that dagster-postgres makes."""
    with lease.mutex(server.home / "template_dagster"):
        if not has_database(server, DAGSTER_TEMPLATE):
            administer(server, "CREATE DATABASE {}", DAGSTER_TEMPLATE)
            for storage in (PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage):
                storage(server.uri(DAGSTER_TEMPLATE))
    kept = KeptDatabase(server, DAGSTER_TEMPLATE)
    yield kept
    kept.close()


@pytest.fixture
def dagster_instance(
    kept_dagster_database: KeptDatabase, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[DagsterInstance]:
    """A Dagster instance with this project's storage, in a database with nothing in it."""
    storage = {
        "module": "resources.runs.storage.dagster_storage",
        "class": "OrchestratorStorage",
        "config": {"postgres_url": kept_dagster_database.database.uri},
    }
    overrides = {
        "storage": {"custom": storage},
        "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
        "telemetry": {"enabled": False},
    }
    (tmp_path / "dagster.yaml").write_text(json.dumps(overrides))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance
    release_idle()  # what holds a lock counts as busy
    restore(kept_dagster_database, request)


@pytest.fixture
def forked() -> Callable[[Callable[[], object]], int]:
    """Calls a function in a forked child; the child's exit code, 0 when the function returned."""

    def call(function: Callable[[], object]) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: the claim under test
            child = os.fork()
        if child == 0:
            try:
                function()
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return call
