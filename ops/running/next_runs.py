"""Launches what a step has started, resumed or made due where the step commits: none of it waits for a sensor."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from dagster import DagsterInstance, DagsterRun

from ops.running.segment import Segment
from resources.types import ProcessId

log = logging.getLogger(__name__)


@runtime_checkable
class LaunchesNext(Protocol):
    """The resource `database` of a code location that can launch runs of its own jobs."""

    def launch_next(
        self, instance: DagsterInstance, run: DagsterRun, ready: Sequence[ProcessId], stopped: ProcessId | None
    ) -> None:
        """Launch processes that are `ready`, and those whose wait is due because a process has `stopped`."""


def launch_next(segment: Segment, ready: Sequence[ProcessId] = (), *, has_stopped: bool = False) -> None:
    """Launch what can run now that a step has committed. Raises nothing: the sensors launch what is left."""
    location: object = segment.op.job_def.resource_defs.get("database")
    if not isinstance(location, LaunchesNext):
        return
    try:
        stopped = segment.process_id if has_stopped else None
        location.launch_next(segment.instance, segment.op.run, ready, stopped)
    except Exception:
        log.exception("What follows process %s is not launched yet; the sensors try again.", segment.process_id)


@contextmanager
def parent_continues(segment: Segment) -> Iterator[None]:
    """End the abort of a process that fails in the block for that, and continue its parent if that has waited."""
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException:
        segment.end_abort()
        launch_next(segment, has_stopped=True)
        raise
