"""Steps as orchestrator-core's users write them: they change the state in place, and abort."""

from datetime import timedelta

import pytest

from ops.steps.forms import FormPage, SubmitFormPage
from ops.steps.step import StepList, abort, begin, conditional, focussteps, step
from ops.waiting.wait_steps import callback_step, inputstep, poll_step
from orchestrator_defs.jobs.decorators import create_workflow, task
from resources.domain.models.vlans import VlanRanges
from resources.domain.subscription_model import SubscriptionModel
from resources.types import Assignee, ProcessStatus
from tests.test_resources.test_domain.domain import Device, DeviceInactive
from tests.toy_network import DEVICE


@step("Begin")
def known():
    return {"ports": [{"name": "a"}], "old": 1, "config": {"mtu": 1500}}


def state_after(engine_of, *steps):
    """The state of a process that starts with `known`."""

    @task("Single")
    def single() -> StepList:
        listed = begin >> known
        for one in steps:
            listed = listed >> one
        return listed

    engine = engine_of(single)
    run = engine.of(engine.run("single"))
    run.assert_completed()
    return run.state


def adds(state):
    state["new"] = True


def adds_deep(state):
    state["ports"][0]["speed"] = 10


def adds_deep_to_a_parameter(ports: list):
    ports.append({"name": "b"})


def adds_to_a_typed_parameter(config: dict[str, int]):
    config["mtu"] = 9000


def changes_and_returns_something_else(state):
    state["new"] = True
    return {"other": 2}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (adds, {"new": True}),
        (adds_deep, {"ports": [{"name": "a", "speed": 10}]}),
        (adds_deep_to_a_parameter, {"ports": [{"name": "a"}, {"name": "b"}]}),
        (adds_to_a_typed_parameter, {"config": {"mtu": 9000}}),
        (changes_and_returns_something_else, {"new": True, "other": 2}),
    ],
)
def test_what_a_step_changes_in_place_is_kept(engine_of, function, expected):
    found = state_after(engine_of, step("Only")(function))
    assert {key: found[key] for key in expected} == expected


def test_what_a_step_removes_in_place_is_removed(engine_of):
    def removes(state):
        del state["old"]

    assert "old" not in state_after(engine_of, step("Only")(removes))


def test_what_a_step_changes_in_its_part_of_the_state_is_kept(engine_of):
    assert state_after(engine_of, focussteps("config")(step("Only")(adds)))["config"] == {"mtu": 1500, "new": True}


def test_a_model_that_is_put_into_the_state_is_saved(testbed_of):
    """As if the step had returned it."""

    @step("Construct")
    def construct(product, state):
        made = DeviceInactive.from_product_id(product, "customer")
        made.device.hostname = "ams1"
        state["subscription"] = made

    @create_workflow("Create", product_type="Device")
    def create():
        return begin >> construct

    bed = testbed_of([create], [DEVICE])
    assert bed.run("create", [{"product": "Test Device"}]).subscription.device.hostname == "ams1"


def test_a_change_of_a_step_that_waits_is_refused(engine_of):
    """It would be lost: what is tried again begins with the state from before."""

    @poll_step("Look", every=timedelta(minutes=1))
    def look(state):
        state["tries"] = state.get("tries", 0) + 1

    @task("Waits")
    def waits():
        return begin >> look

    engine = engine_of(waits)
    engine.of(engine.run("waits")).assert_failed("'Look' waits and has changed tries of the state, which would be lost")


def test_a_callback_route_in_a_whole_state_is_not_stored(engine_of):
    """A step that returns all that it was given returns it, too."""

    @step("Ask")
    def ask(state):
        return {**state, "asked": True}

    @step("Check")
    def check(): ...

    @task("Calls")
    def calls():
        return begin >> callback_step("Call", ask, check)

    engine = engine_of(calls)
    run = engine.of(engine.run("calls"))
    run.assert_awaiting_callback()
    assert (run.state["asked"], "callback_route" in run.state) == (True, False)


