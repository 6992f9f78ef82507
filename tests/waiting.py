"""Waiting for what takes a moment on a quiet machine, and many times as long on a busy one."""

import time
from collections.abc import Callable
from typing import TypeVar

GENEROUS_SECONDS = 100.0
"""Seconds after which something will not come about any more, however busy the machine is."""
Answer = TypeVar("Answer")


def eventually(ask: Callable[[], Answer], what: str = "the answer", *, seconds: float = GENEROUS_SECONDS) -> Answer:
    """The first answer that is true, asked for ever more seldom. Fails when there is none in time."""
    begin = time.monotonic()
    while not (answer := ask()):
        waited = time.monotonic() - begin
        assert waited < seconds, f"waited {seconds:.0f} s for {what}"
        time.sleep(min(0.2, 0.01 + waited / 20))
    return answer
