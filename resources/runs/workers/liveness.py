"""The liveness lock of a process that executes a run without a supervisor, so that its death is noticed.

`dagster job execute` and `orchestrator run` execute in a process of the user's own, Celery in a process of its pool.
When that is killed, Dagster's run would stay STARTED for ever. So the process claims the run in the dispatch table and
holds a worker's lock for as long as it executes runs. Supervisors and the sweeper check its run like any other.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from dagster import DagsterInstance, EventLogEntry
from dagster_postgres.run_storage import PostgresRunStorage

from resources.errors import RunMayNotAct
from resources.runs.dispatch import Dispatch, Loaded
from resources.runs.workers.worker import ENDS, LivenessThread, claimed_runs, report_end

NO_LOCATION, NO_SUPERVISOR = "", 0
HOLD_SECONDS = 5.0
"""A process that waited so long for its lock starts all the same; it has as long again until it counts as lost."""
IDLE_SECONDS = 60.0
"""How long a lock is kept for the next run: taking one needs a number, a session and a thread."""


class UnsupervisedLiveness(LivenessThread):
    """The liveness thread of a process without a supervisor: one run after the other has its lock.

    Between two runs it is idle, and ends when no run has wanted it for some time or when its session breaks. A process
    that does not react to an interrupt within `grace_seconds` ends itself; with None only when its run has a limit of
    its own, as that of an aborted process.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self.lock_taken = threading.Event()
        loaded = Loaded(NO_LOCATION, "", datetime.now(UTC))
        number = dispatch.register(loaded, socket.gethostname(), NO_SUPERVISOR, os.getpid())
        super().__init__(dispatch, number, NO_LOCATION, self.lock_taken.set, NO_SUPERVISOR)
        self.grace_seconds: float | None = None
        self.idle_until = 0.0

    def serve(self, dispatch: Dispatch, grace_seconds: float | None) -> None:
        """Hold the lock for a run that is about to be claimed."""
        self.dispatch, self.grace_seconds = dispatch, grace_seconds
        self.run_ended()  # what was canceled until now was no run of this process
        if not self.is_alive():
            self.start()
        self.lock_taken.wait(HOLD_SECONDS)

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
        is_wanted = self.holds_lock and time.monotonic() < self.idle_until
        if not is_wanted and _withdraw(self):
            self.is_finished = True

    def _end_unknown(self) -> None:
        if self.is_finished or _withdraw(self):  # the process slept for long, and has no run
            self.is_finished = True
        else:
            super()._end_unknown()

    def _finish_thread(self) -> None:
        """Do not end: however long the database is away, the process is there when it comes back."""


_idle: list[UnsupervisedLiveness] = []
_idle_lock = threading.Lock()


def _take_idle(place: str) -> UnsupervisedLiveness | None:
    with _idle_lock:
        found = next((one for one in _idle if one.dispatch.place == place), None)
        if found is not None:
            _idle.remove(found)
        return found


def _withdraw(liveness: UnsupervisedLiveness) -> bool:
    """Let no run have an idle thread any more; False if one has it."""
    with _idle_lock:
        is_idle = liveness in _idle
        if is_idle:
            _idle.remove(liveness)
        return is_idle


def _keep(liveness: UnsupervisedLiveness) -> None:
    """Keep a thread for the next run; one for each database is enough."""
    with _idle_lock:
        if any(one.dispatch.place == liveness.dispatch.place for one in _idle):
            liveness.request_finish()
        else:
            liveness.idle_until = time.monotonic() + IDLE_SECONDS
            _idle.append(liveness)


def release_idle() -> None:
    """Give back the locks that no run has; a process that executes another run takes one again."""
    with _idle_lock:
        while _idle:
            _idle.pop().request_finish()


class DirectClaim:
    """The claim of this process on a run that it executes itself."""

    def __init__(self, dispatch: Dispatch, run_id: str, grace_seconds: float | None = None) -> None:
        self.dispatch = dispatch
        self.run_id = run_id
        self.grace_seconds = grace_seconds
        self.liveness: UnsupervisedLiveness

    @property
    def number(self) -> int:
        """The worker that this process is."""
        return self.liveness.worker

    def acquire(self) -> None:
        """Claim the run. Raises RunMayNotAct when another process has it."""
        idle = _take_idle(self.dispatch.place)
        if not (idle and self._claim(idle)) and not self._claim(UnsupervisedLiveness(self.dispatch)):
            raise RunMayNotAct(
                f"Run {self.run_id} is claimed by another process, or waits for a worker. Wait for it, or terminate it."
            )
        if threading.current_thread() is threading.main_thread():  # no other thread can be interrupted
            self.liveness.run_started(self.run_id)

    def _claim(self, liveness: UnsupervisedLiveness) -> bool:
        """False also when the table no longer has the worker, because the process slept for long."""
        self.liveness = liveness
        try:
            liveness.serve(self.dispatch, self.grace_seconds)
            is_claimed = self.dispatch.claim_directly(self.run_id, liveness.worker)
        except BaseException:
            liveness.request_finish()
            raise
        if not is_claimed:
            liveness.request_finish()
        return is_claimed

    def release(self) -> bool:
        """Release the run; True when it was canceled before."""
        self.liveness.run_ended()
        claimed_runs.discard(self.run_id)
        try:
            was_canceled = self.dispatch.finish(self.run_id, self.number)
        except BaseException:
            self.liveness.request_finish()  # the run counts as lost, as if this process had died
            raise
        _keep(self.liveness)
        return was_canceled


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


def _forget_after_fork() -> None:
    # The runs and locks of the parent stay with it; another thread of it may have held this lock.
    global _idle_lock
    _idle_lock = threading.Lock()
    _idle.clear()
    _claims.clear()
    claimed_runs.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
