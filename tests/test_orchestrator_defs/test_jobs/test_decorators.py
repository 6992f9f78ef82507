"""Workflows into jobs: what a person sees in Dagster's UI."""

import inspect

import pytest

from ops.steps.step import StepList, begin, conditional, done, init, step, step_group
from ops.steps.workflow import RunPredicateFail, RunPredicatePass
from orchestrator_defs.jobs.decorators import (
    create_workflow,
    modify_workflow,
    reconcile_workflow,
    task,
    terminate_workflow,
    validate_workflow,
    workflow,
)
from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.database.session import SubscriptionDatabase
from resources.errors import StartRefused, UnknownWorkflow, WorkflowDeclarationError
from resources.types import SubscriptionLifecycle, Target

RULES = ("formerly", "authorize_callback", "retry_auth_callback", "run_predicate")
RULES += ("usable_when", "usable_while_out_of_sync", "blocked_by_in_use")


@step("Do it")
def do_it() -> None:
    """What is done, and why it may be repeated."""


@step("Do more")
def do_more() -> None: ...


def keys(job):
    return job.workflow.step_keys


@pytest.mark.parametrize(
    ("decorator", "target", "around"),
    [
        (create_workflow, Target.CREATE, ["start", "do_it", "set_status_active", "resync", "done"]),
        (modify_workflow, Target.MODIFY, ["start", "do_it", "resync", "done"]),
        (terminate_workflow, Target.TERMINATE, ["start", "do_it", "set_status_terminated", "resync", "done"]),
        (validate_workflow, Target.VALIDATE, ["start", "do_it", "done"]),
        (reconcile_workflow, Target.RECONCILE, ["start", "do_it", "resync", "done"]),
        (workflow, Target.SYSTEM, ["start", "do_it", "done"]),
    ],
)
def test_decorator_puts_its_steps_around(decorator, target, around):
    """Each kind of workflow adds what belongs to it."""

    @decorator("It", product_type="Thing")
    def some_workflow():
        return begin >> do_it

    assert (keys(some_workflow), some_workflow.workflow.target) == (around, target)


def test_additional_steps_stand_before_the_engine_s_last():
    """They still belong to the work."""

    @create_workflow("It", product_type="Thing", additional_steps=begin >> do_more)
    def some_workflow():
        return begin >> do_it

    assert keys(some_workflow)[1:4] == ["do_it", "do_more", "set_status_active"]


def test_create_workflow_may_end_in_another_status():
    """As `status` says."""

    @create_workflow("It", product_type="Thing", status=SubscriptionLifecycle.PROVISIONING)
    def some_workflow():
        return begin >> do_it

    assert "set_status_provisioning" in keys(some_workflow)


def test_terminate_is_blocked_by_use_unless_told_otherwise():
    """The one override that the reference cannot make."""

    @terminate_workflow("It", product_type="Thing")
    def guarded():
        return begin >> do_it

    @terminate_workflow("It", product_type="Thing", blocked_by_in_use=False)
    def unguarded():
        return begin >> do_it

    assert (guarded.workflow.rule.blocked_by_in_use, unguarded.workflow.rule.blocked_by_in_use) == (True, False)


def test_job_describes_itself():
    """Description, the function's own words, and the steps as people read them."""

    @task("Tidy up")
    def tidy():
        """Tidies.

        Runs at night.
        """
        return begin >> do_it

    assert tidy.description == "Tidy up\n\nRuns at night.\n\n1. Start\n2. Do it\n3. Done"


def test_op_describes_its_step():
    """Label and docstring of the function."""

    @task("Tidy up")
    def tidy():
        return begin >> do_it

    op = tidy.graph.node_named("do_it").definition
    assert op.description == "Do it\n\nWhat is done, and why it may be repeated."


def test_two_workflows_may_use_the_same_step_and_the_same_names():
    """Op names are unique in a code location; the engine makes them so."""

    @task("One")
    def one():
        return begin >> do_it >> do_more

    @step("Another")
    def another() -> None: ...

    do_it_differently = step("Do it differently")(another.function)

    @task("Two")
    def two():
        return begin >> do_it >> do_it_differently >> do_more

    defs = Orchestrator([], [one, two], database=SubscriptionDatabase(uri="postgresql://nowhere/none")).definitions
    assert {job.name for job in defs.resolve_all_job_defs()} >= {"one", "two"}


