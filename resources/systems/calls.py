"""Notes each call to an external system: who was called, how it ended, how long it took."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from resources.errors import ExternalSystemUnavailable

MOST = 10_000
"""So many calls are kept for whoever takes them."""


class Call(NamedTuple):
    """`outcome`: `answered`, `refused` or `unavailable`."""

    system: str
    outcome: str
    seconds: float


_lock = threading.Lock()
_noted: deque[Call] = deque(maxlen=MOST)


@contextmanager
def noted(system: str) -> Iterator[None]:
    """Note the call that the block makes."""
    begun, outcome = time.perf_counter(), "answered"
    try:
        yield
    except Exception as error:
        outcome = "unavailable" if isinstance(error, ExternalSystemUnavailable) else "refused"
        raise
    finally:
        with _lock:
            _noted.append(Call(system, outcome, time.perf_counter() - begun))


def take() -> list[Call]:
    """The calls of this process that nobody has taken."""
    with _lock:
        taken = list(_noted)
        _noted.clear()
    return taken
