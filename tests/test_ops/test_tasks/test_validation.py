"""A batch validates what is due: each subscription by itself, nothing twice, and what is left over is due again."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from dagster import ResourceParam
from sqlalchemy import text

from ops.steps.context import StepContext
from ops.steps.step import begin, step
from ops.tasks.validation import Batch, validated_products
from ops.validating import single
from ops.waiting.wait_steps import wait_until
from orchestrator_defs.jobs.decorators import validate_workflow
from orchestrator_defs.testing import Testbed
from resources import clock
from resources.database.session import statement_counter
from resources.errors import ExternalSystemUnavailable
from resources.processes import interventions, pause, recovery
from resources.settings import settings
from resources.types import ProcessStatus, State, SubscriptionLifecycle, ValidationResult
from resources.validations import due, failing, results
from resources.validations.results import Outcome, record
from tests.test_resources.test_domain.domain import Device
from tests.toy_network import DEVICE, World, add_device, device_workflows


class Fleet:
    """Devices, and how their validations ended."""

    def __init__(self, bed: Testbed, world: World) -> None:
        self.bed, self.world, self.add = bed, world, partial(add_device, bed, world)

    def rows(self, query: str) -> list[Any]:
        with self.bed.database.transaction(read_only=True) as session:
            return [tuple(row) for row in session.execute(text(query))]

    def change(self, statement: str) -> None:
        with self.bed.database.transaction() as session:
            session.execute(text(statement))

    @property
    def results(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT result FROM validation_history ORDER BY history_id")]

    def due_in(self, subscription_id: UUID) -> timedelta:
        query = f"SELECT due_at FROM validations WHERE subscription_id = '{subscription_id}'"
        due_at = self.rows(query)[0][0]
        return due_at - clock.now()

    def batch(self) -> Any:
        return self.bed.run("task_validate_batch")

    def when_compared(self, act: Callable[[], None]) -> None:
        """Do something in the middle of the first comparison."""
        call, acts = self.world.call, [act]

        def acting(name: str) -> None:
            while acts:
                acts.pop()()
            call(name)

        self.world.call = acting  # type: ignore[method-assign]


@pytest.fixture
def fleet(testbed_of: Callable[..., Testbed]) -> Fleet:
    world = World()
    return Fleet(testbed_of(device_workflows(world), [DEVICE]), world)


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("VALIDATION_THREADS", "1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def test_each_has_a_result_and_a_line_of_its_own(fleet: Fleet) -> None:
    names = [str(fleet.add(name)) for name in ("first", "second", "third")]
    run = fleet.batch()
    run.assert_state({"validated": {"passed": 3, "drifted": 0, "unreachable": 0, "failed": 0}})
    assert fleet.results == ["passed"] * 3
    messages = [event.user_message for event in fleet.bed.instance.all_logs(str(run.process_id))]
    lines = [line for message in messages for line in message.splitlines()]
    assert sorted(line for line in lines if "validate_device" in line) == sorted(
        f"{name} validate_device: passed" for name in names
    )


def test_a_batch_reads_what_it_claims_in_one_statement_and_records_each_in_one_of_its_own(fleet: Fleet) -> None:
    for number in range(10):
        fleet.add(f"device{number}")
    with statement_counter(fleet.bed.database.engine) as sent:
        fleet.batch()
    assert fleet.results == ["passed"] * 10
    assert len([one for one in sent.statements if "WITH RECURSIVE tree" in one]) == 1
    assert len([one for one in sent.statements if "INSERT INTO validation_history" in one]) == 10


def test_what_changed_after_it_was_read_ahead_is_not_recorded(fleet: Fleet) -> None:
    first = fleet.add("first")

    def change() -> None:
        with fleet.bed.database.detached():
            fleet.change(f"UPDATE subscriptions SET version = 2 WHERE subscription_id = '{first}'")

    fleet.when_compared(change)
    fleet.batch().assert_state({"validated": {"passed": 0, "failed": 0}})
    assert fleet.due_in(first) < timedelta(minutes=11)


def test_drift_is_marked_and_shown_and_the_batch_is_green(fleet: Fleet) -> None:
    right, wrong = fleet.add("right"), fleet.add("wrong")
    fleet.world.hostnames[str(wrong)] = "other"
    run = fleet.batch()
    run.assert_completed()
    assert (fleet.bed.subscription(right).insync, fleet.bed.subscription(wrong).insync) == (True, False)
    outputs = [
        event.dagster_event.step_output_data.metadata
        for event in fleet.bed.instance.all_logs(str(run.process_id))
        if event.dagster_event and event.dagster_event.is_successful_output
    ]
    (shown,) = [one for one in outputs if "drift" in one]
    assert (shown["passed"].value, shown["drifted"].value) == (1, 1)
    (row,) = [record.data for record in shown["drift"].value.records]
    assert (row["subscription"], row["path"], row["expected"]) == ("Device wrong", "device.hostname", "wrong")
    assert row["found"] == "other"


def test_what_drifted_is_looked_at_again_and_its_mark_cleared(fleet: Fleet, later: Callable[..., Any]) -> None:
    wrong = fleet.add("wrong")
    fleet.world.hostnames[str(wrong)] = "other"
    fleet.batch()
    assert timedelta(minutes=59) < fleet.due_in(wrong) <= timedelta(minutes=60)
    fleet.world.hostnames[str(wrong)] = "wrong"
    with later(timedelta(minutes=61)):
        fleet.batch()
    assert fleet.bed.subscription(wrong).insync


def test_nothing_is_validated_again_before_it_is_due(fleet: Fleet) -> None:
    fleet.add("first")
    fleet.batch()
    fleet.batch().assert_state({"validated": {"passed": 0}})
    assert fleet.results == ["passed"]


def test_each_of_a_products_validations_is_recorded_and_the_claim_ends_with_the_last(
    testbed_of: Callable[..., Testbed],
) -> None:
    world = World()

    @step("Look")
    def look(subscription: Device) -> None:
        world.call("look")

    @validate_workflow("Look at it", product_type="Device")
    def look_at_it() -> Any:
        return begin >> look

    fleet = Fleet(testbed_of([*device_workflows(world), look_at_it], [DEVICE]), world)
    fleet.add("first")
    fleet.batch()
    assert sorted(world.calls) == ["compare", "look"]
    assert fleet.rows("SELECT result, claimed_by, due_at > now() + interval '1 hour' FROM validations") == [
        ("passed", None, True)
    ]


def test_an_outage_marks_nothing_and_is_tried_again_soon(fleet: Fleet) -> None:
    away = fleet.add("away")
    fleet.world.call = lambda _: exec_raise(ExternalSystemUnavailable("NetBox does not answer."))  # type: ignore[method-assign]
    fleet.batch().assert_completed()
    assert fleet.results == ["unreachable"]
    assert fleet.bed.subscription(away).insync
    assert timedelta(minutes=4) < fleet.due_in(away) <= timedelta(minutes=5)


def exec_raise(error: Exception) -> None:
    raise error


def test_one_that_breaks_stops_none_of_the_others(fleet: Fleet, one_at_a_time: None) -> None:
    for name in ("first", "second"):
        fleet.add(name)
    fleet.when_compared(lambda: exec_raise(RuntimeError("a bug")))
    fleet.batch().assert_completed()
    assert fleet.results == ["failed", "passed"]


class Escaped(BaseException):
    """Nothing that a step should raise."""


def test_whatever_one_raises_is_its_own_result(fleet: Fleet, one_at_a_time: None) -> None:
    def escape() -> None:
        raise Escaped("out")

    fleet.add("first")
    fleet.add("second")
    fleet.when_compared(escape)
    fleet.batch().assert_state({"validated": {"passed": 1, "failed": 1}})


def test_what_cannot_be_stored_of_one_is_its_failure(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or every batch would fail that claims it."""
    wrong = fleet.add("wrong")
    fleet.add("right")
    fleet.world.hostnames[str(wrong)] = "other"
    found = {"system": "x", "path": "x", "expected": "\0", "found": None, "severity": "error"}
    monkeypatch.setattr(single, "differences_of", lambda error, _: [found])
    fleet.batch().assert_state({"validated": {"passed": 1, "failed": 1, "drifted": 0}})
    assert fleet.due_in(wrong) > timedelta(minutes=59)


