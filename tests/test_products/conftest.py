"""The example network on a fresh database and a fresh lab, and a hand that runs its workflows."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from dagster import DagsterInstance

from orchestrator_defs.orchestrator import Orchestrator
from orchestrator_defs.processes import Processes
from orchestrator_defs.products import core_link as core_link_workflows
from orchestrator_defs.products import l2vpn as l2vpn_workflows
from orchestrator_defs.products import node as node_workflows
from orchestrator_defs.products import port as port_workflows
from resources import processes
from resources.database import SubscriptionDatabase
from resources.lab.testing import Lab, lab_server
from resources.products import core_link, l2vpn, node, port
from resources.queries import find_subscription
from resources.subscriptions import SubscriptionModel
from resources.tables import ProcessTable
from resources.types import ProcessStatus

PRODUCTS = (*node.PRODUCTS, *port.PRODUCTS, *core_link.PRODUCTS, *l2vpn.PRODUCTS)
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
            self.orchestrator.catalogue.apply()
        self.processes = Processes(self.orchestrator, instance)

    def run(self, workflow: str, *pages: Mapping[str, Any]) -> UUID:
        """Run a workflow that has to complete; the id of the subscription it was about."""
        process = self.try_run(workflow, *pages)
        assert process.last_status == ProcessStatus.COMPLETED, process.failed_reason
        return UUID(process.state["subscription_id"])

    def try_run(self, workflow: str, *pages: Mapping[str, Any]) -> ProcessTable:
        """Run a workflow; its process as it stands then. Raises when it may not start."""
        process_id = self.processes.start(workflow, list(pages), user=OPERATOR)
        return self.go_on(process_id)

    def go_on(self, process_id: UUID) -> ProcessTable:
        """Run a process until it stops."""
        self.processes.execute(process_id, user=OPERATOR)
        with self.database.transaction(read_only=True) as session:
            process = processes.get_process(process_id)
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


@pytest.fixture
def lab(database: SubscriptionDatabase) -> Iterator[Lab]:
    """NetBox, playbook runner and devices of this test alone."""
    with lab_server(database) as lab:
        yield lab


@pytest.fixture
def network(database: SubscriptionDatabase, lab: Lab) -> Iterator[Network]:
    """The example network, still without nodes."""
    with DagsterInstance.ephemeral() as instance:
        yield Network(database, lab, instance)