def test_a_value_of_a_type_of_its_own_is_kept_as_it_writes_itself(engine_of):
    def vlans():
        return {"vlans": VlanRanges("2-5,9"), "deep": [VlanRanges("1")]}

    found = state_after(engine_of, step("Only")(vlans))
    assert (found["vlans"], found["deep"]) == ("2-5,9", ["1"])


# --- forms ---


class Vlans(FormPage):
    vlans: VlanRanges


def two_pages(state):
    yield Vlans
    seen = state["vlans"]

    class Second(SubmitFormPage):
        count: int = len(seen)

    page = yield Second
    return {**state, **page.model_dump()}


@pytest.mark.parametrize("form", [Vlans, two_pages])
def test_a_form_may_have_a_field_of_such_a_type(engine_of, form):
    """One page or several; a later page sees what the earlier ones hold."""

    @task("Asks", initial_input_form=form)
    def asks():
        return begin >> known

    engine = engine_of(asks)
    pages = [{"vlans": "7,2-5"}] if form is Vlans else [{"vlans": "7,2-5"}, {}]
    state = engine.of(engine.run("asks", pages)).state
    assert (state["vlans"], state.get("count", 5)) == ("2-5,7", 5)


def test_a_question_in_the_middle_sees_its_pages(engine_of):
    @task("Asks")
    def asks():
        return begin >> known >> inputstep("Which", Assignee.NOC)(two_pages)

    engine = engine_of(asks)
    run = engine.of(engine.run("asks")).answer([{"vlans": "1-3"}, {}])
    assert run.state["count"] == 3


# --- a narrower class ---


def create(take):
    @step("Construct")
    def construct(product, hostname):
        made = DeviceInactive.from_product_id(product, "customer")
        made.device.hostname = hostname
        return {"subscription": made}

    class Name(SubmitFormPage):
        hostname: str | None = None

    @create_workflow("Create", initial_input_form=Name, product_type="Device")
    def create_device():
        return begin >> construct >> take

    return create_device


@step("Take")
def take(subscription: Device):
    return {"hostname": subscription.device.hostname.upper(), "status": subscription.status}


def test_a_narrower_class_than_the_status_promises_is_loaded_if_the_values_fit(testbed_of):
    bed = testbed_of([create(take)], [DEVICE])
    run = bed.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    assert (run.state["hostname"], run.state["status"]) == ("AMS1", "initial")


def test_a_value_that_does_not_fit_the_narrower_class_is_named(testbed_of):
    bed = testbed_of([create(take)], [DEVICE])
    run = bed.run("create_device", [{"product": "Test Device"}, {}])
    run.assert_failed("take takes 'subscription' as Device; subscription", at="take")
    assert "its values do not make it a Device: DeviceBlock.hostname: Field required" in run.row.failed_reason


# --- abort ---


def test_abort_ends_the_process_and_releases_what_it_holds(testbed_of):
    """No later step runs; what was made stays, out of sync."""
    later = []

    @step("Later")
    def after():
        later.append(1)

    bed = testbed_of([create(conditional(lambda state: True)(abort) >> after)], [DEVICE])
    run = bed.run("create_device", [{"product": "Test Device"}, {}])
    run.assert_aborted()
    assert (later, run.steps["abort"], run.subscription.insync) == ([], "abort", False)
    with bed.database.transaction():
        assert SubscriptionModel.from_subscription(run.subscription_id).save() is None  # nobody holds it


def test_abort_whose_condition_does_not_hold_is_skipped(engine_of):
    assert "ports" in state_after(engine_of, conditional(lambda state: False)(abort))


def test_an_aborted_process_stays_aborted(engine_of):
    @task("Gives up")
    def gives_up():
        return begin >> abort

    engine = engine_of(gives_up)
    process_id = engine.run("gives_up")
    assert engine.process(process_id).last_status == ProcessStatus.ABORTED


def test_unfit_value_in_place_is_refused_by_name(engine_of):
    """It is neither kept nor lost without a word."""

    def scratch(state):
        state["socket"] = object()

    with pytest.raises(AssertionError, match="scratch: socket is object, which has no JSON form"):
        state_after(engine_of, step("Only")(scratch))
