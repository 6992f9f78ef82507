"""Observes each step from outside: a span of its trace, and the calls to external systems that it makes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from ops.running.segment import Segment
from ops.steps.step import LedgerStep
from resources import tracing
from resources.database.session import SubscriptionDatabase
from resources.figures.call_durations import add_calls
from resources.systems import calls

log = logging.getLogger(__name__)


@contextmanager
def observed(segment: Segment, place: LedgerStep) -> Iterator[None]:
    """Observe the step that the block performs. Raises nothing of its own."""
    about = {**_about(segment), "step": place.key}
    try:
        with tracing.step_span(f"{segment.workflow.name} {place.key}", segment.process_id, about):
            yield
    finally:
        _count_calls(segment.database)


def observe_start(segment: Segment, begun: datetime) -> None:
    """Begin the trace of a process, in its first run."""
    if segment.run_id == str(segment.process_id):
        tracing.process_span(segment.workflow.name, segment.process_id, begun, _about(segment))


def _about(segment: Segment) -> dict[str, str]:
    process_id = str(segment.process_id)
    return {"workflow": segment.workflow.name, "process_id": process_id, "run_id": segment.run_id}


def _count_calls(database: SubscriptionDatabase) -> None:
    """Count the calls since the last step of this process, in a statement if there were any."""
    if not (made := calls.take()):
        return
    try:
        with database.detached(), database.statements():
            add_calls(made)
    except Exception:
        log.exception("The durations of %s calls to external systems are not counted.", len(made))
