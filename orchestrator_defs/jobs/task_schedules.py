"""Schedules of the built-in tasks, off until people switch them on in Dagster's page."""

from collections.abc import Iterable

from dagster import DefaultScheduleStatus, JobDefinition, ScheduleDefinition

SCHEDULES = {
    "task_resume_workflows": (
        "0 * * * *",
        "Every hour: resumes the processes that wait for a retry, at once and not at their next try.",
    ),
    "task_clean_up_tasks": (
        "15 */6 * * *",
        "Every six hours: deletes completed tasks older than TASK_LOG_RETENTION_DAYS. No other process is deleted.",
    ),
    "task_validate_subscriptions": (
        "10 0 * * *",
        "Every night at 00:10 UTC: validates all subscriptions. `validation_sensor` instead spreads them over a day.",
    ),
    "task_validate_products": (
        "30 2 * * *",
        "Every night at 02:30 UTC: compares the catalogue in the database with the code, and loads every subscription.",
    ),
    "task_retention": (
        "40 3 * * *",
        "Every night at 03:40 UTC: removes runs older than RUN_RETENTION_DAYS, and old history; the ledger stays.",
    ),
    "task_validate_awaiting_callbacks": (
        "* * * * *",
        "Every minute: ends the waits for callbacks that are overdue. The sensor `wake` does so anyway while it is on.",
    ),
}
"""Task -> when, in UTC, and what people read beside the switch."""
ALL_OFF = "Off until you switch it on here."
"""Nobody asked for a load on external systems, or for deletions; what processes need is done by the sensors."""


def task_schedules(jobs: Iterable[JobDefinition]) -> list[ScheduleDefinition]:
    """A schedule for each built-in task that runs regularly."""
    return [
        ScheduleDefinition(
            name=f"{job.name}_schedule",
            job_name=job.name,  # by its name, so that Dagster need not copy it when resources are bound
            cron_schedule=SCHEDULES[job.name][0],
            run_config={"inputs": {}},
            default_status=DefaultScheduleStatus.STOPPED,
            description=f"{SCHEDULES[job.name][1]} {ALL_OFF}",
        )
        for job in jobs
        if job.name in SCHEDULES
    ]
