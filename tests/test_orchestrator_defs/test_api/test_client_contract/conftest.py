"""One server without login and one with, before the same database, for all tests of this folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from dagster import DagsterInstance

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.testing import Testbed
from resources.database.embedded import EmbeddedServer
from resources.database.throwaway import fresh_database
from tests.api import application, serving
from tests.engine import Engine
from tests.oidc import OidcProvider, login_at, provided
from tests.test_orchestrator_defs.test_api.test_client_contract.workflows import contract_tasks
from tests.test_orchestrator_defs.test_api.test_rest.test_processes.workflows import Outside, toy_tasks
from tests.test_resources.test_domain.samples import registry_kept
from tests.toy_network import DEVICE, World, device_workflows
from tests.web_client import UI, WebClient

SETTINGS: dict[str, Any] = {"cors_origins": UI, "max_body_bytes": 10_000, "expose_settings": True}


@dataclass
class Secured:
    """A server with login, and who logs people in."""

    url: str
    provider: OidcProvider

    def client(self, **claims: Any) -> WebClient:
        """The web client of somebody with these claims."""
        return WebClient(self.url, self.provider.mint(**claims))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker: its servers are started once."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.xdist_group("client contract"))


@pytest.fixture(scope="package")
def outside() -> Outside:
    """What is outside of the processes."""
    return Outside()


@pytest.fixture(scope="package")
def world() -> World:
    """What is configured, and which steps are set to fail."""
    return World()


@pytest.fixture(scope="package")
def engine(server: EmbeddedServer, outside: Outside, world: World) -> Iterator[Engine]:
    """The toy workflows, on one database for all these tests: each makes what it needs, under names of its own."""
    workflows = (*device_workflows(world), *toy_tasks(outside), *contract_tasks())
    with registry_kept(), fresh_database(server) as database, DagsterInstance.ephemeral() as instance:
        yield Engine(Testbed(Orchestrator([DEVICE], workflows, None, database), instance))


def _broken() -> None:
    raise RuntimeError("a fault of the server")


@pytest.fixture(scope="package")
def url(engine: Engine) -> Iterator[str]:
    """The API without login."""
    app = application(engine, **SETTINGS)
    app.add_api_route("/api/broken", _broken)
    with serving(app) as address:
        yield f"{address}/api"


@pytest.fixture(scope="package")
def ui(url: str) -> Iterator[WebClient]:
    """The web client, without login."""
    with WebClient(url) as client:
        yield client


@pytest.fixture(scope="package")
def secured(engine: Engine) -> Iterator[Secured]:
    """The API with login."""
    with ExitStack() as stack:
        provider = stack.enter_context(provided())
        app = application(engine, **SETTINGS, **login_at(provider))
        yield Secured(f"{stack.enter_context(serving(app))}/api", provider)


@pytest.fixture
def device(engine: Engine) -> Callable[[], str]:
    """Makes a device that is in service; its id."""

    def make() -> str:
        name = f"d{uuid4().hex[:12]}"
        process_id: UUID = engine.run("create_device", [{"product": DEVICE.name}, {"hostname": name}])
        return str(engine.of(process_id).subscription_id)

    return make
