"""The end of an abort: what an aborted process holds is released when its step has ended, or its process is dead."""

import time
from datetime import timedelta

from dagster import DagsterInstance

from resources import clock
from resources.database.session import SubscriptionDatabase
from resources.processes import interventions, process_rows, recovery
from resources.processes.owner import Owner
from resources.processes.recovery import Aborting
from resources.runs.launching.launcher import end_run, execution_of, process_of
from resources.runs.run_events import report_event
from resources.types import ProcessId

OVERDUE = timedelta(seconds=10)
"""How long after its deadline a process may take to be killed; then people read that it could not be."""
POLL_SECONDS = 0.2

ENDED = "The abort is over, and the subscriptions are unlocked."
KILLED = (
    "Its step did not end within {seconds:.0f} seconds of the abort, so its process was killed. What the step did "
    "outside may be half done."
)
CANNOT_BE_KILLED = (
    "Its step has not ended, and its process{where} could not be killed: end that process. Until then the "
    "subscriptions stay locked."
)


class ProcessAborts:
    """Ends aborts on one Dagster instance. All is in the database, so any process may do it, at any time."""

    def __init__(self, database: SubscriptionDatabase, instance: DagsterInstance) -> None:
        self._database = database
        self._instance = instance

    def end(self, process_id: ProcessId) -> bool:
        """End the abort of a process if its step has ended, else see that it does; whether it is over. Commits."""
        for one in self._find(process_id):
            self.settle(one)
        return not self._find(process_id)

    def wait(self, process_id: ProcessId) -> str:
        """Wait until the abort of a process is over, or should have been; what came of it, for people. Commits."""
        left = max((one.until - clock.now() + OVERDUE for one in self._find(process_id)), default=timedelta())
        give_up = time.monotonic() + left.total_seconds()
        while not (is_over := self.end(process_id)) and time.monotonic() < give_up:
            time.sleep(POLL_SECONDS)
        with self._database.transaction(read_only=True):
            reason = process_rows.get_process(process_id).failed_reason or ""
        return f"{ENDED} {reason}".strip() if is_over else reason

    def _find(self, process_id: ProcessId) -> list[Aborting]:
        with self._database.transaction(read_only=True):
            return recovery.aborting(Owner(), 1, of=process_id)

    def settle(self, one: Aborting) -> str:
        """Release what an aborted process holds if no step of it is executed, else see that its step ends. Commits.

        May run twice. Returns what was done, for people; empty for nothing.
        """
        run = execution_of(self._instance, one.run_id) if one.run_id else None
        left = one.until - clock.now()
        if run is not None and run.state != "done" and (not run.is_canceled or left <= timedelta()):
            end_run(self._instance, run.run_id, left.total_seconds())
        if run is not None and not run.is_over:
            return self._note(one, run.worker) if left < -OVERDUE else ""
        was_killed = run is not None and run.seconds_left is not None and run.seconds_left <= 0
        killed = KILLED.format(seconds=(one.until - one.since).total_seconds()) if was_killed else ""
        with self._database.transaction():
            has_ended = interventions.end_abort(one.process_id, one.run_id, killed=killed)
        if not has_ended:
            return ""
        sentence = f"{ENDED} {killed}".strip()
        report_event(self._instance, one.process_id, one.run_id, sentence)
        return f"{one.process_id} was being aborted: {sentence}"

    def _note(self, one: Aborting, worker: int | None) -> str:
        """Say that the process that executes the step is none that could be killed from here."""
        where = process_of(self._instance, worker)
        sentence = CANNOT_BE_KILLED.format(where=f" ({where})" if where else "")
        with self._database.transaction():
            is_new = interventions.note_abort(one.process_id, one.run_id, sentence)
        if is_new:
            report_event(self._instance, one.process_id, one.run_id, sentence)
        return f"{one.process_id} is being aborted: {sentence}"
