"""The code of a product changes under live subscriptions and processes in flight: plan, apply, back-fill."""

import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from dagster import DagsterInstance

from orchestrator_defs.health.diagnosis import diagnose
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.testing import Run, Testbed
from resources import tags
from resources.catalogue import backlog
from resources.catalogue.backlog import Backlog, bring_up_batch, enqueue, read_backlog
from resources.database.session import SubscriptionDatabase, statement_counter
from resources.database.tables import ProductTable, SubscriptionInstanceTable, SubscriptionTable
from resources.domain.subscription_model import SubscriptionModel
from resources.figures.counts import subscription_counts
from resources.subscriptions.lists import count_subscriptions
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from resources.types import ProcessStatus
from tests.ports_in_change import CHANGES, add_ports, code, expected, values_of
from tests.scale import Scaled

LAST = len(CHANGES) - 1


class Deployments:
    """The same database under one version of the code after the other."""

    def __init__(self, testbed_of: Callable[..., Testbed], database: SubscriptionDatabase) -> None:
        self._testbed_of = testbed_of
        self.database = database
        self.bed = testbed_of(*code(0))

    def plan(self, version: int) -> list[str]:
        """What the plan of a version says."""
        workflows, products = code(version)
        catalogue = Orchestrator(products, workflows, None, self.database).catalogue
        with self.database.transaction(read_only=True):
            return [str(change) for change in catalogue.plan()]

    def deploy(self, version: int) -> None:
        """Run this version from now on; its catalogue is applied."""
        self.bed = self._testbed_of(*code(version))

    def suspend(self, subscription_id: UUID) -> UUID:
        """A process that holds the port, and whose state has it as it is now."""
        (name,) = {"modify_port", "change_port"} & self.bed.orchestrator.workflows.keys()
        run = self.bed.run(name, [{"subscription_id": str(subscription_id)}])
        assert run.status is ProcessStatus.SUSPENDED
        return run.process_id

    def answer(self, process_id: UUID) -> Run:
        """Answer a suspended process."""
        return Run(self.bed, process_id).answer({"remark": "seen"})

    @property
    def left(self) -> Backlog:
        """What waits for the back-fill."""
        with self.database.transaction(read_only=True):
            return read_backlog(sa.true())

    def values(self, subscription_id: UUID) -> dict[str, Any]:
        """The values of a port as its model has them."""
        return values_of(self.bed.subscription(subscription_id))

    def stored(self, subscription_id: UUID) -> dict[str, Any]:
        """What both the row of the port and the document say."""
        instance = SubscriptionInstanceTable
        row = sa.select(instance.values).where(
            instance.subscription_id == subscription_id, instance.attribute.is_not(None)
        )
        document = sa.select(SubscriptionTable.document).where(SubscriptionTable.subscription_id == subscription_id)
        with self.database.transaction(read_only=True) as session:
            values, shown = session.scalar(row) or {}, session.scalar(document) or {}
        block = shown.get("port") or shown["interface"]
        return {name: value for name, value in values.items() if block.get(name) == value}

    def found(self, query: str) -> int:
        """How many subscriptions a search finds."""
        with self.database.transaction(read_only=True):
            return count_subscriptions([SUBSCRIPTION_FIELDS.search(query)])


@pytest.fixture
def deployments(testbed_of: Callable[..., Testbed], database: SubscriptionDatabase) -> Deployments:
    return Deployments(testbed_of, database)


# --- each kind of change ---


@pytest.mark.parametrize("version", range(1, LAST + 1), ids=CHANGES[1:])
def test_a_change_reaches_what_is_stored_and_what_processes_have_kept(deployments: Deployments, version: int) -> None:
    free, held = add_ports(deployments.bed, 2)
    process = deployments.suspend(held)
    deployments.deploy(version)
    assert deployments.values(free) == expected(version, 0)
    run = deployments.bed.run("task_backfill")
    assert run.status is ProcessStatus.WAITING
    assert expected(version, 0).items() <= deployments.stored(free).items()
    resumed = deployments.answer(process)
    resumed.assert_completed()
    assert expected(version, 1).items() <= resumed.state["used"].items()
    assert resumed.subscription.note == "seen"
    assert deployments.values(held) == expected(version, 1)


