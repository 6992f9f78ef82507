"""Workers that are online, and how many runs are queued and running."""

from dataclasses import dataclass

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from resources.runs.launching.launcher import WarmRunLauncher

QUEUED = (DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING)
RUNNING = (DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
NAMES = {"WarmRunLauncher": "workers", "OrchestratorCeleryLauncher": "celery"}
"""Short names of launchers; other launchers are shown with their class."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """`workers_online` is None for a launcher whose workers cannot be counted from here."""

    executor_type: str
    workers_online: int | None
    queued_jobs: int
    running_jobs: int


def worker_status(instance: DagsterInstance) -> WorkerStatus:
    """Read the status, with two statements on Dagster's database.

    The dispatch table has our own workers, and Dagster's queue the runs before it; for any other launcher Dagster's
    runs tell.
    """
    launcher = instance.run_launcher
    name = type(launcher).__name__
    if not isinstance(launcher, WarmRunLauncher):
        queued, running = _count(instance, QUEUED), _count(instance, RUNNING)
        return WorkerStatus(NAMES.get(name, name), None, queued, running)
    load = launcher.dispatch.load()
    held_back = _count(instance, (DagsterRunStatus.QUEUED,))
    return WorkerStatus(NAMES[name], load.online, load.queued + held_back, load.claimed)


def _count(instance: DagsterInstance, statuses: tuple[DagsterRunStatus, ...]) -> int:
    return instance.get_runs_count(RunsFilter(statuses=list(statuses)))
