"""The public testbed: what those who write workflows test them with."""

from datetime import timedelta

import pytest

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import callback_step, inputstep, retrystep
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.products import node as node_workflows
from resources.errors import ExternalSystemUnavailable, InconsistentData
from resources.products import node as nodes
from resources.types import Assignee, ProcessStatus
from tests.test_resources.test_domain.domain import EndpointBlockInactive
from tests.test_resources.test_domain.samples import model, product
from tests.toy_network import DEVICE, World, device_workflows


class Colour(SubmitFormPage):
    """What the person is asked."""

    colour: str


@inputstep("Choose", Assignee.NOC)
def choose():
    answer = yield Colour
    return {"colour": answer.colour}


@step("Order")
def order(callback_route: str):
    return {"ordered": True}


@step("Inspect")
def inspect(callback_result: dict):
    return {"can": callback_result["can"]}


@task("Buy paint")
def buy_paint():
    return begin >> choose >> callback_step("Delivery", order, inspect)


@pytest.fixture
def bed(testbed_of):
    return testbed_of([buy_paint])


def test_process_is_answered_called_back_and_completed(bed):
    run = bed.run("buy_paint")
    run.assert_suspended(at="choose")
    run.answer({"colour": "red"}).assert_awaiting_callback()
    run.callback({"can": 1}).assert_completed()
    run.assert_state({"colour": "red", "can": 1})


def test_assertion_tells_where_the_process_stands(bed):
    with pytest.raises(AssertionError, match="suspended, not completed, at step 'Choose'"):
        bed.run("buy_paint").assert_completed()


def test_assertion_about_the_state_names_what_differs(bed):
    run = bed.run("buy_paint").answer({"colour": "red"})
    with pytest.raises(AssertionError, match="colour is 'red', not 'blue'; size is missing"):
        run.assert_state({"colour": "blue", "size": 1})


def test_aborted_process_is_asserted(bed):
    run = bed.run("buy_paint")
    run.abort()
    run.assert_aborted()


def test_clock_moves_for_the_engine(testbed_of, later):
    tries = []

    @retrystep("Call", quick_tries=0, first_pause=timedelta(minutes=5))
    def call():
        tries.append(1)
        assert len(tries) > 1

    @task("Call it")
    def call_it():
        return begin >> call

    bed = testbed_of([call_it])
    run = bed.run("call_it")
    run.assert_waiting(at="call")
    with later(timedelta(minutes=5)):
        bed.wake()
    run.assert_completed()


def test_failed_step_is_retried(testbed_of):
    tries = []

    @step("Once")
    def once():
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")

    @task("Try")
    def try_it():
        return begin >> once

    run = testbed_of([try_it]).run("try_it")
    run.assert_failed("not yet", at="once")
    assert run.retry().status is ProcessStatus.COMPLETED


@pytest.mark.parametrize("error", [ValueError, InconsistentData, ExternalSystemUnavailable])
def test_every_way_of_failing_is_a_failure(testbed_of, error):
    """A task's status says which way."""

    @step("Fail")
    def fail():
        raise error("not today")

    @task("Try")
    def try_it():
        return begin >> fail

    testbed_of([try_it]).run("try_it").assert_failed("not today", at="fail")


def test_step_is_skipped_with_what_it_would_have_set(testbed_of):
    @step("Broken")
    def broken():
        raise ValueError("broken")

    @step("Use")
    def use(number: int):
        return {"double": 2 * number}

    @task("Use it")
    def use_it():
        return begin >> broken >> use

    run = testbed_of([use_it]).run("use_it").skip(changes={"number": 4}, reason="done by hand")
    run.assert_completed()
    run.assert_state({"double": 8})
    run.assert_step("broken", "skipped")


def test_process_goes_back_and_does_it_again(testbed_of):
    seen = []

    @step("Count")
    def count(state: dict):
        seen.append(state.get("counted"))
        return {"counted": len(seen)}

    @step("Break")
    def break_once():
        if len(seen) == 1:
            raise ValueError("wrong count")

    @task("Count it")
    def count_it():
        return begin >> count >> break_once

    run = testbed_of([count_it]).run("count_it")
    run.back("count").assert_completed()
    assert seen == [None, None]  # with the state that it had then
    run.assert_state({"counted": 2})


def test_product_is_created_on_the_lab(testbed_of, lab):
    bed = testbed_of(node_workflows.WORKFLOWS, nodes.PRODUCTS, {"netbox": lab.netbox, "playbooks": lab.playbooks})
    page = {"node_name": "ams1", "site": "Amsterdam", "role": "Provider edge", "device_type": "7750 SR-7"}
    run = bed.run("create_node", [{"product": "Node Nokia"}, page])
    run.assert_completed()
    bed.assert_blocks(run.subscription_id, {"status": "active", "node": {"node_name": "ams1"}})


def test_subscription_that_was_added_is_in_service(testbed_of):
    bed = testbed_of(device_workflows(World()), [DEVICE])
    device = bed.add("Test Device", device={"hostname": "ams1"})
    bed.run(
        "modify_device", [{"subscription_id": str(device.subscription_id)}, {"hostname": "utr1"}]
    ).assert_completed()
    bed.assert_blocks(device.subscription_id, {"status": "active", "insync": True, "device": {"hostname": "utr1"}})


def test_blocks_of_an_added_subscription_are_filled_however_deep(testbed_of):
    bed = testbed_of([], [product(model("Ends", {"end": EndpointBlockInactive}))])
    ends = bed.add("Node", status="initial", end={"vlan": 7, "socket": {"socket_name": "ge-0/0/1"}})
    bed.assert_blocks(ends.subscription_id, {"end": {"vlan": 7, "socket": {"socket_name": "ge-0/0/1"}}})
