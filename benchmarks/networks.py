"""Two networks to measure on: the same ports, labs and services, one among few and one among many subscriptions."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from dagster import DagsterInstance

from benchmarks.ground import Ground, create_database
from benchmarks.instances import instance_on, our_storage
from benchmarks.toys import CHANGES, STEPS
from benchmarks.wire import Traffic, Wire, wire
from orchestrator_defs.cli.seed import sow
from orchestrator_defs.definitions import orchestrator
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.products import core_link, l2vpn, node, port
from orchestrator_defs.products.sample import sample_network
from resources.database import lease, schema
from resources.database.embedded import EmbeddedServer
from resources.database.reaper import running_pid, stop
from resources.database.session import SubscriptionDatabase
from resources.lab.launcher import TOKEN, lease_file, pid_file, running_url
from resources.processes import process_rows as processes
from resources.systems.netbox import NetBox
from resources.systems.playbooks import PlaybookRunner
from resources.types import ProcessStatus

WORKFLOWS = (*node.WORKFLOWS, *port.WORKFLOWS, *core_link.WORKFLOWS, *l2vpn.WORKFLOWS, *STEPS, *CHANGES)
USER = "benchmark"
ENDPOINTS = 10
LAB = "lab"
"""The application name by which the lab's connections are known from ours."""


@dataclass(frozen=True)
class Hand:
    """Runs workflows in this process, on one database and one Dagster instance."""

    database: SubscriptionDatabase
    processes: Processes

    def run(self, workflow: str, *pages: Mapping[str, Any]) -> UUID | None:
        """Run a workflow from its submission to its end, which must be a success; the id of its subscription."""
        process_id = self.processes.starts.start(workflow, list(pages), user=USER)
        status = self.processes.runs.execute(process_id, user=USER)
        with self.database.transaction(read_only=True):
            process = processes.get_process(process_id)
        assert status is ProcessStatus.COMPLETED, f"{workflow}: {process.failed_reason}"
        found = process.state.get("subscription_id")
        return None if found is None else UUID(found)


@dataclass(frozen=True)
class Network:
    """One of the two. `counted` does the same as `hand` over wires that count it; `traffic`: ours and Dagster's."""

    subscriptions: int
    hand: Hand
    counted: Hand
    traffic: tuple[Traffic, Traffic]
    fixtures: "Fixtures"
    server: EmbeddedServer
    watch: "psycopg.Connection[tuple[int]]"

    def others(self) -> set[int]:
        """The server's processes that work for a lab, and the one that is asked for them."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s OR pid = pg_backend_pid()"
        return {pid for (pid,) in self.watch.execute(query, (LAB,))}

    @property
    def postmaster(self) -> int:
        """The server's first process."""
        pid = running_pid(self.server.pid_file)
        assert pid is not None, "the server has stopped"
        return pid


@dataclass(frozen=True)
class Fixtures:
    """What both networks have: ten ports of a node, and an L2VPN on them (31 blocks)."""

    ports: tuple[UUID, ...]
    service: UUID


@contextmanager
def networks(ground: Ground, sizes: tuple[int, int]) -> Iterator[tuple[Network, Network]]:
    """Make both: by workflows what is worked on, and a made-up network to make up the number."""
    server = ground.server
    with ExitStack() as stack:
        dagster = stack.enter_context(instance_on(ground.home / "dagster-networks", our_storage(server.uri("dagster"))))
        with _lab(ground, "base") as url, _hand(server.uri("base"), dagster, url) as hand:
            fixtures = _furnish(hand)
        ours = stack.enter_context(wire(server, ground.home / "wire"))
        theirs = stack.enter_context(wire(server, ground.home / "wire-dagster"))
        watched = stack.enter_context(instance_on(ground.home / "dagster-watched", our_storage(theirs.uri("dagster"))))
        both = [
            stack.enter_context(_network(ground, size, fixtures, (dagster, watched), (ours, theirs))) for size in sizes
        ]
        yield both[0], both[1]


@contextmanager
def _network(
    ground: Ground,
    size: int,
    fixtures: Fixtures,
    instances: tuple[DagsterInstance, DagsterInstance],
    wires: tuple[Wire, Wire],
) -> Iterator[Network]:
    name = f"network_{size}"
    create_database(ground.server, name, template="base")
    with (
        _lab(ground, name) as url,
        _hand(ground.server.uri(name), instances[0], url) as hand,
        _hand(wires[0].uri(name), instances[1], url) as counted,
        psycopg.connect(ground.server.uri("postgres"), autocommit=True) as watch,
    ):
        sow(hand.processes.served.first, size, lambda _: None)
        yield Network(size, hand, counted, (wires[0].traffic, wires[1].traffic), fixtures, ground.server, watch)


@contextmanager
def _hand(uri: str, instance: DagsterInstance, lab: str) -> Iterator[Hand]:
    database = SubscriptionDatabase(uri=uri)
    external = {"netbox": NetBox(url=lab, token=TOKEN), "playbooks": PlaybookRunner(url=lab, token=TOKEN)}
    site = Orchestrator(orchestrator.catalogue.products, WORKFLOWS, external, database=database, sample=sample_network)
    schema.upgrade(database)
    with database.transaction():
        site.catalogue.apply()
    try:
        yield Hand(database, Processes(site, instance))
    finally:
        database.dispose()


@contextmanager
def _lab(ground: Ground, database: str) -> Iterator[str]:
    """A lab in a process of its own, as people have it; its address."""
    if database == "base":
        create_database(ground.server, database)
    home = ground.home / f"lab-{database}"
    home.mkdir()
    uri = f"{ground.server.uri(database)}&application_name={LAB}"
    lease.hold(lease_file(home))  # the lab ends itself when nobody uses it
    subprocess.run(
        [sys.executable, "-m", "resources.lab.server", str(pid_file(home))],
        cwd=home,
        env=ground.environment(DATABASE_URI=uri),
        check=True,
        timeout=60,
    )
    try:
        url = running_url(home)
        assert url is not None, "the lab has ended"
        yield url
    finally:
        stop(pid_file(home))
        lease.release(lease_file(home))


def _furnish(hand: Hand) -> Fixtures:
    ports = _node_with_ports(hand, "bench", ENDPOINTS)
    service = hand.run("create_l2vpn", *l2vpn_pages(ports, vlan=10))
    assert service is not None
    return Fixtures(ports, service)


def _node_with_ports(hand: Hand, name: str, count: int) -> tuple[UUID, ...]:
    hand.run("create_node", *node_pages(name))
    found = [
        hand.run(
            "create_port",
            {"product": "Port 10G"},
            {"node": name},
            {"port_name": f"1/2/{number}", "port_mode": "tagged"},
        )
        for number in range(1, count + 1)
    ]
    return tuple(one for one in found if one is not None)


def node_pages(name: str) -> tuple[dict[str, Any], ...]:
    """What `create_node` asks."""
    page = {"node_name": name, "site": "Amsterdam", "role": "Provider edge", "device_type": "7750 SR-7"}
    return {"product": "Node Nokia"}, page


def l2vpn_pages(ports: tuple[UUID, ...], *, vlan: int) -> tuple[dict[str, Any], ...]:
    """What `create_l2vpn` asks."""
    saps = [{"port": str(one), "vlan": str(vlan)} for one in ports]
    return {"product": "L2VPN"}, {"speed": 1000}, {"saps": saps}
