"""Rows of an event log that are committed in groups: some milliseconds late, in order, and never lost in silence.

A row is taken in memory and written with others: by the next caller who needs it written, or by a small thread when it
has waited for `OLDEST_SECONDS`. What cannot be written stays and is tried again; a caller who needs it written is told
when the database has been away for `PATIENCE_SECONDS`. One group is written at a time, from the front: order is kept.
"""

import atexit
import multiprocessing.util
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from resources.errors import EventsNotWritten, OrchestratorError

Row = Mapping[str, Any]

LARGEST = 200
"""Rows in one group; as many waiting rows make the next caller write."""
OLDEST_SECONDS = 0.04
"""A row is committed when it is older, which with the writing itself keeps it below 50 ms."""
TIMEOUT_SECONDS = 20.0
"""How long the database may be away before a run is told: a restart takes seconds."""
EXIT_SECONDS = 5.0
"""The same for a process that ends."""
LOCK_SECONDS = TIMEOUT_SECONDS + 15
"""How long another thread may be at writing; longer than a connection may take to be refused."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
IDLE_SECONDS = 5.0
"""The thread ends when nothing came for so long; the next row starts another."""

ROW_ERRORS = (sa.exc.DataError, sa.exc.IntegrityError, ValueError)
"""Errors that are a row's own: it will never be written, the others can be. Every other error is the database's."""
DATABASE_ERRORS = (sa.exc.SQLAlchemyError, OrchestratorError, OSError)

_all: "weakref.WeakSet[EventGroups]" = weakref.WeakSet()
_finalized_pid = 0


class EventGroups:
    """The rows of one event log that wait to be written. Every row has the key `run_id`.

    `write` commits rows in one statement, in order; `is_written` looks whether a row is in the database: after a
    connection broke, nobody knows whether the last group arrived.
    """

    def __init__(self, write: Callable[[Sequence[Row]], None], is_written: Callable[[Row], bool]) -> None:
        self._write = write
        self._is_written = is_written
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._waiting: list[tuple[float, Row]] = []
        """With the time at which each came."""
        self._changed = threading.Condition()
        self._writing = threading.RLock()
        self._nested = False
        self._unacknowledged = 0
        """How many rows at the front were sent without an answer."""
        self._unreachable_since: float | None = None
        self._incomplete: dict[str, str] = {}
        """Runs of whose log something will never be written, and why."""
        self._thread: threading.Thread | None = None

    def add(self, row: Row, *, now: bool = False) -> None:
        """Take a row; with `now`, it and all before it are committed when this returns.

        Raises EventsNotWritten, and does not keep this row then; those before it are tried again.
        """
        with self._changed:
            self._waiting.append((time.monotonic(), row))
            full = len(self._waiting) >= LARGEST
        if not (now or full):
            self._wake_thread()
            return
        try:
            self.flush()
        except EventsNotWritten as error:
            self._withdraw(row, str(error))
            raise
        finally:
            if self._waiting:
                self._wake_thread()

    def flush(self, timeout: float = TIMEOUT_SECONDS) -> None:
        """Commit everything taken before this call. Raises EventsNotWritten when the database stays away (`patience`,
        in seconds since it went); everything is kept then.
        """
        with self._exclusively() as nested:
            due = 0 if nested else len(self._waiting)
            pause = FIRST_PAUSE
            while due > 0 and self._waiting:
                try:
                    due -= self._write_next()
                except DATABASE_ERRORS as error:
                    if time.monotonic() - self._mark_unreachable() >= timeout:
                        raise self._not_written(error) from error
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)

    def raise_if_incomplete(self, run_id: str) -> None:
        """Raise EventsNotWritten if something of the run's log was given up."""
        if (reason := self._incomplete.get(run_id)) is not None:
            raise EventsNotWritten(f"The log of run {run_id} is incomplete, so the run cannot go on. {reason}")

    def forget_incomplete(self, run_id: str) -> None:
        """The run has failed: its log needs no completeness any more."""
        self._incomplete.pop(run_id, None)

    # --- writing ---

    @contextmanager
    def _exclusively(self) -> Iterator[bool]:
        """Keep other threads from writing. Gives whether this thread was at it already: what it calls may log a row."""
        if not self._writing.acquire(timeout=LOCK_SECONDS):
            raise EventsNotWritten(f"Another thread has been writing events for {LOCK_SECONDS:g} s.")
        nested, self._nested = self._nested, True
        try:
            yield nested
        finally:
            self._nested = nested
            self._writing.release()

    def _write_next(self) -> int:
        """Write one group; how many rows that were."""
        group = [row for _, row in self._waiting[: self._unacknowledged or LARGEST]]
        try:
            self._send(group)
        except ROW_ERRORS as error:
            self._write_singly(group, error)
        return len(group)

    def _send(self, group: list[Row]) -> None:
        # A group is one statement: when its first row is there, it is.
        if not (self._unacknowledged and self._is_written(group[0])):
            self._unacknowledged = len(group)
            self._write(group)
        self._drop(len(group))
        self._unreachable_since = None

    def _write_singly(self, group: list[Row], error: Exception) -> None:
        """Write what can be written of a group in which a row is unfit."""
        self._unacknowledged = 0
        for row in group:
            try:
                if len(group) == 1:
                    raise error
                self._send([row])
            except ROW_ERRORS as reason:
                self._drop(1)
                self._mark_incomplete(row, f"An event cannot be written: {_first_line(reason)}.")

    def _drop(self, count: int) -> None:
        with self._changed:
            del self._waiting[:count]
            self._unacknowledged = 0

    def _withdraw(self, row: Row, reason: str) -> None:
        """Take a row back that was not written: whoever gave it is told so."""
        with self._changed:
            for index, (_, waiting) in enumerate(self._waiting):
                if waiting is row:
                    del self._waiting[index]
                    self._unacknowledged -= index < self._unacknowledged
                    self._mark_incomplete(row, reason)
                    return

    def _mark_incomplete(self, row: Row, reason: str) -> None:
        self._incomplete[str(row["run_id"])] = reason

    def _mark_unreachable(self) -> float:
        if self._unreachable_since is None:
            self._unreachable_since = time.monotonic()
        return self._unreachable_since

    def _not_written(self, error: Exception) -> EventsNotWritten:
        seconds = time.monotonic() - self._mark_unreachable()
        return EventsNotWritten(
            f"Dagster's database has taken no events for {seconds:.1f} s: {_first_line(error)}."
            f" {len(self._waiting)} events wait. Check that the server runs and has room."
        )

    # --- the thread ---

    def _wake_thread(self) -> None:
        """Have the thread write what waits, in time."""
        _flush_in_finalizers()
        with self._changed:
            self._changed.notify()
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._write_in_time, name="event-groups", daemon=True)
            with suppress(RuntimeError):  # the interpreter is ending
                self._thread.start()
                return
        self.flush(EXIT_SECONDS)

    def _write_in_time(self) -> None:
        pause = FIRST_PAUSE
        while (due := self._await_row()) is not None:
            if (remaining := due - time.monotonic()) > 0:
                time.sleep(remaining)
            elif self._try_once():
                pause = FIRST_PAUSE
            else:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _await_row(self) -> float | None:
        """When the oldest row is due; None when none comes, and the thread is to end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, IDLE_SECONDS):
                self._thread = None
                return None
            return self._waiting[0][0] + OLDEST_SECONDS

    def _try_once(self) -> bool:
        # Says nothing when it fails: whoever needs the rows written tries again, and is told in a thread of its own.
        try:
            self.flush(timeout=0)
        except EventsNotWritten:
            return False
        return True

    # --- the process ---

    def begin_in_child(self) -> None:
        """After a fork: what waits is the parent's to write, and the parent's thread and locks are not ours."""
        self._begin()

    def flush_at_exit(self) -> None:
        """Commit everything, or say on standard error what is lost."""
        try:
            self.flush(EXIT_SECONDS)
        except EventsNotWritten as error:
            runs = sorted({str(row["run_id"]) for _, row in self._waiting})
            sys.stderr.write(f"LOST: {len(self._waiting)} events of runs {', '.join(runs)}. {error}\n")


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".")


def _flush_all() -> None:
    for groups in list(_all):
        groups.flush_at_exit()


def _flush_in_finalizers() -> None:
    """Flush at the end of a child of `multiprocessing` too: when forked it ends without `atexit`."""
    global _finalized_pid
    if _finalized_pid != os.getpid():
        _finalized_pid = os.getpid()
        multiprocessing.util.Finalize(None, _flush_all, exitpriority=1)


def _begin_in_child() -> None:
    for groups in list(_all):
        groups.begin_in_child()


atexit.register(_flush_all)
os.register_at_fork(after_in_child=_begin_in_child)
