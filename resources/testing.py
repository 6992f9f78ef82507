"""For tests of what an organisation writes: a throwaway PostgreSQL, fresh databases on it, the lab, a clock that moves.

A pytest plugin: `pytest_plugins = ["resources.testing"]` in the conftest.py at the root of the tests. Nothing of the
developer's environment and data reaches a test, the workers of pytest-xdist share one server, and the context managers
are of use without pytest's fixtures too.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from dagster import DagsterInstance
from psycopg import sql

from resources import clock
from resources.database import lease, schema
from resources.database.embedded import EmbeddedServer, embedded_server, embedded_uri
from resources.database.session import SubscriptionDatabase
from resources.lab.testing import Lab, lab_server
from resources.settings import Settings, settings

TEMPLATE = "template_orchestrator"
HOME = "ORCHESTRATOR_HOME"


# --- databases ---


@contextmanager
def fresh_database(server: EmbeddedServer, template: str = TEMPLATE) -> Iterator[SubscriptionDatabase]:
    """A copy of a template database that nobody is connected to, dropped at the end; some tens of milliseconds."""
    name = f"test_{uuid4().hex}"
    administer(server, "CREATE DATABASE {} TEMPLATE {}", name, template)
    database = SubscriptionDatabase(uri=server.uri(name))
    yield database
    database.dispose()
    administer(server, "DROP DATABASE {} WITH (FORCE)", name)


def administer(server: EmbeddedServer, statement: str, *names: str) -> None:
    """Do something about whole databases; `{}` in the statement stands for each name in turn."""
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _has_template(server: EmbeddedServer) -> bool:
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone()
    return found is not None


# --- the plugin ---


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
        if not _has_template(server):
            administer(server, "CREATE DATABASE {}", "draft")
            draft = SubscriptionDatabase(uri=server.uri("draft"))
            schema.upgrade(draft)
            draft.dispose()
            administer(server, "ALTER DATABASE {} RENAME TO {}", "draft", TEMPLATE)
    return server


@pytest.fixture
def database(server: EmbeddedServer) -> Iterator[SubscriptionDatabase]:
    """A database of the test's own, empty and migrated; what the test commits goes with it."""
    with fresh_database(server) as database:
        yield database


@pytest.fixture
def lab(database: SubscriptionDatabase) -> Iterator[Lab]:
    """The lab on the test's database, over real HTTP: clients for NetBox and playbooks, and its levers."""
    with lab_server(database) as lab:
        yield lab


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """A Dagster instance in memory."""
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def later() -> Callable[[timedelta], AbstractContextManager[None]]:
    """Moves the engine's clock: `with later(timedelta(hours=1)): …`."""
    return clock.moved
