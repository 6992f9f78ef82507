"""The engine's clock: the machine's time, unless a test has moved it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

_moved = timedelta()


def now() -> datetime:
    """The present moment, in UTC. Everything that waits for a time asks here."""
    return datetime.now(UTC) + _moved


@contextmanager
def moved(by: timedelta) -> Iterator[None]:
    """Move the clock of this process forward in the block; nested moves add up."""
    global _moved
    _moved += by
    try:
        yield
    finally:
        _moved -= by
