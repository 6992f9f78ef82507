"""Measure, and print two tables: `python -m benchmarks`. A temporary embedded database serves; no other is touched."""

import logging
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

from dagster import DagsterInstance
from rich.table import Table

from benchmarks.instances import instance_on
from benchmarks.measure import Figure, measure
from benchmarks.network import fill, l2vpn_with_ten_endpoints
from benchmarks.storage import storage_figures
from ops.step import StepList, step
from orchestrator_defs.cli.output import show
from orchestrator_defs.definitions import orchestrator
from orchestrator_defs.orchestrator import Orchestrator
from orchestrator_defs.processes import Processes
from orchestrator_defs.workflow import modify_workflow, task
from resources import schema
from resources.database import SubscriptionDatabase
from resources.embedded import EmbeddedServer
from resources.products.l2vpn import L2vpn
from resources.types import ProcessStatus, State

TIMES = 15
STEPS = 10
MANY = 20_000
"""Subscriptions that the second round has more in the database: nothing may cost more for that."""


@step("Trivial")
def trivial(count: int = 0) -> State:
    """What a step costs that does nothing."""
    return {"count": count + 1}


@step("Read and write")
def read_and_write(subscription: L2vpn) -> State:
    """What a step costs that loads a subscription of 31 blocks and changes one value of it."""
    subscription.virtual_circuit.speed += 1
    return {"subscription": subscription}


@task("No steps")
def no_steps() -> StepList:
    """Only the engine's own."""
    return StepList()


@task("Ten trivial steps")
def ten_steps() -> StepList:
    """Ten times the trivial step."""
    return StepList([trivial] * STEPS)


@modify_workflow("No changes", product_type="L2VPN")
def no_changes() -> StepList:
    """Only the engine's own."""
    return StepList()


@modify_workflow("Ten steps that change an L2VPN", product_type="L2VPN")
def ten_changes() -> StepList:
    """Ten times the step that changes something."""
    return StepList([read_and_write] * STEPS)


def main() -> None:
    """Measure everything and print it."""
    logging.disable(logging.CRITICAL)
    with _server() as server, _database(server) as (database, instance):
        modes = storage_figures(server, server.home / "modes", times=TIMES)
        site = Orchestrator(orchestrator.catalogue.products, WORKFLOWS, database=database)
        with database.transaction():
            site.catalogue.apply()
        service = l2vpn_with_ten_endpoints(database)
        figures = [*_models(database, service), *_jobs(site, instance, service)]
        fill(database, MANY)
        more = [*_models(database, service), *_jobs(site, instance, service)]
    show(f"{platform.machine()}, Python {platform.python_version()}, {_versions()}")
    show(_table(figures, more))
    show(_storage_table(modes))


def _models(database: SubscriptionDatabase, service: UUID) -> Iterator[Figure]:
    def load() -> None:
        with database.transaction(read_only=True):
            L2vpn.from_subscription(service)

    def save_unchanged() -> None:
        with database.transaction():
            L2vpn.from_subscription(service).save()

    def change() -> None:
        with database.transaction():
            model = L2vpn.from_subscription(service)
            model.virtual_circuit.speed += 1
            model.save()

    yield measure("load an L2VPN of 31 blocks", database.engine, load, times=TIMES)
    yield measure("load it, save it unchanged", database.engine, save_unchanged, times=TIMES)
    yield measure("load it, change a value, save it", database.engine, change, times=TIMES)


def _jobs(site: Orchestrator, instance: DagsterInstance, service: UUID) -> Iterator[Figure]:
    processes = Processes(site, instance)

    def run(workflow: str, inputs: Any) -> None:
        process_id = processes.start(workflow, inputs, user="benchmark")
        status = processes.execute(process_id, user="benchmark")
        assert status is ProcessStatus.COMPLETED, status

    def case(name: str, workflow: str, inputs: Any) -> Figure:
        return measure(name, site.database.engine, lambda: run(workflow, inputs), times=TIMES)

    on_service = {"subscription_id": str(service)}
    nothing = case("task without steps, submit to finished", "no_steps", {})
    trivial_job = case(f"task of {STEPS} trivial steps, submit to finished", "ten_steps", {})
    untouched = case("modify without steps", "no_changes", on_service)
    changing_job = case(f"modify of {STEPS} steps, each changes the L2VPN", "ten_changes", on_service)
    yield from (nothing, trivial_job, trivial_job.per_step("a trivial step", nothing, STEPS))
    yield from (untouched, changing_job, changing_job.per_step("a step that changes the L2VPN", untouched, STEPS))


@contextmanager
def _server() -> Iterator[EmbeddedServer]:
    """A durable server, as an operator has it."""
    home = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))  # the socket's path must be short
    home.chmod(0o711)  # root's server is another user's
    server = EmbeddedServer(home)
    server.attach()
    try:
        yield server
    finally:
        server.detach()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _database(server: EmbeddedServer) -> Iterator[tuple[SubscriptionDatabase, DagsterInstance]]:
    """The subscriptions, and Dagster's storage beside them."""
    database = SubscriptionDatabase(uri=server.uri("orchestrator"))
    schema.upgrade(database)
    try:
        with instance_on(server.home / "dagster", server.uri("dagster")) as instance:
            yield database, instance
    finally:
        database.dispose()


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("dagster", "sqlalchemy", "psycopg", "pydantic"))


def _table(figures: list[Figure], more: list[Figure]) -> Table:
    table = Table("Case", "Statements", "ms, least", "ms, median", f"ratio with {MANY:,} more", box=None)
    for few, many in zip(figures, more, strict=True):
        ratio = f"{many.median / few.median:.2f}"
        table.add_row(few.case, f"{few.statements:g}", f"{few.minimum:.1f}", f"{few.median:.1f}", ratio)
    return table


def _storage_table(modes: list[Figure]) -> Table:
    table = Table("Case", "Statements", "ms, least", "ms, median", "times as fast as stock", box=None)
    stock = modes[0]
    for one in modes:
        ratio = f"{stock.median / one.median:.1f}"
        table.add_row(one.case, f"{one.statements:g}", f"{one.minimum:.1f}", f"{one.median:.1f}", ratio)
    return table


WORKFLOWS = (no_steps, ten_steps, no_changes, ten_changes)

if __name__ == "__main__":
    main()
