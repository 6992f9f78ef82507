"""Observes each step from outside: counts the calls to external systems that it makes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ops.running.segment import Segment
from resources.database.session import SubscriptionDatabase
from resources.figures.calls import add_calls
from resources.systems import calls

log = logging.getLogger(__name__)


@contextmanager
def observed(segment: Segment) -> Iterator[None]:
    """Observe the step that the block performs. Raises nothing of its own."""
    try:
        yield
    finally:
        _count_calls(segment.database)


def _count_calls(database: SubscriptionDatabase) -> None:
    """Count the calls since the last step of this process, in a statement if there were any."""
    if not (made := calls.take()):
        return
    try:
        with database.detached(), database.statements():
            add_calls(made)
    except Exception:
        log.exception("The durations of %s calls to external systems are not counted.", len(made))
