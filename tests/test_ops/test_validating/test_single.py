"""A validate workflow as it is, run without a process: what it finds, and that it writes nothing."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from dagster import ConfigurableResource
from sqlalchemy import text

from ops.steps.step import begin, conditional, step
from ops.steps.workflow import Workflow
from ops.validating.single import validate_one
from ops.waiting.parallel import foreach, parallel
from orchestrator_defs.jobs.decorators import validate_workflow
from orchestrator_defs.testing import Testbed
from resources.database.session import current_session, statement_counter
from resources.domain.saving.reading import ReadAhead, read_ahead
from resources.errors import DriftFound, ExternalSystemUnavailable, UnknownSubscription
from resources.types import State, ValidationResult
from resources.validations.results import Outcome, record
from tests.test_resources.test_domain.domain import Device
from tests.toy_network import DEVICE, World, add_device, device_workflows

LOG = logging.getLogger(__name__)
Validate = Callable[..., Outcome]


@pytest.fixture
def validate(testbed_of: Callable[..., Any]) -> Validate:
    """Validates a device with a workflow of these steps."""

    def run(*steps: Any, subscription_id: Any = None) -> Outcome:
        @validate_workflow("Validate", product_type="Device")
        def validate_it() -> Any:
            return begin >> steps[0] if len(steps) == 1 else sum_of(steps)

        bed: Testbed = testbed_of((validate_it,), [DEVICE])
        known = subscription_id or add_device(bed)
        return validate_one(validate_it.workflow, known, bed.database, {}, LOG)

    return run


def sum_of(steps: Any) -> Any:
    found = begin
    for one in steps:
        found = found >> one
    return found


def raising(error: Exception) -> Any:
    @step("Compare")
    def compare(subscription: Device) -> None:
        raise error

    return compare


def test_a_workflow_as_it_is_finds_the_drift(testbed_of: Callable[..., Any]) -> None:
    world = World()
    bed = testbed_of(device_workflows(world), [DEVICE])
    subscription_id = add_device(bed, world)
    workflow: Workflow = bed.orchestrator.workflow("validate_device")
    assert validate_one(workflow, subscription_id, bed.database, {}, LOG).result is ValidationResult.PASSED
    world.hostnames[str(subscription_id)] = "other"
    found = validate_one(workflow, subscription_id, bed.database, {}, LOG)
    expected = {"system": "device", "path": "device.hostname", "expected": "ams1", "found": "other"}
    assert found.result is ValidationResult.DRIFTED
    assert found.differences == [{**expected, "severity": "error"}]
    assert (found.version, found.product, found.workflow) == (1, "Test Device", "validate_device")


def test_it_reads_in_one_statement_and_writes_nothing(testbed_of: Callable[..., Any]) -> None:
    world = World()
    bed = testbed_of(device_workflows(world), [DEVICE])
    subscription_id = add_device(bed, world)
    workflow = bed.orchestrator.workflow("validate_device")
    with statement_counter(bed.database.engine) as sent:
        validate_one(workflow, subscription_id, bed.database, {}, LOG)
    assert [one.split()[0] for one in sent.statements] == ["WITH"]


def test_what_was_read_ahead_is_compared_once_and_only_while_it_is_fresh(testbed_of: Callable[..., Any]) -> None:
    seen: list[str] = []

    @step("Look")
    def look(subscription: Device) -> None:
        seen.append(subscription.device.hostname)

    @step("Look again")
    def look_again(subscription: Device) -> None:
        look.function(subscription)

    @validate_workflow("Look twice", product_type="Device")
    def look_twice() -> Any:
        return begin >> look >> look_again

    bed: Testbed = testbed_of((look_twice,), [DEVICE])
    known = add_device(bed)

    def ahead() -> ReadAhead:
        with bed.database.statements():
            return read_ahead([known])[known]

    fresh, stale = ahead(), ahead()
    stale.until = 0.0
    with bed.database.transaction() as session:
        session.execute(text("""UPDATE subscription_instances SET values = values || '{"hostname": "new"}'"""))
    validate_one(look_twice.workflow, known, bed.database, {}, LOG, fresh)
    assert seen == ["ams1", "new"]
    validate_one(look_twice.workflow, known, bed.database, {}, LOG, stale)
    assert seen[2:] == ["new", "new"]


def test_drift_from_rows_that_have_changed_since_is_looked_for_again(testbed_of: Callable[..., Any]) -> None:
    """The version of a subscription says nothing of its neighbours' blocks."""
    world = World()
    bed = testbed_of(device_workflows(world), [DEVICE])
    known = add_device(bed, world)
    with bed.database.statements():
        ahead = read_ahead([known])[known]
    with bed.database.transaction() as session:
        session.execute(text("""UPDATE subscription_instances SET values = values || '{"hostname": "new"}'"""))
    world.hostnames[str(known)] = "new"
    found = validate_one(bed.orchestrator.workflow("validate_device"), known, bed.database, {}, LOG, ahead)
    assert (found.result, world.calls) == (ValidationResult.PASSED, ["compare"] * 2)


@pytest.mark.parametrize(
    ("error", "result", "reason"),
    [
        (ExternalSystemUnavailable("NetBox does not answer."), "unreachable", "NetBox does not answer."),
        (TimeoutError("too late"), "unreachable", "TimeoutError: too late"),
        (KeyError("site"), "failed", "KeyError: 'site'"),
        (AssertionError("1 != 2"), "failed", "AssertionError: 1 != 2"),
    ],
)
def test_what_went_wrong_is_the_reason(validate: Validate, error: Exception, result: str, reason: str) -> None:
    found = validate(raising(error))
    assert (found.result, found.reason, found.differences) == (result, reason, [])


