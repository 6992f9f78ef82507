"""Resident workers for the time of a block, and what they weigh."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.instances import Side
from benchmarks.services import wait_for
from resources.runs.code_location import CodeLocation
from resources.runs.dispatch import Dispatch, LiveWorker
from resources.runs.launching.launcher import WarmRunLauncher
from resources.runs.workers.supervisor import start_supervisor
from resources.runs.workers.supervisor_lock import SupervisorLocks


@contextmanager
def resident_workers(side: Side, location: CodeLocation, count: int) -> Iterator[list[LiveWorker]]:
    """So many, that hold their locks; ended with their supervisor."""
    launcher = launcher_of(side)
    plan = launcher.plan(location, workers=count, reserved_workers=0, idle_seconds=0)
    start_supervisor(side.instance, SupervisorLocks(launcher.dispatch.place, location.name), plan)
    try:
        wait_for(lambda: len(launcher.dispatch.workers()) == count, f"{count} workers")
        yield launcher.dispatch.workers()
    finally:
        stop_workers(launcher.dispatch)


def launcher_of(side: Side) -> WarmRunLauncher:
    """The launcher of our side."""
    launcher = side.instance.run_launcher
    assert isinstance(launcher, WarmRunLauncher)
    return launcher


def stop_workers(dispatch: Dispatch) -> None:
    """End all workers of an instance: the supervisors first, which let them finish their runs."""

    def all_gone() -> bool:
        living = dispatch.workers()
        for pid in {worker.supervisor for worker in living}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return not living

    wait_for(all_gone, "the workers to end")
