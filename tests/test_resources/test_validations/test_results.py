"""The result of a validation, its history and its mark are one statement; only a validation's own mark is cleared."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import validate_workflow
from resources.database.fleet_tables import ValidationHistoryTable, ValidationTable
from resources.database.session import SubscriptionDatabase, statement_counter
from resources.database.tables import SubscriptionTable
from resources.subscriptions.history import read_history
from resources.types import ValidationResult
from resources.validations.results import MOST_DIFFERENCES, Outcome, record
from tests.test_resources.test_domain.domain import Device
from tests.toy_network import DEVICE, World, add_device, device_workflows
from tests.waiting import eventually

PASSED, DRIFTED, UNREACHABLE, FAILED = ValidationResult
DIFFERENCE = {"system": "netbox", "path": "netbox.site", "expected": "a", "found": "b", "severity": "error"}


class Fleet:
    """A device with two validate workflows, and what is stored of its validations."""

    def __init__(self, bed: Any) -> None:
        self.database: SubscriptionDatabase = bed.database
        self.subscription_id = add_device(bed)

    def record(self, result: ValidationResult, workflow: str = "validate_device", **how: Any) -> bool:
        differences = how.pop("differences", [DIFFERENCE] if result is DRIFTED else [])
        version = how.pop("version", None) or self.subscription.version
        outcome = Outcome(self.subscription_id, workflow, "Test Device", result, version, 0.5, differences)
        known: dict[str, Any] = {"process_id": None, "run_id": "run", "user": "ann", "due_at": later(24)} | how
        with self.database.transaction():
            return record(replace(outcome, reason=known.pop("reason", None)), **known)

    def change(self, **values: Any) -> None:
        with self.database.transaction() as session:
            session.execute(sa.update(SubscriptionTable).values(**values))

    @property
    def subscription(self) -> SubscriptionTable:
        with self.database.transaction(read_only=True) as session:
            return session.scalars(sa.select(SubscriptionTable)).one()

    @property
    def is_waited_for(self) -> bool:
        with self.database.transaction(read_only=True) as session:
            return bool(session.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    @property
    def newest(self) -> ValidationTable:
        with self.database.transaction(read_only=True) as session:
            return session.scalars(sa.select(ValidationTable)).one()

    @property
    def history(self) -> list[ValidationHistoryTable]:
        with self.database.transaction(read_only=True) as session:
            return list(session.scalars(sa.select(ValidationHistoryTable).order_by(sa.text("history_id"))))


def later(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


@pytest.fixture
def fleet(testbed_of: Callable[..., Any]) -> Fleet:
    @step("Ping")
    def ping(subscription: Device) -> None:
        """Nothing."""

    @validate_workflow("Ping device", product_type="Device")
    def ping_device() -> Any:
        return begin >> ping

    return Fleet(testbed_of((*device_workflows(World()), ping_device), [DEVICE]))


def test_a_result_is_the_newest_and_in_the_history(fleet: Fleet) -> None:
    due = later(24)
    assert fleet.record(DRIFTED, due_at=due)
    newest, (line,) = fleet.newest, fleet.history
    for row in (newest, line):
        assert (row.result, row.severity, row.workflow, row.run_id) == ("drifted", "error", "validate_device", "run")
        assert row.differences == [{**DIFFERENCE, "workflow": "validate_device"}]
        assert (row.version, row.seconds) == (fleet.subscription.version, 0.5)
    assert (newest.due_at, line.created_by) == (due, "ann")


def test_a_result_with_its_mark_is_one_statement(fleet: Fleet) -> None:
    with statement_counter(fleet.database.engine) as sent:
        fleet.record(DRIFTED, version=1)
    assert sent.count == 1
    assert not fleet.subscription.insync


def test_drift_marks_the_subscription_as_a_validation_s(fleet: Fleet) -> None:
    fleet.record(DRIFTED)
    assert (fleet.subscription.insync, fleet.subscription.out_of_sync_by) == (False, "validation")


@pytest.mark.parametrize("result", [UNREACHABLE, FAILED])
def test_what_found_nothing_out_leaves_the_mark(fleet: Fleet, result: ValidationResult) -> None:
    fleet.record(result, reason="NetBox does not answer.")
    assert fleet.subscription.insync
    fleet.record(DRIFTED)
    fleet.record(result, reason="NetBox does not answer.")
    assert not fleet.subscription.insync
    assert (fleet.newest.result, fleet.newest.reason) == (result, "NetBox does not answer.")


def test_a_pass_clears_the_mark_of_a_validation_and_the_history_says_so(fleet: Fleet) -> None:
    fleet.record(DRIFTED)
    before = fleet.subscription.version
    assert fleet.record(PASSED)
    assert (fleet.subscription.insync, fleet.subscription.out_of_sync_by) == (True, None)
    assert fleet.subscription.version == fleet.newest.version == before + 1
    with fleet.database.transaction(read_only=True):
        entry = read_history(fleet.subscription_id)[0]
    assert (entry.version, entry.created_by, entry.step_key, entry.difference) == (before + 1, "ann", "validated", [])
    assert "validate_device" in str(entry.reason)


def test_a_pass_leaves_the_mark_of_a_process(fleet: Fleet) -> None:
    fleet.change(insync=False)
    assert fleet.record(PASSED)
    assert not fleet.subscription.insync


def test_drift_does_not_take_over_the_mark_of_a_process(fleet: Fleet) -> None:
    fleet.change(insync=False)
    fleet.record(DRIFTED)
    fleet.record(PASSED)
    assert (fleet.subscription.insync, fleet.subscription.out_of_sync_by) == (False, None)


def test_the_mark_is_no_validation_s_once_a_process_has_taken_the_subscription(fleet: Fleet, process: UUID) -> None:
    fleet.record(DRIFTED)
    fleet.change(locked_by=process)
    fleet.change(locked_by=None)
    fleet.record(PASSED)
    assert not fleet.subscription.insync


@pytest.fixture
def process(fleet: Fleet) -> UUID:
    """The id of some process that may hold a subscription."""
    process_id = uuid4()
    with fleet.database.transaction() as session:
        session.execute(
            sa.text(
                "INSERT INTO processes (process_id, workflow_id, last_status, step_keys)"
                " SELECT :id, workflow_id, 'running', '[]' FROM workflows WHERE name = 'modify_device'"
            ),
            {"id": process_id},
        )
    return process_id


def test_nothing_is_written_about_a_subscription_that_has_changed(fleet: Fleet) -> None:
    fleet.change(version=7)
    assert not fleet.record(DRIFTED, version=6)
    assert (fleet.subscription.insync, fleet.newest.result, fleet.history) == (True, None, [])


def test_nothing_is_written_about_a_subscription_that_a_process_holds(fleet: Fleet, process: UUID) -> None:
    fleet.change(locked_by=process)
    assert not fleet.record(DRIFTED)
    assert (fleet.subscription.insync, fleet.newest.result, fleet.history) == (True, None, [])


def test_the_newest_result_is_the_worst_of_those_of_all_workflows(fleet: Fleet) -> None:
    fleet.record(DRIFTED)
    fleet.record(PASSED, "ping_device")
    assert (fleet.newest.result, fleet.newest.severity) == ("drifted", "error")
    assert [one["workflow"] for one in fleet.newest.differences] == ["validate_device"]
    assert [one.result for one in fleet.history] == ["drifted", "passed"]


def test_a_workflow_that_passes_clears_no_drift_of_another(fleet: Fleet) -> None:
    fleet.record(DRIFTED)
    fleet.record(DRIFTED, "ping_device", differences=[{**DIFFERENCE, "system": "ping"}])
    fleet.record(PASSED)
    assert [one["system"] for one in fleet.newest.differences] == ["ping"]
    assert not fleet.subscription.insync
    fleet.record(PASSED, "ping_device")
    assert (fleet.newest.differences, fleet.subscription.insync) == ([], True)


def test_a_pass_of_one_workflow_does_not_delay_what_the_drift_of_another_asks_for(fleet: Fleet) -> None:
    soon = later(1)
    fleet.record(DRIFTED, due_at=soon)
    fleet.record(PASSED, "ping_device", due_at=later(24))
    assert fleet.newest.due_at == soon


def test_drift_of_a_workflow_that_the_code_has_no_more_is_forgotten(fleet: Fleet) -> None:
    fleet.record(DRIFTED, "ping_device")
    with fleet.database.transaction() as session:
        session.execute(sa.text("UPDATE workflows SET deleted_at = now() WHERE name = 'ping_device'"))
    fleet.record(PASSED)
    assert (fleet.newest.result, fleet.subscription.insync) == ("passed", True)


def test_warnings_alone_are_a_drift_of_that_severity(fleet: Fleet) -> None:
    fleet.record(DRIFTED, differences=[{**DIFFERENCE, "severity": "warning"}])
    assert (fleet.newest.result, fleet.newest.severity) == ("drifted", "warning")


def test_very_many_differences_are_kept_in_part_and_counted(fleet: Fleet) -> None:
    fleet.record(DRIFTED, differences=[DIFFERENCE] * (MOST_DIFFERENCES + 5))
    assert len(fleet.newest.differences) == MOST_DIFFERENCES
    assert fleet.newest.differences[-1]["path"] == "and 6 more"


def test_two_workflows_that_end_at_once_lose_neither_result(fleet: Fleet) -> None:
    """The second waits for the first, and then sees what it has written."""
    version = fleet.subscription.version
    with ThreadPoolExecutor(1) as pool:
        with fleet.database.transaction():
            fleet.record(DRIFTED, version=version)
            second = pool.submit(fleet.record, DRIFTED, "ping_device", version=version)
            with fleet.database.detached():
                eventually(lambda: fleet.is_waited_for, "the second to wait")
        assert second.result()
    assert [one["workflow"] for one in fleet.newest.differences] == ["validate_device", "ping_device"]
    assert len(fleet.history) == 2