def test_group_is_one_node():
    """It shows as one box, which opens."""

    @task("Grouped")
    def grouped():
        return begin >> step_group("Both", begin >> do_it >> do_more, key="both")

    assert {node.name for node in grouped.graph.nodes} == {"start", "both", "done"}


def test_conditional_group_stays_a_group():
    """A condition on a group is a condition on each of its steps."""

    @task("Grouped")
    def grouped():
        return begin >> conditional(lambda state: True)(step_group("Both", begin >> do_it >> do_more, key="both"))

    assert keys(grouped) == ["start", "both.do_it", "both.do_more", "done"]


def test_function_that_returns_no_steps_is_refused():
    """The message says what it returns and what it should."""
    with pytest.raises(WorkflowDeclarationError, match=r"broken returns NoneType; .* begin >> a >> b"):

        @task("Broken")
        def broken():
            return None


@pytest.mark.parametrize(
    ("decorator", "keyword"),
    [
        (create_workflow, "usable_when"),
        (modify_workflow, "usable_whn"),
        (terminate_workflow, "takes_subscription"),
        (reconcile_workflow, "blocked_by_in_use"),
        (task, "product_type"),
        (workflow, "additional_steps"),
    ],
)
def test_a_keyword_that_a_decorator_does_not_have_is_refused(decorator, keyword):
    with pytest.raises(WorkflowDeclarationError) as refused:
        decorator("It", **{"product_type": "Thing", keyword: ()})

    name = decorator.__name__
    assert str(refused.value).startswith(
        f"@{name}: got an unexpected keyword argument '{keyword}'; it takes description,"
    )


def test_a_decorator_shows_every_keyword_to_help():
    shown = list(inspect.signature(modify_workflow).parameters)

    assert shown == ["description", "initial_input_form", "additional_steps", "product_type", "accepts", *RULES]


def test_two_workflows_of_one_name_are_refused():
    """Names are unique."""

    @task("Same")
    def same():
        return begin >> do_it

    with pytest.raises(WorkflowDeclarationError, match="two workflows named 'same'"):
        Orchestrator([], [same, same])


def test_unknown_workflow_names_the_near_ones():
    """A typing error is answered with what was meant."""

    @task("Tidy up")
    def tidy():
        return begin >> do_it

    with pytest.raises(UnknownWorkflow, match="tidy"):
        Orchestrator([], [tidy]).workflow("tydi")


def test_first_and_last_step_are_the_engine_s():
    """Whatever the steps between."""

    @task("Empty")
    def empty():
        return StepList()

    assert [step.step for step in empty.workflow.ledger_steps] == [init, done]


# --- rules before a start ---


def test_predicate_refuses_with_its_reason(engine_of):
    """And nothing is written."""

    @task("Nightly", run_predicate=lambda context: RunPredicateFail(f"{context.workflow_key} only runs at night"))
    def nightly():
        return begin >> do_it

    engine = engine_of(nightly)
    with pytest.raises(StartRefused, match="nightly only runs at night"):
        engine.run("nightly")
    assert engine.count_processes() == 0


def test_predicate_that_passes_lets_it_start(engine_of):
    """The other answer."""

    @task("Nightly", run_predicate=lambda context: RunPredicatePass())
    def nightly():
        return begin >> do_it

    engine = engine_of(nightly)
    assert engine.process(engine.run("nightly")).last_status == "completed"


@pytest.mark.parametrize("is_async", [False, True])
def test_authorisation_is_asked(engine_of, is_async):
    """A callback may be a coroutine function; its False refuses."""

    def only_ada(context):
        return context.user == "ada"

    async def only_ada_later(context):
        return only_ada(context)

    @task("Guarded", authorize_callback=only_ada_later if is_async else only_ada)
    def guarded():
        return begin >> do_it

    engine = engine_of(guarded)
    with pytest.raises(StartRefused, match="bob may not start guarded"):
        engine.run("guarded", user="bob")
    assert engine.process(engine.run("guarded", user="ada")).last_status == "completed"
