"""Groups the rows of an event log to commit them together.

They are committed some milliseconds late, in order, and none is lost without an error.

Rows wait in memory. The next caller who needs one committed writes all, or a thread does when a row has waited for
`OLDEST_SECONDS`. Rows that cannot be written stay and are retried; a caller who needs them committed gets an error when
the database is away for `TIMEOUT_SECONDS`. One group is written at a time, from the front, so the order is kept.
"""

import atexit
import multiprocessing.util
import os
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from dagster_postgres.utils import DagsterPostgresException

from resources.errors import EventsNotWritten, OrchestratorError, TransportError

Row = Mapping[str, Any]

LARGEST = 200
"""The most rows of a group. When so many wait, the next caller writes them."""
OLDEST_SECONDS = 0.04
"""An older row is committed; with the time for the writing it is in the database within 50 ms."""
TIMEOUT_SECONDS = 20.0
"""How long the database may be away before a run gets an error: a restart takes seconds."""
EXIT_SECONDS = 5.0
"""The same at the end of a process."""
LOCK_SECONDS = TIMEOUT_SECONDS + 15
"""How long another thread may write; longer than a connection may take to be refused."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
IDLE_SECONDS = 5.0
"""The thread ends when no row came for so long; the next row starts another."""

DATABASE_ERRORS = (sa.exc.SQLAlchemyError, DagsterPostgresException, OrchestratorError, TransportError, OSError)
"""Errors of the database: the rows can be written later."""


def is_of_a_row(error: Exception) -> bool:
    """Whether an error comes from the values of a single row, which can never be written; the others can."""
    if isinstance(error, sa.exc.DBAPIError):
        return isinstance(error, sa.exc.DataError | sa.exc.IntegrityError)
    cause = error.orig if isinstance(error, sa.exc.StatementError) else error
    return not isinstance(cause, DATABASE_ERRORS)


_all: "weakref.WeakSet[EventGroups]" = weakref.WeakSet()
_finalized_pid = 0


class EventGroups:
    """The rows of one event log that wait to be written. Every row has the key `run_id`.

    `write` commits rows in one statement, in order. `is_written` tells whether a row is in the database, because after
    a broken connection it is unknown whether the last group arrived.
    """

    def __init__(self, write: Callable[[Sequence[Row]], None], is_written: Callable[[Row], bool]) -> None:
        self._write = write
        self._is_written = is_written
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._waiting: list[tuple[float, Row]] = []
        """With the time at which each was added."""
        self._changed = threading.Condition()
        self._writing = threading.RLock()
        self._nested = False
        self._unacknowledged = 0
        """Rows at the front that were sent without an answer."""
        self._unreachable_since: float | None = None
        self._incomplete: dict[str, str] = {}
        """Runs whose log misses a row for ever, and why."""
        self._thread: threading.Thread | None = None

    def add(self, row: Row, *, now: bool = False) -> None:
        """Add a row; with `now`, this and all earlier rows are committed when it returns.

        Raises EventsNotWritten, and then does not keep this row; the earlier rows are retried.
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
        """Commit all earlier rows. Raises EventsNotWritten after `timeout` seconds without the database, and keeps
        them.
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
        """Raise EventsNotWritten if a row of the run's log was given up."""
        if (reason := self._incomplete.get(run_id)) is not None:
            raise EventsNotWritten(f"The log of run {run_id} is incomplete, so the run cannot continue. {reason}")

    def forget_incomplete(self, run_id: str) -> None:
        """Accept the incomplete log of a run that has failed."""
        self._incomplete.pop(run_id, None)

    # --- writing ---

    @contextmanager
    def _exclusively(self) -> Iterator[bool]:
        """Keep other threads from writing. Yields whether this thread writes already: what it calls may log a row."""
        if not self._writing.acquire(timeout=LOCK_SECONDS):
            raise EventsNotWritten(f"Another thread has been writing events for {LOCK_SECONDS:g} s.")
        nested, self._nested = self._nested, True
        try:
            yield nested
        finally:
            self._nested = nested
            self._writing.release()

    def _write_next(self) -> int:
        """Write one group; returns the number of its rows."""
        group = [row for _, row in self._waiting[: self._unacknowledged or LARGEST]]
        try:
            self._send(group)
        except Exception as error:
            if not is_of_a_row(error):
                raise
            self._write_singly(group, error)
        return len(group)

    def _send(self, group: list[Row]) -> None:
        # A group is one statement: when its first row is there, all are.
        if not (self._unacknowledged and self._is_written(group[0])):
            self._unacknowledged = len(group)
            self._write(group)
        self._drop(len(group))
        self._unreachable_since = None

    def _write_singly(self, group: list[Row], error: Exception) -> None:
        """Write the rows of a group one by one, when one of them cannot be written."""
        self._unacknowledged = 0
        for row in group:
            try:
                if len(group) == 1:
                    raise error
                self._send([row])
            except Exception as reason:
                if not is_of_a_row(reason):
                    raise
                self._drop(1)
                self._mark_incomplete(row, f"An event cannot be written: {_first_line(reason)}.")

    def _drop(self, count: int) -> None:
        with self._changed:
            del self._waiting[:count]
            self._unacknowledged = 0

    def _withdraw(self, row: Row, reason: str) -> None:
        """Remove a row that was not written; its caller gets the error."""
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
        """Let the thread write the waiting rows in time."""
        _flush_in_finalizers()
        with self._changed:
            self._changed.notify()
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._write_in_time, name="event-groups", daemon=True)
            with suppress(RuntimeError):  # the interpreter ends
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
        """When the oldest row is due; None when no row comes, and the thread is to end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, IDLE_SECONDS):
                self._thread = None
                return None
            return self._waiting[0][0] + OLDEST_SECONDS

    def _try_once(self) -> bool:
        # It raises nothing: a caller who needs the rows committed tries again, and gets the error in its own thread.
        try:
            self.flush(timeout=0)
        except Exception as error:  # noqa: BLE001  without this thread rows would wait for the next caller
            if not isinstance(error, EventsNotWritten):
                traceback.print_exc()
            return False
        return True

    # --- the process ---

    def begin_in_child(self) -> None:
        """Start again after a fork: the parent writes its waiting rows, and its thread and locks are not ours."""
        self._begin()

    def flush_at_exit(self) -> None:
        """Commit all rows, or print on standard error what is lost."""
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
    """Flush at the end of a child of `multiprocessing` too: a forked one ends without `atexit`."""
    global _finalized_pid
    if _finalized_pid != os.getpid():
        _finalized_pid = os.getpid()
        multiprocessing.util.Finalize(None, _flush_all, exitpriority=1)


def _begin_in_child() -> None:
    for groups in list(_all):
        groups.begin_in_child()


atexit.register(_flush_all)
os.register_at_fork(after_in_child=_begin_in_child)
