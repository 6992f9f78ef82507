"""Declarations: whatever is given wrongly is a sentence that names it, at import and not in a run."""

import sys
from datetime import timedelta
from socket import socket
from typing import Any, TypedDict

import pytest

import ops
import orchestrator_defs
from ops.starting.named_forms import register_form
from ops.steps.arguments import check_arguments
from ops.steps.form_fields import product_id
from ops.steps.lifecycle_steps import ensure_provisioning_status, set_status, store_process_subscription
from ops.steps.step import abort, begin, conditional, done, init, step, step_group
from ops.waiting.children import start_children, wait_children
from ops.waiting.parallel import foreach, parallel
from ops.waiting.wait_steps import callback_step, inputstep, poll_step, retrystep, wait_until
from orchestrator_defs.jobs.decorators import create_workflow, modify_workflow, task, validate_workflow, workflow
from orchestrator_defs.location import build_definitions
from resources.catalogue.catalogue import Product
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import ModelDeclarationError, WorkflowDeclarationError
from resources.types import SubscriptionLifecycle, Target


def plain(state: Any) -> None: ...


@step("A step")
def a_step() -> None: ...


WRONG = {
    "a label that is no text": (lambda: step(3), "`label` is text, not 3"),
    "parentheses left out": (lambda: step(plain), r"write @step\(…\), with parentheses"),
    "a keyword that there is not": (lambda: step("L", retries=3), "unexpected keyword argument 'retries'"),
    "an assignee that there is not": (lambda: inputstep("L", "Bob"), "`assignee` is one of NOC"),
    "a time beyond the calendar": (lambda: poll_step("L", every=timedelta.max), "every is longer than 36,500 days"),
    "an infinite timeout": (lambda: callback_step("L", a_step, a_step, timeout=float("inf")), "timeout is longer than"),
    "a timeout that is no number": (lambda: callback_step("L", a_step, a_step, timeout=float("nan")), "is longer than"),
    "a timeout below all": (lambda: callback_step("L", a_step, a_step, timeout=float("-inf")), "timeout above zero"),
    "attempts as text": (lambda: retrystep("L", attempts="3"), "`attempts` is a whole number or None, not '3'"),
    "a pause as a number": (lambda: retrystep("L", first_pause=3), "`first_pause` is a timedelta, not 3"),
    "an interval as text": (lambda: poll_step("L", every="1 min"), "`every` is a timedelta"),
    "a label and a moment mixed up": (lambda: wait_until("until", plain), "`label` is text, not the function plain"),
    "a moment that is neither": (lambda: wait_until(timedelta(days=1)), "`when` is text or a function"),
    "a wait without a name": (lambda: wait_until(lambda state: state), "needs a function with a name"),
    "an action that is no step": (lambda: callback_step("L", plain, a_step), r"`action_step` is a step.*decorated"),
    "a list in place of its name": (lambda: foreach(["a"], a_step), "`items` is text"),
    "an item that is no step": (lambda: foreach("ports", plain), "`steps` is a step or a list of steps.*decorated"),
    "a branch that is no step": (lambda: parallel(a_step, plain), "`branches` is a step or a list of steps"),
    "a workflow that is none": (lambda: start_children(plain, plain), "`workflow` is a workflow"),
    "a number as text": (lambda: wait_children(accept="1"), "`accept` is a whole number"),
    "a condition that is no function": (lambda: conditional(True), "`predicate` is a function, not True"),
    "a key with a space": (lambda: step_group("G", a_step, key="a b"), "'a b' is no name for a step"),
    "a status that there is not": (lambda: set_status("live"), "`status` is one of initial"),
    "steps that are none": (lambda: ensure_provisioning_status(plain), "`modify_steps` is a step"),
    "ids of products as text": (lambda: product_id("Port 10G"), "`product_ids` is a list of UUID or None"),
    "a workflow without a name": (
        lambda: task("T")(lambda: begin >> a_step),
        "A workflow needs a function with a name",
    ),
    "a workflow that takes something": (lambda: task("T")(plain), "plain takes parameters; a workflow is a function"),
    "a product that is none": (lambda: build_definitions([3], []), "`products` is a list of Product"),
    "a step among the workflows": (lambda: build_definitions([], [a_step]), "`workflows` is a list of workflow"),
    "a tag that is no text": (
        lambda: Product("x", 5, SubscriptionModel, "T", "d"),
        "Product 'x': `tag` is text, not 5",
    ),
    "a predicate that is no function": (lambda: task("T", run_predicate=1), "`run_predicate` is a function or None"),
    "a status in a list": (lambda: modify_workflow(usable_when=["live"]), r"`usable_when` is a list of one of initial"),
    "a number as a rule": (lambda: validate_workflow(usable_when=3), "`usable_when` is a list of"),
    "product types as numbers": (lambda: create_workflow(product_type=[1]), "`product_type` is text or a list of text"),
}


