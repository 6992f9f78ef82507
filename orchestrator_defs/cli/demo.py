"""`orchestrator demo`: the life of a small network in one command, in the lab."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

import click
from dagster import DagsterInstance
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestrator_defs.cli.application import Application, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.output import without_events
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.instance import dagster_instance
from orchestrator_defs.processes.processes import Processes
from resources.lab.control import LabControl
from resources.lab.launcher import lab_answers
from resources.processes import process_rows
from resources.settings import settings
from resources.subscriptions.queries import find_subscription
from resources.types import ProcessStatus

MAKES = {
    "ams": ("Cisco", "8201", "Amsterdam"),
    "utr": ("Nokia", "7750 SR-7", "Utrecht"),
    "ehv": ("Juniper", "MX304", "Eindhoven"),
}
"""Vendor, device type and site of each node of the demo."""

WIDTH = 120
"""Columns when the output is not a terminal."""

LINK, TAGGED, UNTAGGED = "link member", "tagged", "untagged"
"""Modes of a port."""


@click.command()
@click.option("--only-create", is_flag=True, help="Create the network only, and leave it in service.")
@code_options
@click.pass_obj
def demo(application: Application, only_create: bool) -> None:
    """Create nodes, ports, core links and L2VPNs in the lab; change, drift, validate, reconcile and terminate.

    Each run creates new nodes beside the existing ones.
    """
    if not lab_answers(settings().netbox_url, settings().playbook_url):
        raise click.ClickException(
            "The demo changes the network, so it runs only in the lab on the embedded database: "
            "unset NETBOX_URL, PLAYBOOK_URL and DATABASE_URI first."
        )
    if "netbox" not in application.orchestrator.resources:
        raise click.ClickException(
            "The demo is of the network that this distribution brings, and the definitions here are those of "
            f"{application.orchestrator.name!r}: add `-m orchestrator_defs`, with ORCHESTRATOR_HOME at an empty folder."
        )
    with dagster_instance() as instance:
        play = Demo(application.orchestrator, instance)
        if only_create:
            play.create()
        else:
            play.play()


@dataclass(frozen=True)
class Network:
    """What the demo has created."""

    node: str
    ports: tuple[UUID, ...]
    core_link: UUID
    l2vpns: tuple[UUID, UUID]


class Demo:
    """Runs workflows one after the other and prints how each ended; the first unexpected status ends the demo."""

    def __init__(self, orchestrator: Orchestrator, instance: DagsterInstance) -> None:
        self.database = orchestrator.prepare()
        self.netbox = orchestrator.resources["netbox"]
        self.lab = LabControl(self.database)
        self.processes = Processes(orchestrator, instance)
        self.console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
        self.made: list[UUID] = []

    def create(self) -> Network:
        """Three nodes and the links between them."""
        self._title("Three nodes")
        ams, utr, ehv = (self._node(stem) for stem in MAKES)

        self._title("Eight ports")
        links = [self._port(node, LINK, "400G") for node in (ams, utr, utr, ehv)]
        ams_1, ams_2, utr_1 = (self._port(node, TAGGED, "100G") for node in (ams, ams, utr))
        ehv_1 = self._port(ehv, UNTAGGED, "100G")

        self._title("Two core links")
        core_link = self._core_link(ams, utr, *links[:2])
        self._core_link(utr, ehv, *links[2:])

        self._title("Two L2VPNs")
        first = self._l2vpn((ams_1, "100-105"), (utr_1, "100"))
        second = self._l2vpn((ams_2, "200"), (ehv_1, "0"))
        return Network(ams, (ams_1, ams_2, utr_1), core_link, (first, second))

    def play(self) -> None:
        """All workflows of the demo."""
        network = self.create()
        ams_1, ams_2, utr_1 = network.ports
        first, second = network.l2vpns

        self._title("Changes: a faster L2VPN with a third access point, a core link under maintenance")
        saps = self._saps((ams_1, "100-110"), (utr_1, "100"), (ams_2, "100"))
        self._run("modify_l2vpn", self._on(first), {"speed": 50_000}, saps)
        self._run("modify_core_link", self._on(network.core_link), {"under_maintenance": True})

        self._title(f"Somebody changes a port of {network.node} by hand")
        self._drift_and_reconcile(network.node, ams_1)

        self._title("The end of an L2VPN")
        self._run("terminate_l2vpn", self._on(second))
        self._print_subscriptions()

    def _node(self, stem: str) -> str:
        """Create a node under the next free name; returns the name."""
        vendor, device_type, site = MAKES[stem]
        names = (f"{stem}{number}" for number in count(1))
        name = next(name for name in names if self.netbox.find_device(name) is None)
        page = {"node_name": name, "site": site, "role": "Provider edge", "device_type": device_type}
        self._create("create_node", f"Node {vendor}", page)
        return name

    def _port(self, node: str, mode: str, speed: str) -> UUID:
        """Create a port on the node's first free interface of the speed."""
        device = self.netbox.find_device(node)
        interface = self.netbox.free_interfaces(device.id, int(speed.rstrip("G")) * 1000)[0]
        page = {"port_name": interface.name, "port_mode": mode, "lldp": mode == LINK}
        return self._create("create_port", f"Port {speed}", {"node": node}, page)

    def _core_link(self, node_a: str, node_b: str, port_a: UUID, port_b: UUID) -> UUID:
        nodes = {"node_a": node_a, "node_b": node_b}
        ports = {"port_a": str(port_a), "port_b": str(port_b)}
        return self._create("create_core_link", "Core link", nodes, ports)

    def _l2vpn(self, *saps: tuple[UUID, str]) -> UUID:
        service = {"speed": 10_000, "speed_policer": True}
        return self._create("create_l2vpn", "L2VPN", service, self._saps(*saps))

    def _drift_and_reconcile(self, node: str, port: UUID) -> None:
        with self.database.transaction(read_only=True):
            interface = find_subscription(port).description.removeprefix(f"{node} ").rpartition(" ")[0]
        self.lab.drift(node, interface=interface)
        self._run("validate_port", self._on(port), expected=ProcessStatus.INCONSISTENT_DATA)
        self._run("reconcile_port", self._on(port))
        self._run("validate_port", self._on(port))

    def _create(self, workflow: str, product: str, *pages: Mapping[str, Any]) -> UUID:
        subscription_id = self._run(workflow, {"product": product}, *pages)
        self.made.append(subscription_id)
        return subscription_id

    def _run(
        self,
        workflow: str,
        *pages: Mapping[str, Any],
        expected: ProcessStatus = ProcessStatus.COMPLETED,
    ) -> UUID:
        """Run a workflow to its end and print how it ended; returns the id of its subscription."""
        user = operator()
        process_id = self.processes.starts.start(workflow, list(pages), user=user)
        with without_events():
            status = self.processes.runs.execute(process_id, user=user)
        with self.database.transaction(read_only=True):
            process = process_rows.get_process(process_id)
            about = process.state.get("subscription_id")
            description = find_subscription(UUID(about)).description if about else ""
            reason = process.failed_reason or ""
        if status is not expected:
            raise click.ClickException(f"{workflow} is {status}, not {expected}: {reason}")
        sign = "[green]✓[/]" if status is ProcessStatus.COMPLETED else "[yellow]![/]"
        self.console.print(f"  {sign} {workflow}  {escape(description)}")
        if reason:
            self.console.print(f"    [yellow]{escape(reason)}[/]")
        return UUID(about)

    @staticmethod
    def _on(subscription_id: UUID) -> dict[str, str]:
        return {"subscription_id": str(subscription_id)}

    @staticmethod
    def _saps(*saps: tuple[UUID, str]) -> dict[str, Any]:
        return {"saps": [{"port": str(port), "vlan": vlan} for port, vlan in saps]}

    def _title(self, text: str) -> None:
        self.console.print(f"[bold]{escape(text)}[/]")

    def _print_subscriptions(self) -> None:
        table = Table("subscription", "description", "product", "status", "in sync", "version", box=SIMPLE)
        with self.database.transaction(read_only=True):
            for subscription in map(find_subscription, self.made):
                table.add_row(
                    str(subscription.subscription_id)[:8],
                    escape(subscription.description),
                    subscription.product.name,
                    subscription.status,
                    "yes" if subscription.insync else "no",
                    str(subscription.version),
                )
        self.console.print(table)