def test_a_batch_that_breaks_leaves_a_pause_before_its_rest_is_due(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fleet.add("first")
    monkeypatch.setattr(results, "record", lambda *_, **__: False)
    monkeypatch.setattr(Batch, "_report", lambda *_: 1 / 0)
    fleet.batch().assert_failed()
    assert fleet.due_in(first) > timedelta(minutes=4)


def test_what_a_lost_batch_had_claimed_is_due_after_a_pause(fleet: Fleet) -> None:
    first = fleet.add("first")
    process_id = fleet.bed.processes.starts.start("task_validate_batch", [], user="ann")
    products = validated_products(fleet.bed.orchestrator)
    with fleet.bed.database.transaction():
        assert due.claim(products, process_id, limit=5)[0]
        assert failing.mark_as_failed(recovery.states_of([process_id])[0], "Its run was lost.")
    assert fleet.due_in(first) > timedelta(minutes=4)
    assert fleet.rows("SELECT claimed_by FROM validations") == [(None,)]


def test_a_batch_is_no_larger_than_the_settings_say(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "validation_batch_size", 2)
    for name in ("first", "second", "third"):
        fleet.add(name)
    fleet.batch()
    assert len(fleet.results) == 2


def test_a_subscription_deleted_meanwhile_is_left_out(fleet: Fleet, one_at_a_time: None) -> None:
    first, second = fleet.add("first"), fleet.add("second")
    fleet.change(f"UPDATE validations SET due_at = due_at - interval '1 hour' WHERE subscription_id = '{first}'")

    def delete() -> None:
        with fleet.bed.database.detached():
            fleet.change(f"DELETE FROM subscription_instances WHERE subscription_id = '{second}'")
            fleet.change(f"DELETE FROM subscriptions WHERE subscription_id = '{second}'")

    fleet.when_compared(delete)
    fleet.batch().assert_state({"validated": {"passed": 1, "failed": 0}})


# --- stopped ---


def test_a_paused_batch_leaves_the_rest_due(fleet: Fleet, one_at_a_time: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.tasks.validation.LOOK_SECONDS", 0.0)
    for number in range(5):
        fleet.add(f"host{number}")

    def stop() -> None:
        with fleet.bed.database.detached(), fleet.bed.database.transaction():
            pause.set_paused(True, user="ada")

    fleet.when_compared(stop)
    run = fleet.batch()
    run.assert_waiting()
    done = len(fleet.results)
    assert 0 < done < 5
    assert fleet.rows("SELECT count(*) FROM validations WHERE due_at <= now() AND claimed_by IS NULL") == [(5 - done,)]


def test_a_task_that_validates_all_goes_on_after_a_pause_and_none_is_validated_twice(
    fleet: Fleet, one_at_a_time: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.tasks.validation.LOOK_SECONDS", 0.0)
    for number in range(5):
        fleet.add(f"host{number}")

    def set_paused(is_paused: bool) -> None:
        with fleet.bed.database.detached(), fleet.bed.database.transaction():
            pause.set_paused(is_paused, user="ada")

    fleet.when_compared(lambda: set_paused(True))
    run = fleet.bed.run("task_validate_subscriptions")
    run.assert_waiting()
    set_paused(False)
    fleet.bed.wake()
    run.assert_completed()
    run.assert_state({"validated": {"passed": 5}})
    assert len(fleet.results) == 5


def test_an_aborted_batch_leaves_the_rest_due(
    fleet: Fleet, one_at_a_time: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.tasks.validation.LOOK_SECONDS", 0.0)
    for number in range(5):
        fleet.add(f"host{number}")

    def abort() -> None:
        with fleet.bed.database.detached(), fleet.bed.database.transaction() as session:
            process_id = session.scalar(text("SELECT process_id FROM processes ORDER BY started_at DESC LIMIT 1"))
            interventions.abort(process_id, user="ada")

    fleet.when_compared(abort)
    run = fleet.batch()
    assert run.status is ProcessStatus.ABORTED
    left = fleet.rows("SELECT count(*) FROM validations WHERE due_at <= now() AND claimed_by IS NULL")
    assert left == [(5 - len(fleet.results),)]
    assert 0 < len(fleet.results) < 5


def test_a_killed_batch_leaves_the_rest_due_and_nothing_is_recorded_twice(
    fleet: Fleet, one_at_a_time: None, forked: Callable[..., int], later: Callable[..., Any]
) -> None:
    for number in range(6):
        fleet.add(f"host{number}")

    def die_at_the_fourth() -> None:
        orchestrator, calls = fleet.bed.orchestrator, fleet.world.calls
        fleet.world.call = lambda name: os._exit(9) if len(calls) == 3 else calls.append(name)  # type: ignore[method-assign, func-returns-value]
        context = StepContext(uuid4(), "task_validate_batch", "validate", "SYSTEM", logging.getLogger(__name__))
        products = validated_products(orchestrator)
        Batch(orchestrator, context, fleet.bed.database, products, before=clock.now(), most=None).run()

    assert forked(die_at_the_fourth) == 9
    assert fleet.results == ["passed"] * 3
    fleet.batch()
    assert fleet.results == ["passed"] * 3
    with later(due.LEASE + timedelta(minutes=1)):
        fleet.batch()
    assert fleet.rows("SELECT count(*), count(DISTINCT subscription_id) FROM validation_history") == [(6, 6)]


def test_a_batch_whose_lease_has_ended_records_nothing(fleet: Fleet, later: Callable[..., Any]) -> None:
    """Another may have recorded it: a frozen process that wakes up does not do it twice."""
    subscription_id = fleet.add("first")
    products, holders = validated_products(fleet.bed.orchestrator), [uuid4(), uuid4()]
    kept = []
    for number, holder in enumerate(holders):
        with later(number * (due.LEASE + timedelta(minutes=1))), fleet.bed.database.transaction():
            assert len(due.claim(products, holder, limit=5)[0]) == 1
    outcome = Outcome(subscription_id, "validate_device", "Test Device", ValidationResult.PASSED, 1, 0.1)
    for holder in (*reversed(holders), holders[0]):
        with fleet.bed.database.transaction():
            kept.append(record(outcome, process_id=None, run_id=None, user="", due_at=clock.now(), holder=holder))
    assert kept == [True, False, False]
    assert fleet.results == ["passed"]


def test_two_that_claim_at_once_get_different_ones(fleet: Fleet) -> None:
    ids = {fleet.add(f"host{number}") for number in range(20)}
    products = validated_products(fleet.bed.orchestrator)

    def claim(_: int) -> list[UUID]:
        with fleet.bed.database.transaction():
            return [one.subscription_id for one in due.claim(products, uuid4(), limit=5)[0]]

    with ThreadPoolExecutor(4) as pool:
        found = [one for part in pool.map(claim, range(4)) for one in part]
    assert (len(found), set(found)) == (20, ids)


# --- one by one ---


def in_an_hour(_: State) -> datetime:
    return clock.now() + timedelta(hours=1)


def waiting_validation(world: World) -> Any:
    @step("Look")
    def look(subscription: Device) -> None:
        world.call("look")

    @validate_workflow("Look later", product_type="Device")
    def look_later() -> Any:
        return begin >> wait_until(in_an_hour) >> look

    return look_later


def test_a_validation_that_waits_has_a_process_of_its_own(testbed_of: Callable[..., Testbed]) -> None:
    world = World()
    fleet = Fleet(testbed_of([waiting_validation(world)], [DEVICE]), world)
    subscription_id = fleet.add("first")
    run = fleet.batch()
    run.assert_state({"validations_started": 1, "validated": {"passed": 0}})
    query = "SELECT name, created_by FROM processes JOIN workflows USING (workflow_id) WHERE target = 'VALIDATE'"
    assert fleet.rows(query) == [("look_later", "tester")]
    assert timedelta() < fleet.due_in(subscription_id) <= due.LEASE


def test_it_is_not_started_again_while_its_process_is_unfinished(
    testbed_of: Callable[..., Testbed], later: Callable[..., Any]
) -> None:
    world = World()
    fleet = Fleet(testbed_of([waiting_validation(world)], [DEVICE]), world)
    fleet.add("first")
    fleet.batch()
    with later(due.LEASE + timedelta(minutes=1)):
        fleet.batch().assert_state({"validations_started": 0})


@pytest.mark.parametrize("status", ["suspended", "awaiting_callback"])
def test_it_is_not_started_again_while_its_process_waits_for_somebody(
    testbed_of: Callable[..., Testbed], later: Callable[..., Any], status: str
) -> None:
    world = World()
    fleet = Fleet(testbed_of([waiting_validation(world)], [DEVICE]), world)
    fleet.add("first")
    fleet.batch()
    fleet.change(f"UPDATE processes SET last_status = '{status}' WHERE last_status NOT IN ('completed')")
    with later(due.LEASE + timedelta(minutes=1)):
        fleet.batch().assert_state({"validations_started": 0})


def test_no_more_than_the_settings_say_are_started(
    testbed_of: Callable[..., Testbed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "validations_at_once", 2)
    world = World()
    fleet = Fleet(testbed_of([waiting_validation(world)], [DEVICE]), world)
    for name in ("first", "second", "third"):
        fleet.add(name)
    fleet.batch().assert_state({"validations_started": 2})


# --- what is validated ---


def test_a_product_has_the_statuses_and_systems_of_all_its_validations(
    testbed_of: Callable[..., Testbed],
) -> None:
    """The batch has the systems, too."""

    @step("Ask")
    def ask(subscription: Device, inventory: ResourceParam[Any]) -> None:
        assert inventory == "one"

    @validate_workflow("Ask", product_type="Device", usable_when=[SubscriptionLifecycle.PROVISIONING])
    def ask_inventory() -> Any:
        return begin >> ask

    bed = testbed_of([*device_workflows(World()), ask_inventory], [DEVICE], {"inventory": "one"})
    (found,) = validated_products(bed.orchestrator).values()
    assert found.statuses == {SubscriptionLifecycle.ACTIVE, SubscriptionLifecycle.PROVISIONING}
    assert found.systems == {"inventory"}
    fleet = Fleet(bed, World())
    fleet.add("first")
    fleet.change("UPDATE subscriptions SET status = 'provisioning'")
    bed.run("task_validate_batch").assert_completed()
    assert fleet.results == ["passed"]
