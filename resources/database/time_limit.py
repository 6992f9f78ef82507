"""How long what somebody waits for may take: the end of the wait and the commit of the work exclude each other."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum, auto

from resources.errors import FormTimedOut


class _Stage(Enum):
    OPEN = auto()
    DECIDED = auto()
    EXPIRED = auto()


class TimeLimit:
    """A limit in seconds from now, shared by who works and who waits.

    Who waits calls `expire` when the time is over; who works calls `decide` before it commits. Whichever comes first
    wins, once and for all: work that has expired never commits, and what has decided is waited for to its end.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._stage = _Stage.OPEN
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Seconds, never below zero."""
        return max(0.0, self._end - time.monotonic())

    def expire(self) -> bool:
        """Give the work up; False when it has decided already."""
        with self._lock:
            if self._stage is _Stage.OPEN:
                self._stage = _Stage.EXPIRED
            return self._stage is _Stage.EXPIRED

    def check(self) -> None:
        """Stop work that nobody waits for any more. Raises FormTimedOut."""
        if self._stage is not _Stage.DECIDED and not self.left:
            self.expire()
        if self._stage is _Stage.EXPIRED:
            raise self.error()

    def decide(self) -> None:
        """Say that the work will be committed now; may be said twice. Raises FormTimedOut when it was given up."""
        with self._lock:
            if self._stage is _Stage.EXPIRED:
                raise self.error()
            self._stage = _Stage.DECIDED

    def error(self) -> FormTimedOut:
        """What is said of work that took too long."""
        return FormTimedOut(f"The form took longer than {self.seconds:g} s, so it was given up; nothing was written.")


_limit: ContextVar[TimeLimit | None] = ContextVar("time_limit", default=None)


def current_limit() -> TimeLimit | None:
    """The limit of what is done in this context, if it has one."""
    return _limit.get()


@contextmanager
def limited_by(limit: TimeLimit) -> Iterator[None]:
    """Have what is done inside keep to a limit; transactions begun inside do, statement by statement."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def decide() -> None:
    """Say that what was done in this context is committed next. Raises FormTimedOut when it was given up meanwhile."""
    if (limit := _limit.get()) is not None:
        limit.decide()