@pytest.mark.parametrize("details", [None, "all", {"site": 1}, [], ["site"]])
def test_drift_without_a_list_of_differences_is_told_by_its_sentence(validate: Validate, details: Any) -> None:
    found = validate(raising(DriftFound("The site differs.", details=details)))
    assert [one["found"] for one in found.differences] == ["The site differs."]


def test_the_state_passes_from_step_to_step(validate: Validate) -> None:
    @step("Read")
    def read(subscription: Device) -> State:
        return {"found": [1, 2]}

    @step("Look")
    def look(item: int) -> State:
        return {"doubled": 2 * item}

    @step("Compare")
    def compare(look_results: list[dict[str, int]]) -> None:
        raise DriftFound(f"Found {[one['doubled'] for one in look_results]}.")

    assert validate(read, foreach("found", look), compare).differences[0]["found"] == "Found [2, 4]."


def test_branches_see_the_state_at_the_fork_and_are_merged(validate: Validate) -> None:
    @step("One")
    def one(state: State) -> State:
        return {"one": sorted({"one", "other"} & set(state))}

    @step("Other")
    def other(state: State) -> State:
        return {"other": sorted({"one", "other"} & set(state))}

    @step("Compare")
    def compare(one: list[str], other: list[str]) -> None:
        raise DriftFound(f"{one} {other}")

    assert validate(parallel(one, other), compare).differences[0]["found"] == "[] []"


def test_a_condition_skips_a_step(validate: Validate) -> None:
    skipped = conditional(lambda state: state["customer_id"] == "nobody")(raising(KeyError()))
    assert validate(skipped).result is ValidationResult.PASSED


def test_a_step_that_returns_the_unchanged_subscription_passes(validate: Validate) -> None:
    @step("Return")
    def give(subscription: Device) -> State:
        return {"subscription": subscription}

    assert validate(give).result is ValidationResult.PASSED


def test_a_step_that_changes_the_subscription_fails_in_a_batch(validate: Validate) -> None:
    @step("Rename")
    def rename(subscription: Device) -> State:
        subscription.device.hostname = "other"
        return {"subscription": subscription}

    found = validate(rename)
    assert found.result is ValidationResult.FAILED
    assert "'Rename' writes to the database" in str(found.reason)
    assert "in_batch=False" in str(found.reason)


def test_a_step_that_reads_the_database_may(validate: Validate) -> None:
    @step("Count")
    def count(subscription: Device) -> State:
        return {"number": len(current_session().connection().exec_driver_sql("SELECT 1").all())}

    assert validate(count).result is ValidationResult.PASSED


def test_no_transaction_is_open_while_a_step_talks_to_another_system(testbed_of: Callable[..., Any]) -> None:
    open_connections: list[int] = []

    @step("Ask")
    def ask(subscription: Device) -> None:
        open_connections.append(bed.database.engine.pool.checkedout())

    @validate_workflow("Ask", product_type="Device")
    def ask_device() -> Any:
        return begin >> ask

    bed = testbed_of((ask_device,), [DEVICE])
    device = add_device(bed)
    others = bed.database.engine.pool.checkedout()  # type: ignore[attr-defined]
    validate_one(ask_device.workflow, device, bed.database, {}, LOG)
    assert open_connections == [others]


def test_an_unknown_subscription_is_no_result(validate: Validate) -> None:
    with pytest.raises(UnknownSubscription):
        validate(raising(KeyError()), subscription_id=uuid4())


def test_threads_do_not_disturb_each_other(testbed_of: Callable[..., Any]) -> None:
    world = World()
    bed = testbed_of(device_workflows(world), [DEVICE])
    ids = [add_device(bed, world, f"ams{index}") for index in range(20)]
    for one in ids[::2]:
        world.hostnames[str(one)] = "other"
    workflow = bed.orchestrator.workflow("validate_device")
    with bed.database.transaction(read_only=True), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: validate_one(workflow, one, bed.database, {}, LOG), ids))
    assert [one.result for one in found] == [ValidationResult.DRIFTED, ValidationResult.PASSED] * 10


class Controller(ConfigurableResource[Any]):
    """An organisation's own system."""

    url: str = ""


def test_a_difference_without_a_system_is_of_the_one_that_its_step_asks(testbed_of: Callable[..., Any]) -> None:
    @step("Compare")
    def compare(subscription: Device, controller: Controller) -> None:
        named = {"path": "b", "system": "netbox"}
        raise DriftFound("It differs.", details=[{"path": "speed", "expected": 1000, "actual": 10}, named])

    @validate_workflow("Compare", product_type="Device")
    def compare_device() -> Any:
        return begin >> compare

    resources = {"controller": Controller()}
    bed = testbed_of((compare_device,), [DEVICE], resources)
    found = validate_one(compare_device.workflow, add_device(bed), bed.database, resources, LOG)
    assert [one["system"] for one in found.differences] == ["controller", "netbox"]


def test_what_no_json_can_hold_is_recorded_readably(testbed_of: Callable[..., Any]) -> None:
    @step("Compare")
    def compare(subscription: Device) -> None:
        raise DriftFound("It differs.", details=[{"path": "a\0b", "expected": float("nan"), "found": object()}])

    @validate_workflow("Compare", product_type="Device")
    def compare_device() -> Any:
        return begin >> compare

    bed = testbed_of((compare_device,), [DEVICE])
    found = validate_one(compare_device.workflow, add_device(bed), bed.database, {}, LOG)
    with bed.database.transaction():
        assert record(found, process_id=None, run_id=None, user="ann", due_at=None)
