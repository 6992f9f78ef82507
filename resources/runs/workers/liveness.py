"""Attendance: a process that executes a run which no supervisor looks after says so, and is seen to die.

`dagster job execute` and `orchestrator run` execute in a process of the user's own, Celery in one of its pool. When it
is killed, Dagster's run stays STARTED for ever, and nobody would know. So the process is entered in the dispatch table
as the one that has the run in hand, and holds a worker's lock for as long as it lives; from then on its run is looked
after like any other.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dagster import DagsterInstance
from dagster_postgres.run_storage import PostgresRunStorage

from resources.errors import RunMayNotAct
from resources.runs.dispatch import Dispatch, Loaded
from resources.runs.forked_children import WakeUp
from resources.runs.workers.worker import LivenessThread, claimed_runs, kill_this_process, report_end

NO_LOCATION, NO_SUPERVISOR = "", 0
HOLD_SECONDS = 5.0
"""Without the lock until then, the process begins all the same: it has as long again before it is given up."""


class UnsupervisedLiveness(LivenessThread):
    """The lifeline of a process that nobody supervises: it is given up with the run and not before.

    A process that does not react to an interrupt within `grace_seconds` is killed, by itself; without it never.
    """

    def __init__(self, dispatch: Dispatch, worker: int, grace_seconds: float | None) -> None:
        super().__init__(dispatch, worker, NO_LOCATION, WakeUp(), NO_SUPERVISOR)
        self.grace_seconds = grace_seconds
        self._kill_at: float | None = None

    def request_finish(self) -> None:
        """Hold no more, soon."""
        self.is_finished = True

    def _interrupt(self) -> None:
        if self.grace_seconds is not None and self._kill_at is None:
            self._kill_at = time.monotonic() + self.grace_seconds
        super()._interrupt()

    def _heartbeat(self) -> None:
        with self._lock:
            if self._run_id is not None and self._kill_at is not None and time.monotonic() > self._kill_at:
                kill_this_process()

    def _finish_thread(self) -> None:
        """However long the database is away, the process is here when it comes back."""


class DirectClaim:
    """This process, as one that executes a run on its own account."""

    def __init__(self, dispatch: Dispatch, run_id: str, grace_seconds: float | None = None) -> None:
        self.dispatch = dispatch
        self.run_id = run_id
        loaded = Loaded(NO_LOCATION, "", dispatch.now())
        self.number = dispatch.register(loaded, socket.gethostname(), NO_SUPERVISOR, os.getpid())
        self.liveness = UnsupervisedLiveness(dispatch, self.number, grace_seconds)

    def acquire(self) -> None:
        """Enter the run. Raises RunMayNotAct when somebody else has it in hand."""
        self.liveness.start()
        _wait_until(lambda: self.liveness.holds_lock)
        if not self.dispatch.claim_directly(self.run_id, self.number):
            self.liveness.request_finish()
            raise RunMayNotAct(
                f"Run {self.run_id} is in the hands of another process, or waits for a worker. Wait for it, or "
                f"terminate it."
            )
        if threading.current_thread() is threading.main_thread():  # the only one that can be interrupted
            self.liveness.run_started(self.run_id)

    def release(self) -> bool:
        """Have nothing more to do with the run; whether it was canceled until now."""
        self.liveness.run_ended()
        self.liveness.request_finish()
        claimed_runs.discard(self.run_id)
        return self.dispatch.finish(self.run_id, self.number)


_claims: dict[str, DirectClaim] = {}


def claim_run(instance: DagsterInstance, run_id: str) -> None:
    """Say that this process executes a run, until `release_run` or its death, if that is not said yet.

    Says nothing when Dagster's storage is not in PostgreSQL: then nobody else could go on with the run. Raises
    RunMayNotAct when somebody else has the run in hand.
    """
    if run_id not in claimed_runs and isinstance(instance.run_storage, PostgresRunStorage):
        _claims[run_id] = _acquired(instance, run_id)


def release_run(run_id: str) -> None:
    """Say that this process has nothing more to do with a run, if `claim_run` said that it had. May be said twice."""
    if (claim := _claims.pop(run_id, None)) is not None:
        claim.release()


@contextmanager
def claimed_run(instance: DagsterInstance, run_id: str, grace_seconds: float | None = None) -> Iterator[None]:
    """Execute a run in the block, to its end. Raises RunMayNotAct when somebody else has it in hand.

    Canceled, the process is killed if it does not react in `grace_seconds`.
    """
    if not isinstance(instance.run_storage, PostgresRunStorage):
        yield
        return
    claim = _acquired(instance, run_id, grace_seconds)
    try:
        yield
    finally:
        if claim.release():
            report_end(instance, run_id, "The run was canceled when it was over.")


def _acquired(instance: DagsterInstance, run_id: str, grace_seconds: float | None = None) -> DirectClaim:
    claim = DirectClaim(Dispatch(instance), run_id, grace_seconds)
    claim.acquire()
    claimed_runs.add(run_id)
    return claim


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HOLD_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)


def _forget_after_fork() -> None:
    # The parent's runs and its locks are the parent's.
    _claims.clear()
    claimed_runs.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
