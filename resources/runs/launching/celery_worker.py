"""The Celery application that workers on many machines load.

Start one with `celery -A resources.runs.launching.celery_worker worker -Q dagster`.

The same dagster.yaml configures it and the launcher. Each process of the pool loads definitions once; new code needs
new workers, as it needs a new image. The pool must be prefork, because a signal interrupts an op and reaches a main
thread only.
"""

import os
import signal
import socket
import threading
import traceback

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RepositoryDefinition
from dagster_celery.config import TASK_EXECUTE_JOB_NAME

from resources.errors import RunMayNotAct, SettingsError
from resources.runs.code_location import CodeLocation
from resources.runs.dispatch import Claimed, Dispatch
from resources.runs.launching.celery_launcher import Attempt, OrchestratorCeleryLauncher
from resources.runs.workers.liveness import claimed_run
from resources.runs.workers.worker import execute_claimed, interrupts_deferred, report_end

MOST_TRIES = 3
"""The run fails after so many workers died while they loaded its definitions."""

_repositories: dict[str, RepositoryDefinition] = {}


def _launcher() -> OrchestratorCeleryLauncher:
    with DagsterInstance.get() as instance:
        launcher = instance.run_launcher
        if not isinstance(launcher, OrchestratorCeleryLauncher):
            raise SettingsError(
                f"A Celery worker needs {OrchestratorCeleryLauncher.__name__} as run_launcher of the dagster.yaml in"
                f" DAGSTER_HOME or the working directory; there it is {type(launcher).__name__}."
            )
        Dispatch(instance)  # connect now, so that a fault of the database shows at the start
        return launcher


launcher = _launcher()
app = launcher.celery


@app.task(name=TASK_EXECUTE_JOB_NAME, ignore_result=True)  # type: ignore[untyped-decorator]
def execute_job(run_id: str, sent: int) -> str:
    """Execute a run, unless another worker has it or a newer message exists. May run twice; returns what was done."""
    if threading.current_thread() is not threading.main_thread():
        raise SettingsError("Start the Celery worker with `--pool prefork`: no op can be interrupted in a thread.")
    with DagsterInstance.get() as instance, interrupts_deferred(_interrupt):
        try:
            sending = _look(instance, run_id, sent)
            if isinstance(sending, str):
                return sending
            with claimed_run(instance, run_id, launcher.grace_seconds):
                sending = _look(instance, run_id, sent)  # no other process changes it from now on
                return sending if isinstance(sending, str) else _execute(instance, *sending)
        except RunMayNotAct:
            return "another worker has it"
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Celery sets it in an idle process of its pool


def _interrupt(_number: int, _frame: object) -> None:
    # Celery ends at once (its second SIGTERM, or SIGQUIT): interrupt the op and fail the run with that reason.
    signal.raise_signal(signal.SIGINT)


def _look(instance: DagsterInstance, run_id: str, sent: int) -> tuple[DagsterRun, Attempt] | str:
    """The run of a message, or why this worker does not execute it."""
    run = instance.get_run_by_id(run_id)
    attempt = Attempt.of(run) if run else None
    if run is None or attempt is None or run.is_finished or sent < attempt.sent:
        return "nothing to do"
    if run.status is DagsterRunStatus.STARTED and not attempt.is_waiting:
        # Redis delivers the message again because its worker died. The daemon decides whether and how often the run is
        # resumed: a run that kills its workers must not be executed for ever.
        return "left to the run monitoring"
    return run, attempt


def _execute(instance: DagsterInstance, run: DagsterRun, attempt: Attempt) -> str:
    if attempt.tries >= MOST_TRIES and not attempt.is_waiting:
        why = f"{attempt.tries} workers died while they loaded the run; the last: {attempt.worker}."
        report_end(instance, run.run_id, why)
        return "given up"
    instance.add_run_tags(run.run_id, attempt.take(f"{socket.gethostname()}:{os.getpid()}"))
    try:
        repository = _repository(run)
    except Exception:  # noqa: BLE001  whatever the code raises fails the run
        report_end(instance, run.run_id, traceback.format_exc())
        return "its code cannot be loaded"
    execute_claimed(instance, repository, Claimed(run.run_id, is_resumed=attempt.sent > 0))
    return "executed"


def _repository(run: DagsterRun) -> RepositoryDefinition:
    """The definitions of a run, loaded once."""
    if run.job_code_origin is None:
        raise SettingsError("The run does not say where its job is defined; launch it from a workspace.")
    location = CodeLocation("", run.job_code_origin.repository_origin.code_pointer)
    key = location.pointer.describe()
    if key not in _repositories:
        _repositories[key] = location.load()
    return _repositories[key]
