"""One throwaway PostgreSQL for a pytest run, shared by its workers, and fresh databases on it."""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from dagster import DagsterInstance
from psycopg import sql
from sqlalchemy.orm import Session

from resources import lease, schema
from resources.database import StatementCount, SubscriptionDatabase, statement_counter
from resources.embedded import EmbeddedServer, embedded_server, embedded_uri
from resources.settings import Settings, settings

pytest_plugins = ["tests.engine", "tests.round_trips"]

TEMPLATE = "template_orchestrator"
HOME = "ORCHESTRATOR_HOME"


def pytest_configure(config: pytest.Config) -> None:
    """Nothing of the developer's environment or `.orchestrator` reaches a test; the default database is ours."""
    workerinput: dict[str, str] | None = getattr(config, "workerinput", None)
    for name in (*Settings.model_fields, "dagster_home"):
        os.environ.pop(name.upper(), None)
    os.environ[HOME] = workerinput[HOME] if workerinput else _directory()
    settings.cache_clear()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell each xdist worker where the server is."""
    node.workerinput[HOME] = os.environ[HOME]  # type: ignore[attr-defined]
    # For the whole run: a worker that ends must not take the server with it. Not in a run without workers, where
    # whoever holds the lease is taken to have the server already.
    lease.hold(Path(os.environ[HOME]) / "pg.lease")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the directory if no test started the server; else its keeper does, once the last process is gone."""
    home = Path(os.environ[HOME])
    if not hasattr(config, "workerinput") and not lease.has_keeper(home / "pg.lease"):
        shutil.rmtree(home, ignore_errors=True)


def _directory() -> str:
    home = tempfile.mkdtemp(prefix="pg-", dir="/tmp")  # the socket's path must be short
    Path(home).chmod(0o711)  # root's server is another user's
    (Path(home) / "pg.throwaway").touch()
    return home


@pytest.fixture(scope="session")
def server() -> EmbeddedServer:
    """The server of this run, with a migrated template database. Made by the first worker that needs it."""
    home = Path(os.environ[HOME])
    embedded_uri()
    server = embedded_server()
    with lease.mutex(home / "template"):
        if not _exists(server, TEMPLATE):
            _administer(server, "CREATE DATABASE {}", "draft")
            draft = SubscriptionDatabase(uri=server.uri("draft"))
            schema.upgrade(draft)
            draft.dispose()
            _administer(server, "ALTER DATABASE {} RENAME TO {}", "draft", TEMPLATE)
    return server


@pytest.fixture
def database(server: EmbeddedServer) -> Iterator[SubscriptionDatabase]:
    """A database of the test's own, empty and migrated; what the test commits goes with it."""
    with fresh_database(server) as database:
        yield database


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
    _administer(server, "CREATE DATABASE {}", name)
    storage = {
        "module": "resources.dagster_storage",
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
    _administer(server, "DROP DATABASE {} WITH (FORCE)", name)


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


@contextmanager
def fresh_database(server: EmbeddedServer, template: str = TEMPLATE) -> Iterator[SubscriptionDatabase]:
    """A copy of a template database that nobody is connected to, dropped at the end."""
    name = f"test_{uuid4().hex}"
    _administer(server, "CREATE DATABASE {} TEMPLATE {}", name, template)
    database = SubscriptionDatabase(uri=server.uri(name))
    yield database
    database.dispose()
    _administer(server, "DROP DATABASE {} WITH (FORCE)", name)


def _administer(server: EmbeddedServer, statement: str, *names: str) -> None:
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _exists(server: EmbeddedServer, name: str) -> bool:
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None