@pytest.mark.parametrize(("declare", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_of_a_declaration_is_a_sentence(declare, message):
    with pytest.raises((WorkflowDeclarationError, ModelDeclarationError), match=message):
        declare()


DECLARE = {
    "ops": """step retrystep inputstep callback_step poll_step wait_until step_group conditional steplens focussteps
        parallel foreach start_children wait_children set_status ensure_provisioning_status
        product_id customer_contact_list""",
    "orchestrator_defs": """create_workflow modify_workflow validate_workflow reconcile_workflow terminate_workflow
        task workflow""",
}


@pytest.mark.parametrize(
    ("face", "name"),
    [(ops, one) for one in DECLARE["ops"].split()]
    + [(orchestrator_defs, one) for one in DECLARE["orchestrator_defs"].split()],
)
def test_every_declaration_refuses_what_it_does_not_know(face, name):
    """Those that a later hand adds belong into the list."""
    with pytest.raises(WorkflowDeclarationError, match=f"{name}: "):
        getattr(face, name)(no_such_argument=1)


# --- parameters of steps and forms ---


def of_a_library(connection: socket) -> None: ...


class Port(TypedDict):
    name: str


def typed(port: Port) -> None: ...


def one_or_a_number(subscription: SubscriptionModel | int) -> None: ...


async def asynchronous(state: Any) -> None: ...


@pytest.mark.parametrize("declare", [step("L"), retrystep("L"), inputstep("L", "NOC")])
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (of_a_library, "of_a_library takes 'connection' as socket, which pydantic cannot read out of the state"),
        pytest.param(
            typed,
            "typed takes 'port' as Port, which cannot be read out of the state: Please use `typing_extensions",
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic reads typing.TypedDict there"),
        ),
        (one_or_a_number, "one_or_a_number takes 'subscription' as .*subscriptions are taken alone"),
        (asynchronous, "asynchronous is an async function"),
    ],
)
def test_a_parameter_that_no_state_can_fill_is_refused_at_the_declaration(declare, function, message):
    with pytest.raises(WorkflowDeclarationError, match=message):
        declare(function)


def test_a_named_form_is_checked_when_it_is_registered():
    with pytest.raises(WorkflowDeclarationError, match="of_a_library takes 'connection'"):
        register_form("library", of_a_library)


def test_an_initial_form_is_checked_with_its_workflow():
    with pytest.raises(WorkflowDeclarationError, match="of_a_library takes 'connection'"):
        task("T", initial_input_form=of_a_library)(named(a_step))


def test_an_annotation_may_name_what_is_defined_further_down():
    """It is read when the workflow is declared."""

    def early(value: "Later") -> None: ...  # noqa: F821

    check_arguments(early)


# --- init and done ---


def named(*steps):
    def some_workflow():
        return begin >> steps[0] if len(steps) == 1 else steps[0] >> steps[1] >> steps[2]

    return some_workflow


@pytest.mark.parametrize(
    "decorator",
    [
        task("T"),
        workflow("W"),
        modify_workflow("M"),
        create_workflow("C", product_type="Thing"),
        validate_workflow("V"),
    ],
)
def test_init_and_done_may_be_named(decorator):
    """They stand where they stand without being named."""
    assert decorator(named(init, a_step, done)).workflow.step_keys == decorator(named(a_step)).workflow.step_keys


def test_done_in_the_middle_is_refused():
    with pytest.raises(WorkflowDeclarationError, match="'Done' in the middle"):
        task("T")(named(a_step, done, a_step))


def test_one_step_is_a_workflow():
    @task("T")
    def alone():
        return a_step

    assert alone.workflow.step_keys == ["start", "a_step", "done"]


def test_a_workflow_that_creates_needs_its_product_type():
    with pytest.raises(WorkflowDeclarationError, match="say of which `product_type`"):
        workflow("W", target=Target.CREATE)(named(a_step))


# --- spellings ---


def test_a_step_has_its_label_as_its_name():
    assert (a_step.name, step_group("Both", a_step).name) == ("A step", "Both")


def test_a_label_may_be_given_as_a_name():
    assert step_group(name="Both", steps=begin >> a_step).label == "Both"


def test_linking_step_is_written_with_parentheses_or_without():
    assert store_process_subscription() == store_process_subscription(Target.MODIFY) == store_process_subscription


def test_provisioning_stands_around_the_steps():
    statuses = SubscriptionLifecycle.PROVISIONING, SubscriptionLifecycle.ACTIVE
    first, last = map(set_status, statuses)
    assert ensure_provisioning_status(a_step) == begin >> first >> a_step >> last


def test_abort_has_no_place_beside_other_branches():
    with pytest.raises(WorkflowDeclarationError, match="cannot be in a branch"):
        parallel(a_step, abort)
