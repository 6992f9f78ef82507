"""A resident worker: a forked process that claims and executes runs, one at a time, with definitions in memory.

Two runs in two threads of one process would deadlock inside logging and the connection pool. A second thread, which
never runs code of a workflow, holds the liveness lock and listens for interrupts while a run is executed.
"""

import os
import resource
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
import sqlalchemy as sa
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RepositoryDefinition

# Dagster prints each event of a run; a worker has no console.
from dagster._core.execution import context_creation_job

# Dagster sets its own handler of SIGTERM whenever it sets one of SIGINT; here SIGTERM has another meaning.
from dagster._utils import interrupts
from dagster_postgres.utils import DagsterPostgresException

from resources.errors import EventsNotWritten, TransportError
from resources.runs.dispatch import LEAST, ORDINARY, Claimed, Dispatch, Loaded
from resources.runs.dispatch_statements import CANCELED, LAUNCHED, LIVENESS
from resources.runs.forked_children import WakeUp
from resources.runs.guardian import GuardianThread, end_this_process
from resources.runs.run_execution import execute

IDLE_SECONDS = 5.0
"""How often an idle worker reads the table without a notification, which may be lost in a failure."""
HEARTBEAT_SECONDS = 1.0
RETRY_SECONDS = 0.2
KILL_DELAY_SECONDS = 2.0
"""How long a worker leaves it to its supervisor to kill it."""
START_SECONDS = 0.02
"""How often to check whether a run has started."""
GONE_SECONDS = 30.0
"""A worker ends when the database has not answered for so long."""

LOST = "it was without its liveness lock for too long, or another process ended the run, which may continue elsewhere."

ENDS = {DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED}

DATABASE_ERRORS = (
    psycopg.Error,
    sa.exc.SQLAlchemyError,
    DagsterPostgresException,
    TransportError,
    EventsNotWritten,
)
"""The errors of a database that is away, through our own connections and through Dagster's storage."""

claimed_runs: set[str] = set()
"""The runs that this process executes and has claimed in the dispatch table."""


@dataclass(frozen=True)
class Limits:
    """When a worker is replaced by a fresh one, because leaks of libraries must not add up."""

    runs: int = 2000
    megabytes: int = 1024


class Worker:
    """A worker in its own process. A reserved one takes no bulk, so that people need not wait behind it.

    `on_orphaned` is called each second, in another thread, from when its supervisor is gone until its run ends.
    """

    def __init__(
        self,
        instance: DagsterInstance,
        repository: RepositoryDefinition,
        loaded: Loaded,
        limits: Limits,
        *,
        is_reserved: bool = False,
        on_orphaned: Callable[[], None] = lambda: None,
    ) -> None:
        self.instance = instance
        self.repository = repository
        self.loaded = loaded
        self.limits = limits
        self.least = ORDINARY if is_reserved else LEAST
        self.dispatch = Dispatch(instance)
        self.wakeup = WakeUp()
        supervisor = os.getppid()
        self.number = self.dispatch.register(
            loaded, socket.gethostname(), supervisor, os.getpid(), is_reserved=is_reserved
        )
        self.liveness = LivenessThread(
            self.dispatch, self.number, loaded.location, self.wakeup.wake, supervisor, on_orphaned
        )
        self.executed = 0
        self._claim_is_unknown = False
        self._stop_requested = False

    def work(self, on_first_run: Callable[[], None] = lambda: None) -> None:
        """Execute runs until it is stopped, has reached its limits, or has no supervisor."""
        with interrupts_deferred(self._stop), console_silent():
            self.liveness.start()
            while not self._is_done():
                claimed = self._claim()
                if claimed is None:
                    self.wakeup.wait(IDLE_SECONDS)
                else:
                    if self.executed == 0:
                        on_first_run()
                    self._execute(claimed)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requested = True
        self.wakeup.wake()

    def _is_done(self) -> bool:
        if self._stop_requested or self.liveness.is_finished:
            return True
        return self.executed >= self.limits.runs or resident_megabytes() > self.limits.megabytes

    def _claim(self) -> Claimed | None:
        if not self.liveness.holds_lock:  # without its lock it would count as dead
            return None
        try:
            held = self.dispatch.held(self.number) if self._claim_is_unknown else None
            self._claim_is_unknown = False
            return held or self.dispatch.claim(self.number, self.loaded, self.least)
        except DATABASE_ERRORS:
            self._claim_is_unknown = True  # it may have claimed a run without receiving the answer
            time.sleep(RETRY_SECONDS)
            return None

    def _execute(self, claimed: Claimed) -> None:
        self.executed += 1
        self.liveness.run_started(claimed.run_id)
        claimed_runs.add(claimed.run_id)
        try:
            execute_claimed(self.instance, self.repository, claimed)
        finally:
            claimed_runs.discard(claimed.run_id)
            self.liveness.run_ended()
            interrupts.pop_captured_interrupt()
        self._finish(claimed.run_id)

    def _finish(self, run_id: str) -> None:
        """Record the end of a run, also when the database is away: a worker that died now would fail the run."""
        give_up = time.monotonic() + GONE_SECONDS
        while True:
            try:
                if self.dispatch.finish(run_id, self.number):
                    report_end(self.instance, run_id, "The run was canceled after it had ended.")
                return
            except DATABASE_ERRORS:
                if time.monotonic() > give_up:
                    raise
                time.sleep(RETRY_SECONDS)


