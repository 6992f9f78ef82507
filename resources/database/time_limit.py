"""A time limit for work that a caller waits for: the caller gives up, or the work commits, never both."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from enum import Enum, auto
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from resources.errors import FormTimedOut

Result = TypeVar("Result")


class _Stage(Enum):
    OPEN = auto()
    DECIDED = auto()
    EXPIRED = auto()


class TimeLimit:
    """A limit in seconds from now, shared by the worker and the waiting caller.

    The caller calls `expire` when the time is over; the worker calls `decide` before it commits. The first of both
    wins: expired work never commits, and the caller waits for decided work to its end.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._stage = _Stage.OPEN
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """The seconds left, never below zero."""
        return max(0.0, self._end - time.monotonic())

    def expire(self) -> bool:
        """Give the work up; False when it has been decided already."""
        with self._lock:
            if self._stage is _Stage.OPEN:
                self._stage = _Stage.EXPIRED
            return self._stage is _Stage.EXPIRED

    def check(self) -> None:
        """Stop work that no caller waits for. Raises FormTimedOut."""
        if self._stage is not _Stage.DECIDED and not self.left:
            self.expire()
        if self._stage is _Stage.EXPIRED:
            raise self.error()

    def decide(self) -> None:
        """Declare that the work is committed next; may be called again. Raises FormTimedOut when it was given up."""
        with self._lock:
            if self._stage is _Stage.EXPIRED:
                raise self.error()
            self._stage = _Stage.DECIDED

    def error(self) -> FormTimedOut:
        """The error for work that took too long."""
        return FormTimedOut(f"The form took longer than {self.seconds:g} s, so it was given up; nothing was written.")


_limit: ContextVar[TimeLimit | None] = ContextVar("time_limit", default=None)


def current_limit() -> TimeLimit | None:
    """The limit of this context, if it has one."""
    return _limit.get()


@contextmanager
def limited_by(limit: TimeLimit) -> Iterator[None]:
    """Apply a limit to the block: each statement of a transaction that begins inside checks it."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def decide() -> None:
    """Declare that the work of this context is committed next. Raises FormTimedOut when it was given up."""
    if (limit := _limit.get()) is not None:
        limit.decide()


def in_time(seconds: float, work: Callable[[], Result]) -> Result:
    """The result of work that may hang, or its error. Raises FormTimedOut; then its thread is abandoned."""
    limit, done = TimeLimit(seconds), Future[Result]()

    def run() -> None:
        try:
            with limited_by(limit):
                done.set_result(work())
        except BaseException as error:  # noqa: BLE001  the caller gets whatever is raised
            done.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), name="limited", daemon=True).start()
    try:
        return done.result(limit.seconds)
    except TimeoutError:
        if done.done():  # its own error
            raise
        limit.expire()
        raise limit.error() from None


def apply_limit(limit: TimeLimit, session: Session) -> None:
    """Make the server stop a statement when the limit passes, and send none after that; costs one statement."""

    def begin(_session: Session, _transaction: object, connection: sa.Connection) -> None:
        limit.check()
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(limit.left * 1000))}")
        event.listen(connection, "before_cursor_execute", lambda *_: limit.check())

    event.listen(session, "after_begin", begin)
