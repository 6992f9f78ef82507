"""The example network on a fresh database and a fresh lab, and a hand that runs its workflows."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from dagster import DagsterInstance

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.products import core_link as core_link_workflows
from orchestrator_defs.products import l2vpn as l2vpn_workflows
from orchestrator_defs.products import node as node_workflows
from orchestrator_defs.products import port as port_workflows
from resources.database.embedded import EmbeddedServer
from resources.database.session import SubscriptionDatabase
from resources.database.tables import ProcessTable
from resources.database.throwaway import KeptDatabase
from resources.domain.subscription_model import SubscriptionModel
from resources.lab.testing import Lab, lab_server
from resources.processes import process_rows
from resources.products import core_link as core_links
from resources.products import l2vpn as l2vpns
from resources.products import node as nodes
from resources.products import port as ports
from resources.subscriptions.lists import list_subscriptions
from resources.subscriptions.queries import find_subscription
from resources.testing import restore
from resources.types import ProcessStatus

PRODUCTS = (*nodes.PRODUCTS, *ports.PRODUCTS, *core_links.PRODUCTS, *l2vpns.PRODUCTS)
WORKFLOWS = (
    *node_workflows.WORKFLOWS,
    *port_workflows.WORKFLOWS,
    *core_link_workflows.WORKFLOWS,
    *l2vpn_workflows.WORKFLOWS,
)
OPERATOR = "operator"


class Network:
    """Runs workflows to their end, in this process, against the lab."""

    def __init__(self, database: SubscriptionDatabase, lab: Lab, instance: DagsterInstance) -> None:
        self.database = database
        self.lab = lab
        self.orchestrator = Orchestrator(
            PRODUCTS, WORKFLOWS, {"netbox": lab.netbox, "playbooks": lab.playbooks}, database=database
        )
        with database.transaction():
            if not self.orchestrator.catalogue.is_current():
                self.orchestrator.catalogue.apply()
        self.processes = Processes(self.orchestrator, instance)

    def run(self, workflow: str, *pages: Mapping[str, Any]) -> UUID:
        """Run a workflow that has to complete; the id of the subscription it was about."""
        process = self.try_run(workflow, *pages)
        assert process.last_status == ProcessStatus.COMPLETED, process.failed_reason
        return UUID(process.state["subscription_id"])

    def try_run(self, workflow: str, *pages: Mapping[str, Any]) -> ProcessTable:
        """Run a workflow; its process as it stands then. Raises when it may not start."""
        process_id = self.processes.starts.start(workflow, list(pages), user=OPERATOR)
        return self.execute(process_id)

    def execute(self, process_id: UUID) -> ProcessTable:
        """Run a process until it stops."""
        self.processes.runs.execute(process_id, user=OPERATOR)
        with self.database.transaction(read_only=True) as session:
            process = process_rows.get_process(process_id)
            session.expunge(process)
        return process

    def subscription(self, subscription_id: UUID) -> Any:
        """The subscription as it is now."""
        with self.database.transaction(read_only=True):
            return SubscriptionModel.from_subscription(subscription_id)

    def insync(self, subscription_id: UUID) -> bool:
        """Whether the subscription is in sync now."""
        with self.database.transaction(read_only=True):
            return find_subscription(subscription_id).insync

    def find(self, description: str) -> UUID:
        """The one subscription that is described so."""
        with self.database.transaction(read_only=True):
            found = [s for s in list_subscriptions() if s.description == description]
        assert len(found) == 1, found
        return found[0].subscription_id

    # The shortest input that makes each product

    def node(self, name: str, vendor: str = "Nokia", device_type: str = "7750 SR-7") -> UUID:
        """An active node."""
        page = {"node_name": name, "site": "Amsterdam", "role": "Provider edge", "device_type": device_type}
        return self.run("create_node", {"product": f"Node {vendor}"}, page)

    def port(self, node: str, name: str, mode: str = "tagged", speed: str = "10G") -> UUID:
        """An active port on a node of that name."""
        page = {"port_name": name, "port_mode": mode}
        return self.run("create_port", {"product": f"Port {speed}"}, {"node": node}, page)

    def core_link(self, node_a: str, node_b: str, port_a: UUID, port_b: UUID) -> UUID:
        """An active core link."""
        nodes = {"node_a": node_a, "node_b": node_b}
        ports = {"port_a": str(port_a), "port_b": str(port_b)}
        return self.run("create_core_link", {"product": "Core link"}, nodes, ports)

    def l2vpn(self, *saps: tuple[UUID, str], speed: int = 1000) -> UUID:
        """An active L2VPN with these ports and VLANs."""
        return self.run("create_l2vpn", {"product": "L2VPN"}, {"speed": speed}, access_points(*saps))


def access_points(*saps: tuple[UUID, str]) -> dict[str, Any]:
    """The page with access points."""
    return {"saps": [{"port": str(port), "vlan": vlan} for port, vlan in saps]}


@contextmanager
def start_network(database: SubscriptionDatabase, instance: DagsterInstance) -> Iterator[Network]:
    """The example network on a database, its lab included, while the block runs."""
    with lab_server(database) as lab:
        yield Network(database, lab, instance)


@pytest.fixture
def empty_network(database: SubscriptionDatabase, instance: DagsterInstance) -> Iterator[Network]:
    """The example network without nodes."""
    with start_network(database, instance) as network:
        yield network


def build(database: SubscriptionDatabase) -> None:
    """Make two nodes with a core link, and on ams1 an L2VPN and an untagged port."""
    with DagsterInstance.ephemeral() as instance, start_network(database, instance) as network:
        network.node("ams1")
        network.node("utr1")
        first, second = (network.port("ams1", name) for name in ("1/2/1", "1/2/2"))
        network.port("ams1", "1/2/7", "untagged")
        network.l2vpn((first, "100-110"), (second, "200"))
        network.core_link("ams1", "utr1", *(network.port(name, "1/2/12", "link member") for name in ("ams1", "utr1")))


@pytest.fixture(scope="session")
def kept_network(server: EmbeddedServer) -> Iterator[KeptDatabase]:
    """A database with a small network, made once in a worker."""
    kept = KeptDatabase(server, fill=build)
    yield kept
    kept.close()


@pytest.fixture
def network(kept_network: KeptDatabase, instance: DagsterInstance, request: pytest.FixtureRequest) -> Iterator[Network]:
    """The small network, as `build` makes it."""
    with start_network(kept_network.database, instance) as network:
        yield network
    restore(kept_network, request)


@pytest.fixture
def port(network: Network) -> UUID:
    """A tagged port of ams1, on which VLANs 100-110 are taken."""
    return network.find("ams1 1/2/1 10G")


@pytest.fixture
def other_port(network: Network) -> UUID:
    """A tagged port of ams1, on which VLAN 200 is taken."""
    return network.find("ams1 1/2/2 10G")


@pytest.fixture
def core_link(network: Network) -> UUID:
    """The core link between ams1 and utr1."""
    return network.find("Core link ams1 1/2/12 - utr1 1/2/12")


@pytest.fixture
def service(network: Network) -> UUID:
    """The L2VPN on both tagged ports."""
    return network.find("L2VPN 1000 Mbit/s ams1")