def test_the_past_is_read_by_the_new_model(deployments: Deployments) -> None:
    (port,) = add_ports(deployments.bed, 1)
    deployments.deploy(LAST)
    deployments.bed.run("task_backfill").assert_completed()
    with deployments.database.transaction(read_only=True):
        assert values_of(SubscriptionModel.as_of(port, 1)) == expected(LAST, 0)


def test_a_renamed_value_is_found_by_its_new_name_alone(deployments: Deployments) -> None:
    add_ports(deployments.bed, 2)
    deployments.deploy(1)
    deployments.bed.run("task_backfill").assert_completed()
    with deployments.database.transaction() as session:
        words = session.scalars(sa.select(sa.cast(SubscriptionTable.search, sa.Text))).all()
    assert deployments.found("name_of_port:ge") == 2
    assert not any("'port_name:" in each for each in words)


def test_a_split_moves_those_that_are_chosen_and_the_counts_with_them(deployments: Deployments) -> None:
    add_ports(deployments.bed, 6)
    deployments.deploy(7)
    deployments.bed.run("task_backfill").assert_completed()
    with deployments.database.transaction(read_only=True):
        numbers = {one.product: one.number for one in subscription_counts() if one.number}
    assert numbers == {"Port": 4, "Fast port": 2}


def test_a_plan_says_what_becomes_of_data_and_processes(deployments: Deployments) -> None:
    ports = add_ports(deployments.bed, 3)
    deployments.suspend(ports[0])
    (renamed,) = [line for line in deployments.plan(1) if "product block" in line]
    assert renamed == (
        "update product block 'Port': value 'port_name' renamed to 'name_of_port'; moved in 3 instances "
        "[3 subscriptions, 1 process in flight]"
    )


# --- the back-fill ---


def test_what_a_process_holds_is_left_to_it_and_brought_up_afterwards(deployments: Deployments) -> None:
    ports = add_ports(deployments.bed, 2)
    process = deployments.suspend(ports[0])
    deployments.deploy(2)
    run = deployments.bed.run("task_backfill")
    assert (run.status, deployments.left) == (ProcessStatus.WAITING, Backlog(0, 1, 0))
    deployments.answer(process).assert_completed()
    run.retry().assert_completed()
    assert deployments.left.total == 0


