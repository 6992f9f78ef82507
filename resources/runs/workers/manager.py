"""Keeps a supervisor running for as long as a process wants workers."""

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
"""A new supervisor starts so long after the last start, or as soon as the code has changed."""


@dataclass(frozen=True)
class Preloaded:
    """Code that this process has loaded, and how it forks: a forked supervisor need not load it again."""

    loaded: Loaded
    fork: Callable[[Callable[[Report], int]], object]


class WorkerManager:
    """The workers that a process wants. They end after it, also when it is killed."""

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
        """Start workers of this plan in place of those there are; False when another process manages workers."""
        self._lock = self.locks.take(MANAGER)
        if self._lock is None:
            return False
        self._lock.write_holder(None)
        self._launcher_lock = LauncherLock(self.dispatch.place)
        self._note_start()
        while not (self._start(ACTIVE) or self._start(SUCCESSOR)):
            time.sleep(POLL_SECONDS)  # another successor is loading, which ours then replaces
        return True

    def check(self) -> None:
        """Start the supervisor again when it has ended, and report when its workers are ready. Call it regularly."""
        holder = self.locks.holder(ACTIVE)
        if holder is not None and holder.pid not in self._ready:
            with suppress(*DATABASE_ERRORS):  # away for a moment: the next call asks again
                self._check_ready(holder.pid)
        elif holder is None and not self.locks.is_held(ACTIVE):
            self._restart()

    def stop(self) -> None:
        """Stop the workers; they finish the runs that they have claimed."""
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
        """Start a supervisor in the background if the lock is free; fork it if this process has the present code."""
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
        for ours in (self._lock, self._launcher_lock):  # these locks end with the manager, not with the supervisor
            if ours is not None:
                ours.release()
        write_into(supervisor_lock.folder() / "workers.log")
        os.chdir(self.plan.location.folder)
        supervise(self.instance, self.plan, lock, is_successor=is_successor, loaded=loaded)
        return 0

    def _note_start(self) -> None:
        self._started, self._code = time.monotonic(), self.plan.location.fingerprint()
