"""Schedules of the built-in tasks, off until people switch them on in Dagster's page."""

from collections.abc import Iterable

from dagster import DefaultScheduleStatus, JobDefinition, ScheduleDefinition

CRONS = {
    "task_resume_workflows": "0 * * * *",
    "task_clean_up_tasks": "15 */6 * * *",
    "task_validate_subscriptions": "10 0 * * *",
    "task_validate_products": "30 2 * * *",
    "task_validate_awaiting_callbacks": "* * * * *",
}
"""In UTC."""


def task_schedules(jobs: Iterable[JobDefinition]) -> list[ScheduleDefinition]:
    """A schedule for each built-in task that runs regularly."""
    return [
        ScheduleDefinition(
            name=f"{job.name}_schedule",
            job_name=job.name,  # by its name, so that Dagster need not copy it when resources are bound
            cron_schedule=CRONS[job.name],
            run_config={"inputs": {}},
            default_status=DefaultScheduleStatus.STOPPED,
            description=f"{(job.description or job.name).splitlines()[0]}, regularly; off until it is switched on.",
        )
        for job in jobs
        if job.name in CRONS
    ]