def test_a_back_fill_that_was_stopped_continues_with_the_rest(
    deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_ports(deployments.bed, 5)
    deployments.deploy(1)
    monkeypatch.setattr(backlog, "BATCH", 2)
    with deployments.database.transaction():
        assert bring_up_batch(sa.true(), {}) == (2, 0)
    with pytest.raises(KeyboardInterrupt), deployments.database.transaction():
        bring_up_batch(sa.true(), {})
        raise KeyboardInterrupt
    deployments.bed.run("task_backfill").assert_state({"subscriptions_brought_up": 3})


def test_progress_is_a_tag_of_the_run(deployments: Deployments) -> None:
    add_ports(deployments.bed, 2)
    deployments.deploy(1)
    run = deployments.bed.run("task_backfill")
    (record,) = [one for one in deployments.bed.instance.get_runs() if one.run_id == str(run.row.run_id)]
    assert record.tags[tags.PROGRESS] == "2 of 2"


def test_what_cannot_be_brought_up_is_named_with_the_reason_and_stays_as_it_is(deployments: Deployments) -> None:
    good, bad = add_ports(deployments.bed, 2)
    with deployments.database.transaction() as session:
        session.execute(
            sa.update(SubscriptionInstanceTable)
            .where(SubscriptionInstanceTable.subscription_id == bad, SubscriptionInstanceTable.product_block == "Port")
            .values(values={"port_name": "ge-1", "speed_mbit": "fast"})
        )
    deployments.deploy(4)
    run = deployments.bed.run("task_backfill")
    assert run.status is ProcessStatus.INCONSISTENT_DATA
    ((key, fault),) = deployments.left.faults
    assert key == bad and "gets no value for 'speed': TypeError" in fault
    assert deployments.values(good) == expected(4, 0)


def test_a_batch_takes_as_many_statements_whatever_its_size(deployments: Deployments) -> None:
    counts = []
    for number in (2, 30):
        add_ports(deployments.bed, number)
        with deployments.database.transaction():
            enqueue(products=["Port"])
        with deployments.database.transaction(), statement_counter(deployments.database.engine) as counted:
            bring_up_batch(sa.true(), {})
            counts.append(counted.count)
    assert counts[0] == counts[1] <= 8


def test_the_doctor_says_what_waits(deployments: Deployments, dagster_instance: DagsterInstance) -> None:
    add_ports(deployments.bed, 2)
    deployments.deploy(1)
    found = [one for one in diagnose(deployments.bed.orchestrator, dagster_instance) if one.about == "catalogue"]
    waits = "Subscriptions that a change of a model has yet to reach: 2 wait."
    assert (waits, "Run `orchestrator catalogue backfill`.") in [(one.found, one.advice) for one in found]


# --- at scale ---


@pytest.mark.timeout(3600)
def test_each_kind_of_change_on_many_live_subscriptions(deployments: Deployments, scaled: Scaled) -> None:
    """Nothing is lost, and applying takes as many statements as with few."""
    number, flying = scaled(10_000, least=30), scaled(20, least=2)
    ports = add_ports(deployments.bed, number)
    for version in range(1, LAST + 1):
        in_flight = [deployments.suspend(port) for port in ports[:: number // flying]]
        began = time.perf_counter()
        lines = deployments.plan(version)
        planned, began = time.perf_counter() - began, time.perf_counter()
        with statement_counter(deployments.database.engine) as applied:
            deployments.deploy(version)
        seconds, began = time.perf_counter() - began, time.perf_counter()
        with statement_counter(deployments.database.engine) as filled:
            run = deployments.bed.run("task_backfill")
        batches = -(-number // backlog.BATCH)
        took = f"plan {planned:.1f} s, apply {seconds:.1f} s with {applied.count} statements, back-fill "
        took += f"{time.perf_counter() - began:.1f} s with {filled.count} statements"
        sys.stdout.write("\n  ".join([f"{CHANGES[version]}: {took}", *lines]) + "\n")
        assert applied.count <= 60 and filled.count <= 60 + 12 * batches
        for process in in_flight:
            deployments.answer(process).assert_completed()
        if run.status is ProcessStatus.WAITING:
            run.retry().assert_completed()
        assert deployments.left.total == 0
        for place in range(0, number, max(number // 100, 1)):
            assert deployments.values(ports[place]) == expected(version, place)
    _assert_whole(deployments, ports)


def _assert_whole(deployments: Deployments, ports: list[UUID]) -> None:
    with deployments.database.transaction() as session:
        query = sa.select(SubscriptionTable.subscription_id, SubscriptionTable.document, ProductTable.name)
        rows = session.execute(query.join(ProductTable, ProductTable.product_id == SubscriptionTable.product_id))
        stored = {row.subscription_id: row for row in rows}
        numbers = {one.product: one.number for one in subscription_counts() if one.number}
    for place, port in enumerate(ports):
        shown = stored[port].document["interface"]
        assert expected(LAST, place).items() <= shown.items()
        assert stored[port].name == stored[port].document["product"]["name"]
        assert stored[port].name == ("Fast port" if shown["speed"] == "100G" else "Port")
    assert numbers == {name: sum(row.name == name for row in stored.values()) for name in ("Port", "Fast port")}
    assert deployments.found("site:ams") == len(ports)
