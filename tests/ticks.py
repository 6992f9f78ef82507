"""Ticks of sensors, as Dagster's daemon makes them."""

from collections.abc import Iterable
from typing import Any

from dagster import (
    DagsterInstance,
    Definitions,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
)

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.launching import RUN_KEY
from resources.runs.launching.launcher import create_run

TICK = "17"
"""The number of a tick: the daemon names the log of an evaluation by it, and a preview has none."""


def daemon_context(instance: DagsterInstance, name: str = "sensor", cursor: str | None = None) -> Any:
    """The context of an evaluation that is no preview."""
    return SensorEvaluationContext(
        None, instance=instance, cursor=cursor, sensor_name=name, log_key=["repository", name, TICK]
    )


def sensor_of(sensors: Iterable[Any] | None, name: str) -> SensorDefinition:
    """The sensor of this name."""
    return next(one for one in sensors or () if one.name == name)


def execute(defs: Definitions, request: RunRequest, instance: DagsterInstance) -> Any:
    """Execute the run that a sensor has requested, as the daemon would have it executed."""
    job = defs.resolve_job_def(str(request.job_name))
    tags = {**request.tags, RUN_KEY: str(request.run_key)}
    return job.execute_in_process(run_config=request.run_config, instance=instance, tags=tags, raise_on_error=False)


def launch_requested(orchestrator: Orchestrator, instance: DagsterInstance, requests: Iterable[RunRequest]) -> None:
    """Create and launch requested runs as the daemon does: one for each run key."""
    for request in requests:
        key = {RUN_KEY: str(request.run_key)}
        if not instance.get_runs(RunsFilter(tags=key)):
            job = orchestrator.job(str(request.job_name))
            known = {**request.tags, **key}
            run = create_run(instance, job, run_id=None, tags=known, run_config=request.run_config)
            instance.launch_run(run.run_id, None)  # type: ignore[arg-type]  # our launcher needs no workspace
