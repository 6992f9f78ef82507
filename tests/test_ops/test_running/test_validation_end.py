"""A validation that is a process of its own is recorded in the transaction that ends or fails it."""

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from dagster import DagsterEventType, TableMetadataValue

from ops.running import execution
from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import validate_workflow
from orchestrator_defs.testing import Run, Testbed
from resources import clock
from resources.database.fleet_tables import ValidationHistoryTable, ValidationTable
from resources.database.session import current_session
from resources.domain.saving.authorship import Author, authored_by
from resources.errors import DriftFound, ExternalSystemUnavailable
from resources.processes import ledger, recovery, validations
from resources.subscriptions.history import read_history
from resources.types import State
from resources.validations import failing
from tests.marks import put_out_of_sync
from tests.test_resources.test_domain.domain import Device
from tests.toy_network import DEVICE, World, add_device, device_workflows


class Network:
    """A device, and its validations as processes."""

    def __init__(self, testbed_of: Callable[..., Any], *workflows: Any) -> None:
        self.world = World()
        self.bed: Testbed = testbed_of((*device_workflows(self.world), *workflows), [DEVICE])
        self.device: UUID = add_device(self.bed, self.world)

    def run(self, workflow: str = "validate_device", *pages: Any, **how: Any) -> Run:
        return self.bed.run(workflow, [{"subscription_id": str(self.device)}, *pages], **how)

    def drift(self) -> None:
        self.world.hostnames[str(self.device)] = "evil1"

    def repair(self) -> None:
        self.world.hostnames[str(self.device)] = "ams1"

    @property
    def newest(self) -> ValidationTable:
        with self.bed.database.transaction(read_only=True) as session:
            return session.scalars(sa.select(ValidationTable)).one()

    @property
    def history(self) -> list[ValidationHistoryTable]:
        with self.bed.database.transaction(read_only=True) as session:
            return list(session.scalars(sa.select(ValidationHistoryTable).order_by(sa.text("history_id"))))

    def assert_failed_and_due_later(self, reason: str) -> None:
        (line,) = self.history
        assert (line.result, self.newest.result, self.insync) == ("failed", "failed", True)
        assert reason in str(line.reason)
        assert self.newest.due_at is not None and self.newest.due_at > clock.now() + timedelta(minutes=9)

    @property
    def insync(self) -> bool:
        return bool(self.bed.subscription(self.device).insync)


@pytest.fixture
def network(testbed_of: Callable[..., Any]) -> Network:
    return Network(testbed_of)


def test_drift_is_recorded_with_the_process_that_found_it(network: Network) -> None:
    network.drift()
    run = network.run(user="ann")
    run.assert_drift()
    newest, (line,) = network.newest, network.history
    difference = {"system": "device", "path": "device.hostname", "expected": "ams1", "found": "evil1"}
    assert newest.differences == [{**difference, "severity": "error", "workflow": "validate_device"}]
    assert (newest.result, newest.process_id, line.created_by) == ("drifted", run.row.process_id, "ann")
    assert newest.run_id == run.row.run_id
    assert newest.due_at is not None and newest.seconds is not None and newest.seconds >= 0


def test_a_pass_is_recorded(network: Network) -> None:
    run = network.run()
    run.assert_completed()
    assert (network.newest.result, network.newest.process_id) == ("passed", run.row.process_id)


@pytest.mark.parametrize(
    ("error", "result"),
    [(ExternalSystemUnavailable("The controller is down."), "unreachable"), (RuntimeError("Oh."), "failed")],
)
def test_what_kept_it_from_looking_is_recorded(testbed_of: Callable[..., Any], error: Exception, result: str) -> None:
    @step("Look")
    def look(subscription: Device) -> None:
        raise error

    @validate_workflow("Look", product_type="Device")
    def look_at_device() -> Any:
        return begin >> look

    network = Network(testbed_of, look_at_device)
    network.run("look_at_device")
    assert (network.newest.result, network.insync) == (result, True)
    assert str(error) in str(network.newest.reason)


def exit_python(subscription: Device) -> None:
    sys.exit(3)


def break_engine(*_: Any) -> None:
    raise LookupError("The engine is broken.")


def test_one_that_leaves_python_has_failed(testbed_of: Callable[..., Any]) -> None:
    @validate_workflow("Look", product_type="Device")
    def look_at_device() -> Any:
        return begin >> step("Look")(exit_python)

    network = Network(testbed_of, look_at_device)
    network.run("look_at_device").assert_status("failed")
    network.assert_failed_and_due_later("sys.exit(3)")


