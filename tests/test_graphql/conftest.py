"""A network of nodes, ports and L2VPNs, and a client that asks about it in GraphQL.

One server and one database for all these tests: each makes what it needs, under names of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from dagster import DagsterInstance

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.testing import Testbed
from resources.database.embedded import EmbeddedServer
from resources.database.session import statement_counter
from resources.database.throwaway import fresh_database
from resources.products import l2vpn, node, port
from resources.subscriptions.queries import find_product
from resources.types import SubscriptionLifecycle
from tests.api import application, calling
from tests.engine import Engine
from tests.oidc import OidcProvider, bearer, login_at, provided
from tests.test_orchestrator_defs.test_api.test_rest.test_processes.workflows import Outside, toy_tasks
from tests.test_resources.test_domain.samples import registry_kept
from tests.toy_network import DEVICE, World, device_workflows

PRODUCTS = (*node.PRODUCTS, *port.PRODUCTS, *l2vpn.PRODUCTS, DEVICE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker: its server is started once."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.xdist_group("graphql"))


@dataclass
class Network:
    """Adds subscriptions of a network."""

    bed: Testbed
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def node(self, name: str, **more: Any) -> Any:
        """Add a node."""
        number = next(self.numbers)
        values = {
            "node_name": name,
            "site": name[:3],
            "role": "router",
            "device_type": "MX",
            "ims_id": number,
            "node_status": "active",
            "ipv4_loopback": f"10.0.0.{number % 250}",
            "ipv6_loopback": f"fd00::{number}",
        }
        return self.bed.add("Node Cisco", description=f"Node {name}", node={**values, **more})

    def port(self, of: Any, name: str) -> Any:
        """Add a port on a node."""
        values = {"port_name": name, "port_mode": "tagged", "auto_negotiation": True, "lldp": True, "enabled": True}
        return self.bed.add("Port 10G", description=f"Port {name}", port={"node": of.node, **values, "ims_id": 7})

    def l2vpn(self, *ports: Any, name: str = "L2VPN", speed: int = 1000) -> Any:
        """Add an L2VPN between ports."""
        with self.bed.database.transaction():
            made = l2vpn.L2vpnInactive.from_product_id(find_product("L2VPN").product_id, "customer", insync=True)
            made.description = name
            circuit = made.virtual_circuit
            circuit.speed = circuit.vni = circuit.ims_id = speed
            circuit.speed_policer, circuit.route_target = False, "65000:1"
            circuit.saps = [
                l2vpn.SapBlockInactive.new(made.subscription_id, port=one.port, vlan=f"{number + 10}-{number + 12}")
                for number, one in enumerate(ports)
            ]
            active = l2vpn.L2vpn.from_other_lifecycle(made, SubscriptionLifecycle.ACTIVE)
            active.save()
            return active


@dataclass
class Asker:
    """Asks in GraphQL."""

    client: httpx.Client
    engine: Engine
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, query: str, /, **variables: Any) -> dict[str, Any]:
        """The whole answer."""
        sent = {"query": query, "variables": variables}
        answer = self.client.post("/graphql", json=sent, headers=self.headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def data(self, query: str, /, **variables: Any) -> Any:
        """The data of an answer without errors."""
        answer = self(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def error(self, query: str, /, **variables: Any) -> tuple[str, str]:
        """The type and the sentence of the one error."""
        (error,) = self(query, **variables)["errors"]
        return error["extensions"]["error_type"], error["message"]

    def statements(self, query: str, /, **variables: Any) -> list[str]:
        """The statements that an answer takes."""
        self.data(query, **variables)  # what is prepared once is prepared
        with statement_counter(self.engine.database.engine) as counted:
            self.data(query, **variables)
        return list(counted.statements)


@pytest.fixture(scope="package")
def world() -> World:
    """What is configured, and which steps are set to fail."""
    return World()


@pytest.fixture(scope="package")
def engine(server: EmbeddedServer, world: World) -> Iterator[Engine]:
    """Products of a network, and the workflows of a device."""
    workflows = (*device_workflows(world), *toy_tasks(Outside()))
    with registry_kept(), fresh_database(server) as database, DagsterInstance.ephemeral() as instance:
        made = Engine(Testbed(Orchestrator(PRODUCTS, workflows, None, database), instance))
        made.orchestrator.prepare()
        yield made


@pytest.fixture(scope="package")
def network(engine: Engine) -> Network:
    """Adds to the network."""
    return Network(engine.bed)


@pytest.fixture(scope="package")
def asker_of(engine: Engine) -> Iterator[Callable[..., Asker]]:
    """Makes a client of a server with settings."""
    with ExitStack() as stack:

        def make(options: Any = None, headers: dict[str, str] | None = None, **settings: Any) -> Asker:
            app = application(engine, options=options, **settings)
            return Asker(stack.enter_context(calling(app, path="/api")), engine, headers or {})

        yield make


@pytest.fixture(scope="package")
def ask(asker_of: Callable[..., Asker]) -> Asker:
    """Asks the server that needs no login."""
    return asker_of()


@pytest.fixture(scope="package")
def identities() -> Iterator[OidcProvider]:
    """Who logs people in."""
    with provided() as found:
        yield found


@pytest.fixture(scope="package")
def secured(asker_of: Callable[..., Asker], identities: OidcProvider) -> Callable[..., Asker]:
    """Asks with a role, of a server with login."""

    def make(*roles: str, options: Any = None, **settings: Any) -> Asker:
        token = identities.mint(roles=list(roles), preferred_username="ada")
        return asker_of(options, bearer(token), **login_at(identities), **settings)

    return make
