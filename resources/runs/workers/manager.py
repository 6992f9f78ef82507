"""Staffing: keeps the post of a supervisor filled, for as long as somebody has asked for workers."""

import time
from collections.abc import Callable
from contextlib import suppress

from dagster import DagsterInstance

from resources.runs.dispatch import Dispatch
from resources.runs.workers import supervisor_lock
from resources.runs.workers.supervisor import Plan, start_successor, start_supervisor
from resources.runs.workers.supervisor_lock import (
    ACTIVE,
    MANAGER,
    POLL_SECONDS,
    HeldLock,
    LauncherLock,
    SupervisorLocks,
)
from resources.runs.workers.worker import DATABASE_ERRORS

RESTART_SECONDS = 10.0
"""How long after a supervisor that has ended the next one is started, unless the code has changed before."""


class WorkerManager:
    """The workers that one process wants there to be. They leave when it is gone, however it went."""

    def __init__(
        self, instance: DagsterInstance, dispatch: Dispatch, plan: Plan, report: Callable[[str], None]
    ) -> None:
        self.instance = instance
        self.dispatch = dispatch
        self.plan = plan
        self.report = report
        self.locks = SupervisorLocks(dispatch.place, plan.location.name)
        self._lock: HeldLock | None = None
        self._launcher_lock: LauncherLock | None = None
        self._ready: set[int] = set()
        self._note_start()

    def start(self) -> bool:
        """Have workers of this plan take over from those there are; False when another process wants its own."""
        self._lock = self.locks.take(MANAGER)
        if self._lock is None:
            return False
        self._lock.write_holder(None)
        self._launcher_lock = LauncherLock(self.dispatch.place)
        self._note_start()
        while not (
            start_supervisor(self.instance, self.locks, self.plan)
            or start_successor(self.instance, self.locks, self.plan)
        ):
            time.sleep(POLL_SECONDS)  # somebody else's relief is on its way, which ours then relieves
        return True

    def check(self) -> None:
        """Start the supervisor again when it has ended; say when its workers are ready. To be called now and then."""
        holder = self.locks.holder(ACTIVE)
        if holder is not None and holder.pid not in self._ready:
            with suppress(*DATABASE_ERRORS):  # away for a moment: asked again
                self._check_ready(holder.pid)
        elif holder is None and not self.locks.is_held(ACTIVE):
            self._restart()

    def stop(self) -> None:
        """Tell the workers to leave; they finish what they have in hand."""
        if self._lock is not None and self._launcher_lock is not None:
            self._lock.release()
            self._launcher_lock.release()
            self.locks.stop_supervisors()

    def _check_ready(self, supervisor: int) -> None:
        there = [worker for worker in self.dispatch.workers() if worker.supervisor == supervisor]
        if len(there) >= self.plan.count + self.plan.reserved:
            self._ready.add(supervisor)
            also = f", and {self.plan.reserved} in reserve" if self.plan.reserved else ""
            self.report(f"Ready: {self.plan.count} for all runs of {self.plan.location.name}{also}.")

    def _restart(self) -> None:
        is_changed = self._code != self.plan.location.fingerprint()
        if is_changed or time.monotonic() - self._started > RESTART_SECONDS:
            log = supervisor_lock.folder() / "workers.log"
            self.report(f"The supervisor of {self.plan.location.name} has ended; {log} may say why. Starting another.")
            self._note_start()
            start_supervisor(self.instance, self.locks, self.plan)

    def _note_start(self) -> None:
        self._started, self._code = time.monotonic(), self.plan.location.fingerprint()
