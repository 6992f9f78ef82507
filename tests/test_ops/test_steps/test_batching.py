"""Which validations may run in a batch, decided where they are declared."""

from datetime import timedelta
from typing import Any

import pytest

from ops.steps.lifecycle_steps import resync, store_process_subscription, unsync
from ops.steps.step import begin, conditional, step, step_group
from ops.steps.workflow import Workflow
from ops.waiting.children import start_children, wait_children
from ops.waiting.parallel import foreach, parallel
from ops.waiting.wait_steps import callback_step, inputstep, poll_step, retrystep, wait_until
from orchestrator_defs.jobs.decorators import modify_workflow, validate_workflow, workflow
from orchestrator_defs.shipped import defs
from resources.types import Assignee, State, Target
from tests.toy_network import World, device_workflows


@step("Look")
def look(subscription_id: str) -> None:
    """Nothing."""


@step("Look again")
def look_again(subscription_id: str) -> None:
    """Nothing."""


@inputstep("Ask", Assignee.NOC)
def ask(state: State) -> Any:
    yield None


@retrystep("Try")
def attempt(state: State) -> None:
    """Nothing."""


@retrystep("Try once", attempts=1)
def attempt_once(state: State) -> None:
    """Nothing."""


@poll_step("Poll", every=timedelta(minutes=1))
def poll(state: State) -> bool:
    return True


def no_inputs() -> list[Any]:
    return []


def declared(steps: Any, **how: Any) -> Workflow:
    @validate_workflow("Validate", **how)
    def validate_it() -> Any:
        return begin >> steps

    return validate_it.workflow


CHILD = device_workflows(World())[2]
PLAIN = [
    look,
    begin >> look >> look_again,
    conditional(lambda state: True)(look),
    step_group("Both", begin >> look >> look_again),
    parallel(look, look_again),
    foreach("items", look),
    attempt_once,
]
ALONE = [
    (ask, "'Ask' waits for a person's input"),
    (attempt, "'Try' waits before it is retried"),
    (foreach("items", attempt), "'Try' waits before it is retried"),
    (poll, "'Poll' may wait"),
    (wait_until("later"), "'Wait until later' may wait"),
    (callback_step("Call", look, look_again), "'Call: Look' waits for a callback"),
    (start_children(CHILD, no_inputs), "starts processes"),
    (wait_children(), "'Wait for the children' may wait"),
    (resync, "'Unlock subscription' changes what belongs to its process"),
    (unsync, "changes what belongs to its process"),
    (store_process_subscription, "changes what belongs to its process"),
    (step_group("Group", begin >> look >> ask), "'Group: Ask' waits for a person's input"),
    (parallel(look, ask), "'Ask' waits for a person's input"),
]


@pytest.mark.parametrize("steps", PLAIN)
def test_functions_that_run_to_their_end_may(steps: Any) -> None:
    assert declared(steps).why_not_in_batch is None


@pytest.mark.parametrize(("steps", "reason"), ALONE)
def test_what_waits_or_writes_needs_a_process_and_says_why(steps: Any, reason: str) -> None:
    assert reason in str(declared(steps).why_not_in_batch)


def test_a_workflow_may_ask_for_a_process() -> None:
    assert declared(look, in_batch=False).why_not_in_batch == "it is declared with in_batch=False"


def test_a_form_needs_a_process() -> None:
    def form(state: State) -> Any:
        yield None

    @workflow("Validate", form, Target.VALIDATE)
    def validate_it() -> Any:
        return begin >> look

    assert "form" in str(validate_it.workflow.why_not_in_batch)


def test_only_validations_may() -> None:
    @modify_workflow("Modify")
    def modify_it() -> Any:
        return begin >> look

    assert modify_it.workflow.why_not_in_batch == "it is no validation"


def test_the_shipped_validations_may() -> None:
    jobs: list[Any] = list(defs.jobs or ())
    found: list[Workflow] = [job.workflow for job in jobs if hasattr(job, "workflow")]
    reasons = {one.name: one.why_not_in_batch for one in found if one.target is Target.VALIDATE}
    assert reasons == dict.fromkeys(["validate_core_link", "validate_l2vpn", "validate_node", "validate_port"])