@pytest.mark.parametrize("place", ["_claim", "_attempt", "record_failure"])
def test_one_that_the_engine_fails_has_failed_and_is_due_after_a_pause(
    network: Network, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    network.world.broken = {"compare"}  # so that there is a failure to record
    monkeypatch.setattr(execution, place, break_engine)
    network.run().assert_status("failed")
    network.assert_failed_and_due_later("The engine is broken.")


def test_one_whose_run_is_lost_for_good_has_failed_and_is_due_after_a_pause(network: Network) -> None:
    page = {"subscription_id": str(network.device)}
    process_id = network.bed.processes.starts.start("validate_device", [page], user="ann")
    with network.bed.database.transaction():
        (found,) = recovery.states_of([process_id])
        assert failing.mark_as_failed(found, "Its run was lost.")
    network.assert_failed_and_due_later("Its run was lost.")
    assert (network.history[0].process_id, network.history[0].created_by) == (process_id, "ann")


def test_a_process_fails_though_its_result_cannot_be_recorded(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_id = network.bed.processes.starts.start(
        "validate_device", [{"subscription_id": str(network.device)}], user="ann"
    )
    monkeypatch.setattr(failing, "record", lambda *_, **__: current_session().execute(sa.text("SELECT 1 / 0")))
    with network.bed.database.transaction():
        failing.mark_as_failed(recovery.states_of([process_id])[0], "Its run was lost.")
    with network.bed.database.transaction(read_only=True):
        assert recovery.states_of([process_id])[0].status == "failed"
    assert network.history == []


def test_a_pass_clears_the_mark_and_ends_the_validation_that_made_it(network: Network) -> None:
    network.drift()
    found = network.run()
    assert not network.insync
    network.repair()
    passed = network.run()
    assert network.insync
    found.assert_aborted()
    assert f"Process {passed.row.process_id} found no difference" in found.ledger["__abort__"].error["reason"]
    with network.bed.database.transaction(read_only=True):
        assert read_history(network.device)[0].process_id == passed.row.process_id


def test_a_retry_of_the_validation_that_found_the_drift_clears_it(network: Network) -> None:
    network.drift()
    found = network.run()
    network.repair()
    found.retry()
    found.assert_completed()
    assert network.insync


def test_a_pass_leaves_the_mark_of_a_process(network: Network) -> None:
    with network.bed.database.transaction():
        put_out_of_sync(network.device)
    network.run().assert_completed()
    assert (network.insync, network.newest.result) == (False, "passed")


def test_the_mark_of_a_process_that_failed_on_drift_is_its_own(network: Network) -> None:
    """A reconciliation took the subscription, failed, and was aborted: a pass does not know what it left behind."""
    network.drift()
    network.run()
    network.world.broken = {"configure"}
    network.run("reconcile_device").abort()
    network.world.broken = set()
    network.repair()
    network.run().assert_completed()
    assert not network.insync


def test_reconcile_clears_the_mark_and_the_next_pass_is_the_newest_result(network: Network) -> None:
    network.drift()
    network.run()
    network.run("reconcile_device").assert_completed()
    assert network.insync
    network.run().assert_completed()
    assert [one.result for one in network.history] == ["drifted", "passed"]


def test_a_person_s_set_in_sync_clears_the_mark_of_a_validation(network: Network) -> None:
    network.drift()
    found = network.run()
    with network.bed.database.transaction():
        validations.confirm_in_sync(network.device, user="ann", reason="It is so.")
    assert network.insync
    found.assert_aborted()


def change(network: Network) -> None:
    """Somebody renames the device."""
    with authored_by(Author("bob")):
        device = Device.from_subscription(network.device)
        device.device.hostname = "lon1"
        device.save()


def lock(network: Network) -> None:
    """A process takes the device."""
    process = network.run("modify_device", {"hostname": "lon1"}).row.process_id
    current_session().execute(sa.text("UPDATE subscriptions SET locked_by = :process"), {"process": process})


@pytest.mark.parametrize("meddle", [change, lock])
@pytest.mark.parametrize("error", [None, DriftFound("ams1 differs.")])
def test_of_a_subscription_that_others_change_meanwhile_nothing_is_recorded(
    testbed_of: Callable[..., Any], meddle: Callable[[Network], None], error: Exception | None
) -> None:
    @step("Look")
    def look(subscription: Device) -> None:
        database = network.bed.database
        with database.detached(), database.transaction():
            meddle(network)
        if error is not None:
            raise error

    @validate_workflow("Look", product_type="Device")
    def look_slowly() -> Any:
        return begin >> look

    network = Network(testbed_of, look_slowly)
    network.run("look_slowly").assert_status("completed" if error is None else "inconsistent_data")
    assert (network.insync, network.newest.result, network.history) == (True, None, [])


def test_a_validation_that_saves_its_subscription_is_recorded_too(testbed_of: Callable[..., Any]) -> None:
    @step("Note")
    def note(subscription: Device) -> State:
        subscription.note = "seen"
        return {"subscription": subscription}

    @validate_workflow("Note", product_type="Device", in_batch=False)
    def note_device() -> Any:
        return begin >> note

    network = Network(testbed_of, note_device)
    network.run("note_device").assert_completed()
    assert network.newest.result == "passed"


def test_result_and_end_are_one(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps the end from being written takes the result back, too."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no end")

    network.run()
    monkeypatch.setattr("resources.processes.ledger.record_step", refuse_done(broken))
    network.drift()
    network.repair()
    network.run()
    assert [one.result for one in network.history] == ["passed", "failed"]


def refuse_done(refuse: Callable[..., None]) -> Callable[..., Any]:
    record = ledger.record_step

    def refusing(line: Any, **how: Any) -> Any:
        return refuse() if line.step_key == "done" else record(line, **how)

    return refusing


def test_dagster_shows_the_differences_of_the_failed_step_as_a_table(network: Network) -> None:
    network.drift()
    run = network.run()
    records = network.bed.instance.get_records_for_run(
        str(run.row.run_id), of_type=DagsterEventType.STEP_FAILURE
    ).records
    failure = records[0].event_log_entry.dagster_event.step_failure_data.user_failure_data  # type: ignore[union-attr]
    table = failure.metadata["differences"]
    assert isinstance(table, TableMetadataValue)
    expected = {"path": "device.hostname", "expected": "ams1", "found": "evil1", "system": "device"}
    assert [one.data for one in table.records] == [{**expected, "severity": "error"}]


def test_dagster_shows_that_a_validation_passed(network: Network) -> None:
    run = network.run()
    outputs = network.bed.instance.all_logs(str(run.row.run_id), of_type=DagsterEventType.STEP_OUTPUT)
    shown = [one.dagster_event.step_output_data.metadata for one in outputs if one.dagster_event]
    assert shown[-1]["validation"].value == "passed"
