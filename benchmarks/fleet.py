"""How many validations a second come through: in batches, and each as a process of its own."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, ClassVar

import sqlalchemy as sa

from benchmarks.ground import Ground, create_database
from benchmarks.instances import instance_on, our_storage
from benchmarks.networks import USER
from benchmarks.report import Report, Row
from orchestrator_defs.cli.seed import sow
from orchestrator_defs.definitions import orchestrator
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.products import node
from orchestrator_defs.products.sample import sample_network
from resources.database import schema
from resources.database.session import SubscriptionDatabase, statement_counter
from resources.domain.subscription_model import SubscriptionModel
from resources.products.node import Node
from resources.settings import settings
from resources.systems.netbox import NetBox
from resources.systems.netbox_records import Device
from resources.systems.playbooks import PlaybookRunner
from resources.types import ProcessStatus

THREADS = (1, 4, 8)
OF_A_NODE = 100
"""So many subscriptions the made-up network has for each node, at least; the nodes come first."""
NOTE = (
    "`validate_node` as it ships, on nodes; NetBox and the playbook runner answer from memory. In this process,"
    " from the submission to the end of the process, with its Dagster run around it. Statements of our database only;"
    " Dagster's log is off, as in every case."
)


class StillNetBox(NetBox):
    """NetBox without its HTTP: it shows what the subscriptions say."""

    is_shared: ClassVar[bool] = False
    known: ClassVar[dict[str, Device]] = {}

    def find_device(self, name: str) -> Device | None:
        """The device, from memory."""
        return self.known.get(name)


class StillRunner(PlaybookRunner):
    """The playbook runner without its HTTP: no device differs."""

    is_shared: ClassVar[bool] = False

    def check(self, *_: Any, **__: Any) -> tuple[Any, ...]:
        """No difference."""
        return ()


def fleet(ground: Ground, size: int) -> Report:
    """Validate the same nodes in batches of some threads, then some of them one by one."""
    with _processes(ground, size) as processes:
        _run(processes, "task_validate_batch", size, threads=8)  # the first load of everything
        rows = [_batch(processes, size, threads) for threads in THREADS]
        rows.append(_singles(processes, max(2, size // 20)))
    return Report("fleet", "Validations", NOTE, rows)


def _batch(processes: Processes, size: int, threads: int) -> Row:
    with processes.database.transaction() as session:
        session.execute(sa.text("UPDATE validations SET due_at = now()"))
    return _row(
        f"in a batch, {threads} threads", size, lambda: _run(processes, "task_validate_batch", size, threads), processes
    )


def _singles(processes: Processes, number: int) -> Row:
    with processes.database.transaction(read_only=True) as session:
        found = session.scalars(sa.text(f"SELECT subscription_id FROM subscriptions LIMIT {number}")).all()

    def each() -> None:
        for one in found:
            _run(processes, "validate_node", number, 1, {"subscription_id": str(one)})

    return _row("a process each", number, each, processes)


def _row(name: str, number: int, work: Any, processes: Processes) -> Row:
    with statement_counter(processes.database.engine) as counted:
        began, cpu = time.perf_counter(), time.process_time()
        work()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    cells = {"a second": number / seconds, "CPU ms": cpu / number * 1000, "statements": counted.count / number}
    return Row(name, {**cells, "n": number}, figure="a second")


def _run(processes: Processes, workflow: str, size: int, threads: int, page: Any = None) -> None:
    os.environ.update(VALIDATION_THREADS=str(threads), VALIDATION_BATCH_SIZE=str(size))
    settings.cache_clear()
    process_id = processes.starts.start(workflow, [page] if page else [], user=USER)
    status = processes.runs.execute(process_id, user=USER)
    assert status is ProcessStatus.COMPLETED, f"{workflow} is {status}"


@contextmanager
def _processes(ground: Ground, size: int) -> Iterator[Processes]:
    create_database(ground.server, "fleet")
    database = SubscriptionDatabase(uri=ground.server.uri("fleet"))
    systems = {"netbox": StillNetBox(), "playbooks": StillRunner()}
    site = Orchestrator(
        orchestrator.catalogue.products,
        node.WORKFLOWS,
        systems,
        database=database,
        sample=lambda number, seed: islice(sample_network(number * OF_A_NODE, seed), number),
    )
    schema.upgrade(database)
    with database.transaction():
        site.catalogue.apply()
    sow(site, size, lambda _: None)
    with database.transaction(read_only=True) as session:
        for subscription_id in session.scalars(sa.text("SELECT subscription_id FROM subscriptions")).all():
            device = _as_shown(SubscriptionModel.from_subscription(subscription_id))
            StillNetBox.known[device.name] = device
    with instance_on(ground.home / "dagster-fleet", our_storage(ground.server.uri("dagster"))) as instance:
        try:
            yield Processes(site, instance)
        finally:
            database.dispose()


def _as_shown(one: Any) -> Device:
    assert isinstance(one, Node), "the nodes come first"
    block = one.node
    return Device(
        id=block.ims_id,
        name=block.node_name,
        vendor=one.vendor.value,
        model=block.device_type,
        site=block.site,
        role=block.role,
        status=block.node_status.value,
        description=block.node_description or "",
        ipv4_loopback=block.ipv4_loopback,
        ipv6_loopback=block.ipv6_loopback,
    )
