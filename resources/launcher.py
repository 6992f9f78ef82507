"""Runs of a process, made and executed in this Python process."""

from collections.abc import Mapping

from dagster import DagsterInstance, JobDefinition

# The public ways to execute (execute_in_process, execute_job) either cannot say which run group a run belongs to, or
# want a job that another process can import. These two are what the run worker of Dagster itself calls.
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator

ROOT_RUN, PARENT_RUN = "dagster/root_run_id", "dagster/parent_run_id"
"""Dagster finds the runs of a group by these tags, and a run's group by the fields of the same names: it needs both."""


def execute_run(
    instance: DagsterInstance,
    job: JobDefinition,
    *,
    run_id: str | None,
    tags: Mapping[str, str],
    root_run_id: str | None = None,
    parent_run_id: str | None = None,
) -> str:
    """Create a run of a job and execute it to its end; returns the run's id.

    `root_run_id` and `parent_run_id` put it in the group of an earlier run. A failed step fails the run and raises
    nothing here.
    """
    group = {ROOT_RUN: root_run_id, PARENT_RUN: parent_run_id}
    run = instance.create_run_for_job(
        job_def=job,
        run_id=run_id,
        tags={**job.run_tags, **tags, **{key: value for key, value in group.items() if value}},
        root_run_id=root_run_id,
        parent_run_id=parent_run_id,
    )
    for _ in execute_run_iterator(InMemoryJob(job), run, instance):
        pass
    return run.run_id
