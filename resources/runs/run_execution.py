"""A run in this process: how it is created and executed. One plan of a job serves all its runs.

Dagster makes a plan of a job's steps when a run is created and again when it is executed. A run's own part of it is
only what its config gives to the inputs of ops, which those of a workflow do not have. Plans are immutable, so one
serves all runs of the same job with the same steps to execute.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dagster import DagsterEvent, DagsterInstance, DagsterRun, DagsterRunStatus, JobDefinition

# The public functions (execute_in_process, execute_job) create a run themselves, or want a job that another process
# can import. This is what Dagster's own run worker passes to execute_run_iterator below.
from dagster._core.definitions.job_base import InMemoryJob

# Dagster's own run worker calls the first; the others execute an ordinary run that has its plan.
from dagster._core.execution.api import (
    ExecuteRunWithPlanIterable,
    _get_execution_plan_from_run,
    create_execution_plan,
    execute_run_iterator,
    job_execution_iterator,
)

# The arguments of these.
from dagster._core.execution.context_creation_job import (
    PlanOrchestrationContextManager,
    orchestration_context_event_generator,
)

# What is cached.
from dagster._core.execution.plan.plan import ExecutionPlan

from resources.runs.code_location import CodeLocation
from resources.runs.guardian import forks_leave

MOST_PLANS = 100
"""The size of the cache. Jobs whose runs have the same config need one plan each; a new config needs another plan."""

_plans: dict[tuple[JobDefinition, str, str], ExecutionPlan] = {}
_lock = threading.Lock()


def create_run(
    instance: DagsterInstance,
    job: JobDefinition,
    *,
    run_id: str | None,
    tags: Mapping[str, str],
    run_config: Mapping[str, Any] | None = None,
    root_run_id: str | None = None,
    parent_run_id: str | None = None,
    step_keys: Sequence[str] | None = None,
    location: CodeLocation | None = None,
) -> DagsterRun:
    """Create a run of a job, to be executed or launched. The tags of the job are added to `tags`.

    `step_keys` are the steps to execute, all when None. `location`: where the job was loaded from, for Dagster's page
    and for the process that executes the run. Raises DagsterRunAlreadyExists.
    """
    config = run_config or {}
    part = "" if step_keys is None else json.dumps(list(step_keys))
    remote_origin, code_origin = location.origin_of(job.name) if location else (None, None)
    return instance.create_run_for_job(
        job_def=job,
        execution_plan=_kept(job, part, config, lambda: create_execution_plan(job, config, step_keys)),
        run_id=run_id,
        run_config=config,
        tags={**job.run_tags, **tags},
        root_run_id=root_run_id,
        parent_run_id=parent_run_id,
        remote_job_origin=remote_origin,
        job_code_origin=code_origin,
    )


def execute(instance: DagsterInstance, job: JobDefinition, run: DagsterRun, *, is_resumed: bool = False) -> None:
    """Execute a run to its end. A failed step fails the run and raises nothing here.

    `is_resumed`: another process has begun the run.
    """
    whole = InMemoryJob(job)
    if is_resumed or not _is_plain(run):
        events = execute_run_iterator(whole, run, instance, resume_from_failure=is_resumed)
    else:
        events = _execute_plainly(whole, run, instance)
    with forks_leave() as leave_if_forked:
        for _ in events:
            leave_if_forked()


def _is_plain(run: DagsterRun) -> bool:
    """Whether execute_run_iterator can execute a run with the cached plan: not begun, and of the job as it is.

    A selection of steps is in the plan's snapshot; a selection of ops makes another job.
    """
    has_selection = run.resolved_op_selection or run.asset_selection or run.asset_check_selection
    is_new = run.status in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING)
    return is_new and not has_selection and run.execution_plan_snapshot_id is not None


def _execute_plainly(job: InMemoryJob, run: DagsterRun, instance: DagsterInstance) -> Iterator[DagsterEvent]:
    plan = _kept(
        job.get_definition(),
        str(run.execution_plan_snapshot_id),
        run.run_config,
        lambda: _get_execution_plan_from_run(job, run, instance),
    )
    context = PlanOrchestrationContextManager(
        context_event_generator=orchestration_context_event_generator,
        job=job,
        execution_plan=plan,
        run_config=run.run_config,
        dagster_run=run,
        instance=instance,
        raise_on_error=False,
        executor_defs=None,
        output_capture=None,
        resume_from_failure=False,
    )
    return iter(ExecuteRunWithPlanIterable(plan, job_execution_iterator, context))


def _kept(job: JobDefinition, part: str, config: Mapping[str, Any], make: Callable[[], ExecutionPlan]) -> ExecutionPlan:
    """The plan of a job for a run config. `part`: its snapshot, or the steps to execute."""
    key = (job, part, json.dumps(config, sort_keys=True) if _has_inputs(job) else "")
    plan = _plans.get(key)
    if plan is None:
        plan = make()
        with _lock:
            while len(_plans) >= MOST_PLANS:
                del _plans[next(iter(_plans))]
            _plans[key] = plan
    return plan


def _has_inputs(job: JobDefinition) -> bool:
    """Whether an op takes a value that a run config may give; ops of a workflow only follow each other."""
    return any(not one.dagster_type.is_nothing for op in job.graph.iterate_op_defs() for one in op.input_defs)
