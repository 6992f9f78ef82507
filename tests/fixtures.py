"""Fixtures that most tests use, besides those of the public plugins."""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from dagster import DagsterInstance
from sqlalchemy.orm import Session

from resources.database.embedded import EmbeddedServer
from resources.database.session import StatementCount, SubscriptionDatabase, statement_counter
from resources.testing import administer, fresh_database


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


@pytest.fixture
def dagster_instance(server: EmbeddedServer, tmp_path: Path) -> Iterator[DagsterInstance]:
    """A Dagster instance with this project's storage, in a database of the test's own."""
    name = f"dagster_{uuid4().hex}"
    administer(server, "CREATE DATABASE {}", name)
    storage = {
        "module": "resources.runs.storage.dagster_storage",
        "class": "OrchestratorStorage",
        "config": {"postgres_url": server.uri(name)},
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
    administer(server, "DROP DATABASE {} WITH (FORCE)", name)


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