def execute_claimed(instance: DagsterInstance, repository: RepositoryDefinition, claimed: Claimed) -> None:
    """Execute a run to its end; an error fails the run, and the worker continues with the next."""
    run = instance.get_run_by_id(claimed.run_id)
    if run is None or run.is_finished:
        return
    if run.status is DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run)
        return
    error = ""
    try:
        execute(instance, repository.get_job(run.job_name), run, is_resumed=claimed.is_resumed)
    except Exception:  # noqa: BLE001  the run's log gets the error
        error = traceback.format_exc()
    except BaseException:  # noqa: BLE001  an interrupt between two steps; the run's status tells which
        error = "The run was interrupted."
    report_end(instance, claimed.run_id, error or "The worker ended without finishing the run.")


def report_end(instance: DagsterInstance, run_id: str, reason: str) -> None:
    """End a run that no process executes, if it has not ended. May run twice."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished or settle(instance, run_id):
        return
    if run.status is DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, reason)
    else:
        instance.report_run_failed(run, reason)


def settle(instance: DagsterInstance, run_id: str) -> bool:
    """Give a run the end that its log has, if any. May run twice.

    Dagster writes the log first and the run's row next, and a run whose worker dies in between must not fail after its
    success.
    """
    found = instance.event_log_storage.get_logs_for_run(run_id, of_type=ENDS, limit=1, ascending=False)
    for entry in found:
        moment = datetime.fromtimestamp(entry.timestamp, UTC)
        instance.run_storage.handle_run_event(run_id, entry.get_dagster_event(), moment)
    return bool(found)


class LivenessThread(GuardianThread):
    """Holds the worker's lock in a session of its own, and listens there for runs to claim and to interrupt.

    It never runs code of a workflow.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        worker: int,
        location: str,
        wake: Callable[[], None],
        supervisor: int,
        on_orphaned: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__("liveness")
        self.dispatch = dispatch
        self.worker = worker
        self.location = location
        self.wake = wake
        self.supervisor = supervisor
        self.on_orphaned = on_orphaned
        self.holds_lock = False
        self._run_id: str | None = None
        self._canceled: set[str] = set()
        self._kill_at: float | None = None
        self._lock = threading.Lock()

    def run_started(self, run_id: str) -> None:
        """Record which run the main thread executes from now on."""
        with self._lock:
            if self.is_finished:
                end_this_process(f"Run {run_id} was claimed when the liveness lock was given back.")
            self._run_id = run_id
            if run_id in self._canceled:
                self._interrupt()

    def run_ended(self) -> None:
        """Record that the main thread executes nothing."""
        with self._lock:
            self._run_id = self._kill_at = None
            self._canceled.clear()

    def guard(self) -> None:
        """Keep the session open; open another when it breaks."""
        last_held = time.monotonic()
        while not self.is_finished:
            try:
                with self.dispatch.connect() as session:
                    self._hold(session)
                    self._listen(session)
            except DATABASE_ERRORS:
                last_held = time.monotonic() if self.holds_lock else last_held
                self.holds_lock = False
                if time.monotonic() - last_held > GONE_SECONDS:
                    self._finish_when_idle()
                self._heartbeat()
                time.sleep(RETRY_SECONDS)

    def _hold(self, session: "psycopg.Connection[Any]") -> None:
        session.execute(f"LISTEN {LAUNCHED}")
        session.execute(f"LISTEN {CANCELED}")
        # Waits until the server ends the broken session, whose lock stands for this worker until then.
        session.execute("SELECT pg_advisory_lock(%s, %s)", (LIVENESS, self.worker))
        self._beat(session)
        self.holds_lock = True
        self._check_claimed_run()
        self.wake()

    def _check_claimed_run(self) -> None:
        """React to what happened without a session: the run was canceled, or given up and is another worker's now."""
        current = self._run_id
        claimed = {entry.run_id: entry for entry in self.dispatch.claimed_by(self.worker)}
        if current in claimed and claimed[current].is_canceled:
            self._cancel(current)
        elif current is not None and current not in claimed:
            self._abandon(current)

    def _listen(self, session: "psycopg.Connection[Any]") -> None:
        next_beat = time.monotonic() + HEARTBEAT_SECONDS
        while not self.is_finished:
            left = max(0.0, next_beat - time.monotonic())
            # A list: the generator holds the session's lock until it is closed, and what follows may raise.
            for notice in list(session.notifies(timeout=left, stop_after=1)):
                if notice.channel == CANCELED:
                    self._cancel(notice.payload)
                elif notice.payload == self.location:
                    self.wake()
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + HEARTBEAT_SECONDS
                self._beat(session)
                self._heartbeat()

    def _beat(self, session: "psycopg.Connection[Any]") -> None:
        """Write that this process is not frozen, and see whether it was for so long that it was given up."""
        current = self._run_id
        claimed = self.dispatch.beat(self.worker, session)
        if claimed is None:
            self._end_unknown()
        elif current is not None and current not in claimed:
            self._abandon(current)

    def _end_unknown(self) -> None:
        end_this_process("It was without its liveness lock for too long, and is no worker any more.")

    def _heartbeat(self) -> None:
        self._end_if_overdue()
        if os.getppid() != self.supervisor:
            self.on_orphaned()
            self._finish_when_idle()

    def _cancel(self, run_id: str) -> None:
        """Interrupt the run if the main thread executes it, but not before it has started."""
        with self._lock:
            self._canceled.add(run_id)
        while True:
            with self._lock:
                if self._run_id != run_id:
                    return None
                if self.dispatch.mark_canceling(run_id):
                    return self._interrupt()
            time.sleep(START_SECONDS)

    def _abandon(self, run_id: str) -> None:
        """End this process: another took the worker for dead, and may execute the run too."""
        with self._lock:
            if self._run_id == run_id:
                end_this_process(f"Run {run_id} is no longer its own: {LOST}")

    def _end_if_overdue(self) -> None:
        """End this process when its run was canceled, and its step has not ended in time."""
        with self._lock:
            if self._run_id is not None and self._kill_at is not None and time.monotonic() > self._kill_at:
                end_this_process(f"Run {self._run_id} was terminated, and its step did not react.")

    def _seconds_left(self) -> float | None:
        """How long the step of a canceled run may take to end; None: as long as it likes."""
        with suppress(*DATABASE_ERRORS):  # when the limit has passed, the sweeper cancels the run once more
            for entry in self.dispatch.claimed_by(self.worker):
                if entry.run_id == self._run_id and entry.seconds_left is not None:
                    return entry.seconds_left
        return None

    def _interrupt(self) -> None:
        if (left := self._seconds_left()) is not None:
            self._kill_at = time.monotonic() + left + KILL_DELAY_SECONDS
        # To the main thread itself, to interrupt what it sleeps in or waits for; there Dagster's handler
        # raises inside the body of an op, and elsewhere keeps it for the next op.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _finish_when_idle(self) -> None:
        # Without a supervisor or database the run continues to its end, and needs this thread until then.
        with self._lock:
            if self._run_id is None:
                self._finish_thread()
        self.wake()

    def _finish_thread(self) -> None:
        self.is_finished = True
        self.wake()


@contextmanager
def interrupts_deferred(on_terminate: Any) -> Iterator[None]:
    """SIGINT interrupts only the body of an op; SIGTERM is ours, also inside Dagster's own handlers."""
    original = interrupts.setup_interrupt_handlers
    interrupts.setup_interrupt_handlers = lambda: None
    signal.signal(signal.SIGTERM, on_terminate)
    try:
        with interrupts.capture_interrupts():
            yield
    finally:
        interrupts.setup_interrupt_handlers = original


@contextmanager
def console_silent() -> Iterator[None]:
    """Give no logger to runs whose config names none; Dagster would give them one that prints each event."""
    module: Any = context_creation_job
    original = module.default_system_loggers
    module.default_system_loggers = lambda _: []
    try:
        yield
    finally:
        module.default_system_loggers = original


def resident_megabytes() -> float:
    """The memory of this process, with what it shares with the supervisor."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20
