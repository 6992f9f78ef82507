"""Staffing: keeps the post of a supervisor filled, for as long as somebody has asked for workers."""

import time
from collections.abc import Callable
from contextlib import suppress

from dagster import DagsterInstance

from resources.runs.dispatch import Dispatch
from resources.runs.workers import supervisor_lock as posts
from resources.runs.workers.supervisor import Plan, start_relief, start_supervisor
from resources.runs.workers.supervisor_lock import HOLDER, KEEPER, POLL_SECONDS, Launching, Post, Seat
from resources.runs.workers.worker import DATABASE_ERRORS

AGAIN_SECONDS = 10.0
"""How long after a supervisor that has ended the next one is started, unless the code has changed before."""


class Staffing:
    """The workers that one process wants there to be. They leave when it is gone, however it went."""

    def __init__(self, instance: DagsterInstance, dispatch: Dispatch, plan: Plan, tell: Callable[[str], None]) -> None:
        self.instance = instance
        self.dispatch = dispatch
        self.plan = plan
        self.tell = tell
        self.post = Post(dispatch.place, plan.location.name)
        self._seat: Seat | None = None
        self._launching: Launching | None = None
        self._ready: set[int] = set()
        self._note_start()

    def begin(self) -> bool:
        """Have workers of this plan take over from those there are; False when another process wants its own."""
        self._seat = self.post.take(KEEPER)
        if self._seat is None:
            return False
        self._seat.sign(None)
        self._launching = Launching(self.dispatch.place)
        self._note_start()
        while not (
            start_supervisor(self.instance, self.post, self.plan) or start_relief(self.instance, self.post, self.plan)
        ):
            time.sleep(POLL_SECONDS)  # somebody else's relief is on its way, which ours then relieves
        return True

    def look(self) -> None:
        """Start the supervisor again when it has ended; say when its workers are ready. To be called now and then."""
        holder = self.post.occupant(HOLDER)
        if holder is not None and holder.pid not in self._ready:
            with suppress(*DATABASE_ERRORS):  # away for a moment: asked again
                self._look_whether_ready(holder.pid)
        elif holder is None and not self.post.is_taken(HOLDER):
            self._start_again()

    def end(self) -> None:
        """Tell the workers to leave; they finish what they have in hand."""
        if self._seat is not None and self._launching is not None:
            self._seat.release()
            self._launching.end()
            self.post.dismiss()

    def _look_whether_ready(self, supervisor: int) -> None:
        there = [worker for worker in self.dispatch.workers() if worker.supervisor == supervisor]
        if len(there) >= self.plan.count + self.plan.reserved:
            self._ready.add(supervisor)
            also = f", and {self.plan.reserved} in reserve" if self.plan.reserved else ""
            self.tell(f"Ready: {self.plan.count} for all runs of {self.plan.location.name}{also}.")

    def _start_again(self) -> None:
        is_changed = self._code != self.plan.location.fingerprint()
        if is_changed or time.monotonic() - self._started > AGAIN_SECONDS:
            log = posts.folder() / "workers.log"
            self.tell(f"The supervisor of {self.plan.location.name} has ended; {log} may say why. Starting another.")
            self._note_start()
            start_supervisor(self.instance, self.post, self.plan)

    def _note_start(self) -> None:
        self._started, self._code = time.monotonic(), self.plan.location.fingerprint()
