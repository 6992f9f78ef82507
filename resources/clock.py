"""What time it is for the engine: the machine's, unless a test has moved it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

_moved = timedelta()


def now() -> datetime:
    """The present moment, in UTC. Whatever waits for a time asks here."""
    return datetime.now(UTC) + _moved


@contextmanager
def moved(by: timedelta) -> Iterator[None]:
    """Be so much later in this process; may be nested, and the moves add up."""
    global _moved
    _moved += by
    try:
        yield
    finally:
        _moved -= by
