"""Who executes runs, and how much there is to do: workers online, runs queued and running."""

from dataclasses import dataclass

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from resources.runs.launching.launcher import WarmRunLauncher

QUEUED = (DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING)
RUNNING = (DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
NAMES = {"WarmRunLauncher": "workers", "OrchestratorCeleryLauncher": "celery"}
"""Short names of launchers; another is called by its class."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """`workers_online` is None for a launcher whose workers nobody here can count."""

    executor_type: str
    workers_online: int | None
    queued_jobs: int
    running_jobs: int


def worker_status(instance: DagsterInstance) -> WorkerStatus:
    """Read it; two statements on Dagster's database.

    Of our own workers the dispatch table knows, together with the runs that Dagster's queue holds back before it; of
    any other launcher Dagster's own record of runs.
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
