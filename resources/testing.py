"""For tests of what an organisation writes: a throwaway PostgreSQL, a database on it, the lab, a clock that moves.

A pytest plugin: `pytest_plugins = ["resources.testing"]` in the conftest.py at the root of the tests. It keeps the
developer's environment and data away from tests, the workers of pytest-xdist share one server, and the context managers
also work without pytest's fixtures.
"""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance

from resources import clock
from resources.catalogue import catalogue
from resources.database import lease, schema
from resources.database.embedded import EmbeddedServer, embedded_server, embedded_uri
from resources.database.session import SubscriptionDatabase
from resources.database.throwaway import TEMPLATE, KeptDatabase, administer, fresh_database, has_database
from resources.lab.testing import Lab, lab_server
from resources.settings import Settings, settings

HOME = "ORCHESTRATOR_HOME"
GARBAGE = 10_000
"""The garbage collector runs after so many new objects."""
FAILED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the developer's environment and `.orchestrator` away from tests; the default database is ours."""
    workerinput: dict[str, str] | None = getattr(config, "workerinput", None)
    for name in (*Settings.model_fields, "dagster_home"):
        os.environ.pop(name.upper(), None)
    os.environ[HOME] = workerinput[HOME] if workerinput else _directory()
    settings.cache_clear()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell each xdist worker where the server is."""
    node.workerinput[HOME] = os.environ[HOME]  # type: ignore[attr-defined]
    # For the whole run: a worker that ends must not take the server with it. Not in a run without workers, where a
    # process that holds the lease counts as having the server already.
    lease.hold(Path(os.environ[HOME]) / "pg.lease")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the directory if no test started the server; else its reaper does, after the last process."""
    home = Path(os.environ[HOME])
    if not hasattr(config, "workerinput") and not lease.has_reaper(home / "pg.lease"):
        shutil.rmtree(home, ignore_errors=True)


def _directory() -> str:
    home = tempfile.mkdtemp(prefix="pg-", dir="/tmp")  # the socket's path must be short
    Path(home).chmod(0o711)  # the server of root runs as another user
    (Path(home) / "pg.throwaway").touch()
    return home


@pytest.fixture(scope="session")
def server() -> EmbeddedServer:
    """The server of this run, with a migrated template database. The first worker that needs it makes it."""
    home = Path(os.environ[HOME])
    embedded_uri()
    server = embedded_server()
    with lease.mutex(home / "template"):
        if not has_database(server, TEMPLATE):
            administer(server, "CREATE DATABASE {}", "draft")
            draft = SubscriptionDatabase(uri=server.uri("draft"))
            schema.upgrade(draft)
            draft.dispose()
            administer(server, "ALTER DATABASE {} RENAME TO {}", "draft", TEMPLATE)
    return server


def pytest_collection_finish() -> None:
    """Collect garbage less often, and not among the imported modules, which are most of the objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record whether anything of a test failed, for fixtures that clean up after it."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def restore(kept: KeptDatabase, request: pytest.FixtureRequest) -> None:
    """Reset a kept database for the next test; a test that leaves a session open in it fails."""
    catalogue.forget(kept.database)
    if request.node.stash.get(FAILED, False):
        kept.replace()
    elif busy := kept.restore():
        pytest.fail(f"{request.node.nodeid} leaves a session open in its database: {busy}.", pytrace=False)


@pytest.fixture(scope="session")
def kept_database(server: EmbeddedServer) -> Iterator[KeptDatabase]:
    """The database of this worker."""
    kept = KeptDatabase(server)
    yield kept
    kept.close()


@pytest.fixture
def own_database(server: EmbeddedServer) -> Iterator[SubscriptionDatabase]:
    """A new database, dropped after the test: for a test that changes its settings or kills many sessions.

    If a test or one of its fixtures names it, `database` and all that builds on it use this one.
    """
    with fresh_database(server) as database:
        yield database


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[SubscriptionDatabase]:
    """An empty, migrated database; what the test commits is gone after it."""
    if "own_database" in request.fixturenames:
        yield request.getfixturevalue("own_database")
        return
    kept: KeptDatabase = request.getfixturevalue("kept_database")
    yield kept.database
    restore(kept, request)


@pytest.fixture
def lab(database: SubscriptionDatabase) -> Iterator[Lab]:
    """The lab on the test's database, over real HTTP: clients for NetBox and playbooks, and controls for faults."""
    with lab_server(database) as lab:
        yield lab


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """A Dagster instance in memory.

    Each test has its own: its content is gone as soon as the instance, or a connection of SQLite's pool, is closed.
    """
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def later() -> Callable[[timedelta], AbstractContextManager[None]]:
    """Moves the engine's clock: `with later(timedelta(hours=1)): …`."""
    return clock.moved
