"""Staffing: keeps the post of a supervisor filled, for as long as somebody has asked for workers."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dagster import DagsterInstance

from resources.runs.child_process import write_into
from resources.runs.dispatch import Dispatch, Loaded
from resources.runs.forked_children import Report
from resources.runs.workers import supervisor_lock
from resources.runs.workers.supervisor import Plan, start_successor, start_supervisor, supervise
from resources.runs.workers.supervisor_lock import (
    ACTIVE,
    MANAGER,
    POLL_SECONDS,
    SUCCESSOR,
    HeldLock,
    LauncherLock,
    SupervisorLocks,
)
from resources.runs.workers.worker import DATABASE_ERRORS

RESTART_SECONDS = 10.0
"""How long after a supervisor that has ended the next one is started, unless the code has changed before."""


@dataclass(frozen=True)
class Preloaded:
    """Code that this process has loaded, and how it forks: a child that supervises need not load it again."""

    loaded: Loaded
    fork: Callable[[Callable[[Report], int]], object]


class WorkerManager:
    """The workers that one process wants there to be. They leave when it is gone, however it went."""

    def __init__(
        self,
        instance: DagsterInstance,
        dispatch: Dispatch,
        plan: Plan,
        report: Callable[[str], None],
        preloaded: Preloaded | None = None,
    ) -> None:
        self.instance = instance
        self.dispatch = dispatch
        self.plan = plan
        self.report = report
        self.preloaded = preloaded
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
        while not (self._start(ACTIVE) or self._start(SUCCESSOR)):
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
        if len(there) >= (self.plan.spare or self.plan.count + self.plan.reserved):
            self._ready.add(supervisor)
            also = f", and {self.plan.reserved} in reserve" if self.plan.reserved else ""
            self.report(f"Ready: {self.plan.count} for all runs of {self.plan.location.name}{also}.")

    def _restart(self) -> None:
        is_changed = self._code != self.plan.location.fingerprint()
        if is_changed or time.monotonic() - self._started > RESTART_SECONDS:
            log = supervisor_lock.folder() / "workers.log"
            self.report(f"The supervisor of {self.plan.location.name} has ended; {log} may say why. Starting another.")
            self._note_start()
            self._start(ACTIVE)

    def _start(self, role: str) -> bool:
        """Start a supervisor in the background, if nobody has the role; forked, if we have the code as it is now."""
        preloaded = self.preloaded
        if preloaded is None or preloaded.loaded.code != self.plan.location.fingerprint():
            start = start_supervisor if role == ACTIVE else start_successor
            return start(self.instance, self.locks, self.plan)
        if (lock := self.locks.take(role)) is None:
            return False
        preloaded.fork(lambda _report: self._supervise(lock, preloaded.loaded, is_successor=role == SUCCESSOR))
        lock.release()
        return True

    def _supervise(self, lock: HeldLock, loaded: Loaded, *, is_successor: bool) -> int:
        for ours in (self._lock, self._launcher_lock):  # which end with the manager, not with the supervisor
            if ours is not None:
                ours.release()
        write_into(supervisor_lock.folder() / "workers.log")
        os.chdir(self.plan.location.folder)
        supervise(self.instance, self.plan, lock, is_successor=is_successor, loaded=loaded)
        return 0

    def _note_start(self) -> None:
        self._started, self._code = time.monotonic(), self.plan.location.fingerprint()
