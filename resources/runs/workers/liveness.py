"""The liveness lock of a process that executes a run without a supervisor, so that its death is noticed.

`dagster job execute` and `orchestrator run` execute in a process of the user's own, Celery in a process of its pool.
When that is killed, Dagster's run would stay STARTED for ever. So the process claims the run in the dispatch table and
holds a worker's lock for as long as it lives. Supervisors and the sweeper check its run like any other.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dagster import DagsterInstance, EventLogEntry
from dagster_postgres.run_storage import PostgresRunStorage

from resources.errors import RunMayNotAct
from resources.runs.dispatch import Dispatch, Loaded
from resources.runs.forked_children import WakeUp
from resources.runs.workers.worker import ENDS, LivenessThread, claimed_runs, report_end

NO_LOCATION, NO_SUPERVISOR = "", 0
HOLD_SECONDS = 5.0
"""A process that waited so long for its lock starts all the same; it has as long again until it counts as lost."""


class UnsupervisedLiveness(LivenessThread):
    """The liveness thread of a process without a supervisor. It ends with the run.

    A process that does not react to an interrupt within `grace_seconds` ends itself; with None only when its run has a
    limit of its own, as that of an aborted process.
    """

    def __init__(self, dispatch: Dispatch, worker: int, grace_seconds: float | None) -> None:
        super().__init__(dispatch, worker, NO_LOCATION, WakeUp(), NO_SUPERVISOR)
        self.grace_seconds = grace_seconds

    def request_finish(self) -> None:
        """End the thread at its next heartbeat."""
        self.is_finished = True

    def _seconds_left(self) -> float | None:
        left = super()._seconds_left()
        if left is None and self.grace_seconds is not None and self._kill_at is None:
            return self.grace_seconds
        return left

    def _heartbeat(self) -> None:
        self._end_if_overdue()

    def _finish_thread(self) -> None:
        """Do not end: however long the database is away, the process is there when it comes back."""


class DirectClaim:
    """The claim of this process on a run that it executes itself."""

    def __init__(self, dispatch: Dispatch, run_id: str, grace_seconds: float | None = None) -> None:
        self.dispatch = dispatch
        self.run_id = run_id
        loaded = Loaded(NO_LOCATION, "", dispatch.now())
        self.number = dispatch.register(loaded, socket.gethostname(), NO_SUPERVISOR, os.getpid())
        self.liveness = UnsupervisedLiveness(dispatch, self.number, grace_seconds)

    def acquire(self) -> None:
        """Claim the run. Raises RunMayNotAct when another process has it."""
        self.liveness.start()
        _wait_until(lambda: self.liveness.holds_lock)
        if not self.dispatch.claim_directly(self.run_id, self.number):
            self.liveness.request_finish()
            raise RunMayNotAct(
                f"Run {self.run_id} is claimed by another process, or waits for a worker. Wait for it, or terminate it."
            )
        if threading.current_thread() is threading.main_thread():  # no other thread can be interrupted
            self.liveness.run_started(self.run_id)

    def release(self) -> bool:
        """Release the run; True when it was canceled before."""
        self.liveness.run_ended()
        self.liveness.request_finish()
        claimed_runs.discard(self.run_id)
        return self.dispatch.finish(self.run_id, self.number)


_claims: dict[str, DirectClaim] = {}


def claim_run(instance: DagsterInstance, run_id: str) -> None:
    """Claim a run for this process, until the run has ended or this process dies. May be called again.

    Does nothing when Dagster's storage is not in PostgreSQL: no other process could continue the run then. Raises
    RunMayNotAct when another process has claimed the run.
    """
    if run_id not in claimed_runs and isinstance(instance.run_storage, PostgresRunStorage):
        _claims[run_id] = _acquired(instance, run_id)
        # Dagster calls this after it has written the event, so a run is claimed for as long as it is STARTED.
        instance.add_event_listener(run_id, _release_at_end)


def release_run(run_id: str) -> None:
    """Release a run that `claim_run` has claimed. May be called again."""
    if (claim := _claims.pop(run_id, None)) is not None:
        claim.release()


def _release_at_end(event: EventLogEntry) -> None:
    if event.dagster_event is not None and event.dagster_event.event_type in ENDS:
        release_run(event.run_id)


@contextmanager
def claimed_run(instance: DagsterInstance, run_id: str, grace_seconds: float | None = None) -> Iterator[None]:
    """Claim a run that the block executes. Raises RunMayNotAct when another process has claimed it.

    When the run is canceled and the process does not react within `grace_seconds`, it is killed.
    """
    if not isinstance(instance.run_storage, PostgresRunStorage):
        yield
        return
    claim = _acquired(instance, run_id, grace_seconds)
    try:
        yield
    finally:
        if claim.release():
            report_end(instance, run_id, "The run was canceled after it had ended.")


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
    # The runs and locks of the parent stay with it.
    _claims.clear()
    claimed_runs.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
