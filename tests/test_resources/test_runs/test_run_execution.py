"""A run in this process: what the kept plan of a job must not change, and what it relies on in Dagster."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution import api
from dagster._core.execution.context_creation_job import PlanOrchestrationContextManager
from dagster._core.execution.plan import plan as plans

from resources.runs import run_execution
from resources.runs.run_execution import create_run, execute

DONE: list[Any] = []


@dg.op(out=dg.Out(dg.Nothing))
def first() -> None:
    DONE.append("first")


@dg.op(ins={"before": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def second() -> None:
    DONE.append("second")


@dg.op
def note(number: int) -> None:
    DONE.append(number)


@dg.op
def fail() -> None:
    raise ValueError("on purpose")


EXECUTION: dict[str, Any] = {
    "executor_def": dg.in_process_executor,
    "resource_defs": {"io_manager": dg.mem_io_manager},
}


@dg.job(tags={"colour": "blue"}, **EXECUTION)
def both() -> None:
    second(first())


@dg.job(**EXECUTION)
def noting() -> None:
    note()


@dg.job(**EXECUTION)
def failing() -> None:
    fail()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    DONE.clear()
    run_execution._plans.clear()
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status.value


def log(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[tuple[str, str]]:
    """What a run's log says, without what differs from run to run."""
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id)]
    times = re.compile(r"[\d.]+(ms|s)\b")
    return [(event.event_type_value, times.sub("", event.message or "")) for event in events if event]


def made(instance: dg.DagsterInstance, job: dg.JobDefinition = both, **options: Any) -> dg.DagsterRun:
    return create_run(instance, job, run_id=None, tags={}, **options)


def test_a_run_is_of_the_job_and_has_its_tags(instance: dg.DagsterInstance) -> None:
    run = create_run(instance, both, run_id=None, tags={"size": "small"})
    assert (run.job_name, run.tags) == ("both", {"colour": "blue", "size": "small"})
    assert run.job_snapshot_id == both.get_job_snapshot_id()


@pytest.mark.parametrize("job", [both, failing], ids=lambda job: job.name)
def test_the_log_is_that_of_dagster_s_own_call(instance: dg.DagsterInstance, job: dg.JobDefinition) -> None:
    ours, again, original = made(instance, job), made(instance, job), instance.create_run_for_job(job)
    execute(instance, job, ours)
    execute(instance, job, again)
    list(api.execute_run_iterator(InMemoryJob(job), original, instance))
    assert log(instance, ours) == log(instance, again) == log(instance, original)
    assert ours.execution_plan_snapshot_id == original.execution_plan_snapshot_id


def test_a_plan_serves_all_runs_of_a_job(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(instance, both, made(instance))
    monkeypatch.setattr(plans.ExecutionPlan, "build", None)
    run = made(instance)
    execute(instance, both, run)
    assert status(instance, run) == "SUCCESS"


def test_each_run_has_its_own_config(instance: dg.DagsterInstance) -> None:
    for number in (3, 4, 3):
        config = {"ops": {"note": {"inputs": {"number": number}}}}
        execute(instance, noting, made(instance, noting, run_config=config))
    assert DONE == [3, 4, 3]


def test_a_part_of_the_steps_is_another_plan(instance: dg.DagsterInstance) -> None:
    execute(instance, both, made(instance))
    part = api.create_execution_plan(both, step_keys_to_execute=["second"])
    execute(instance, both, instance.create_run_for_job(both, execution_plan=part))
    execute(instance, both, made(instance))
    assert DONE == ["first", "second", "second", "first", "second"]


def test_a_selection_of_ops_is_executed_alone(instance: dg.DagsterInstance) -> None:
    execute(instance, both, made(instance))
    selected = instance.create_run_for_job(both, op_selection=["first"], resolved_op_selection={"first"})
    execute(instance, both, selected)
    assert DONE == ["first", "second", "first"]


def test_a_run_is_not_executed_twice(instance: dg.DagsterInstance) -> None:
    run = made(instance)
    execute(instance, both, run)
    finished = instance.get_run_by_id(run.run_id)
    assert finished is not None
    execute(instance, both, finished)
    assert DONE == ["first", "second"]
    assert status(instance, run) == "SUCCESS"


def test_a_canceled_run_is_not_executed(instance: dg.DagsterInstance) -> None:
    run = made(instance)
    instance.report_run_canceled(run)
    canceled = instance.get_run_by_id(run.run_id)
    assert canceled is not None
    execute(instance, both, canceled)
    assert DONE == []


def test_a_failed_step_fails_the_run_and_raises_nothing(instance: dg.DagsterInstance) -> None:
    run = made(instance, failing)
    execute(instance, failing, run)
    assert status(instance, run) == "FAILURE"


def test_not_more_plans_are_kept_than_allowed(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_execution, "MOST_PLANS", 2)
    for number in range(5):
        made(instance, noting, run_config={"ops": {"note": {"inputs": {"number": number}}}})
    assert len(run_execution._plans) == 2


# --- what we rely on in Dagster's inside ---


def attributes_of(function: Any, name: str) -> set[str]:
    """The attributes of a variable that a function reads."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


def test_dagster_looks_at_nothing_else_before_it_executes_a_run() -> None:
    """What `_is_plain` looks at, what the context is made of, and what is said of a run that is refused."""
    asked = {"status", "is_finished", "resolved_op_selection", "asset_selection", "asset_check_selection"}
    assert attributes_of(api.execute_run_iterator, "dagster_run") == asked | {"run_config", "job_name", "run_id"}


def test_a_plan_is_made_of_nothing_else_of_a_run() -> None:
    """The snapshot's id stands for what it holds, steps included; tags are handed on to where nobody reads them."""
    used = {"execution_plan_snapshot_id", "run_config", "step_keys_to_execute", "tags"}
    assert attributes_of(api._get_execution_plan_from_run, "dagster_run") == used
    builder = inspect.getsource(plans._PlanBuilder)
    assert builder.count("self._tags") == builder.count("self._instance_ref") == 1


def test_a_plan_cannot_be_changed() -> None:
    assert issubclass(plans.ExecutionPlan, tuple)


def test_what_executes_a_plan_has_this_shape() -> None:
    assert list(inspect.signature(api.ExecuteRunWithPlanIterable).parameters) == [
        "execution_plan",
        "iterator",
        "execution_context_manager",
    ]
    given = inspect.getsource(api.execute_run_iterator).partition("PlanOrchestrationContextManager(")[2]
    names = set(re.findall(r"(\w+)=", given))
    assert names == set(inspect.signature(PlanOrchestrationContextManager).parameters)
