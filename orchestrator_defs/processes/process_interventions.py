"""Interventions: what a person does to a process that does not continue by itself."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ops.starting.permission import check_may_retry, check_role
from ops.starting.state_edits import check_next, check_skippable, edited
from ops.steps.branches import state_of
from orchestrator_defs.processes.process_aborts import ProcessAborts
from orchestrator_defs.processes.process_access import ProcessAccess
from orchestrator_defs.processes.process_answers import ProcessAnswers
from orchestrator_defs.processes.process_queries import ProcessQueries
from orchestrator_defs.processes.process_runs import ProcessRuns
from resources import clock
from resources.database.session import lock_waits_limited
from resources.errors import DatabaseBusy, NotWaiting, OrchestratorError, ProcessError
from resources.processes import interventions, ledger, pause
from resources.processes.interventions import Aborted
from resources.processes.owner import Owner
from resources.processes.process_rows import Claim
from resources.runs.launching.launcher import end_run, terminate_run
from resources.types import ProcessId, ProcessStatus, StepKey

log = logging.getLogger(__name__)

BRIEF_SECONDS, HOLDER_SECONDS, TERMINATED_SECONDS = 2.0, 10.0, 20.0
"""How long an abort waits for the process's row before it terminates the run, how long the step then has to end before
its process is killed, and how long the abort waits for the row after that.
"""
RESUME_BATCH = 100
"""How many tasks are resumed in one transaction."""


class ProcessInterventions:
    """Interventions of people. `user` is the authenticated user; the ledger records who and why."""

    def __init__(
        self, access: ProcessAccess, queries: ProcessQueries, answers: ProcessAnswers, runs: ProcessRuns
    ) -> None:
        self._access = access
        self._queries = queries
        self._answers = answers
        self._runs = runs

    def resume(self, process_id: ProcessId, inputs: Any = None, *, user: str) -> None:
        """Continue a stopped process: `answer` when it waits for input, else `retry`. Commits."""
        if self._queries.status(process_id) is ProcessStatus.SUSPENDED:
            self._answers.answer(process_id, inputs, user=user)
        else:
            self.retry(process_id, user=user)

    def retry(self, process_id: ProcessId, *, user: str) -> None:
        """Retry now the step at which a process failed or backs off. Commits.

        Raises UnknownProcess, NotWaiting, NotAuthorised, EnginePaused, StepsChanged.
        """
        with self._access.locked(process_id) as (claim, workflow):
            workflow.check_fits(claim.committed)
            check_may_retry(workflow, claim.committed, user)
            interventions.resume(process_id, user=user)
        self._report_resumed(claim, user)

    def _report_resumed(self, claim: Claim, user: str) -> None:
        self._access.report(claim, f"{user} resumed the process from its last committed step.")

    def resume_all(self, *, user: str, check: Callable[[str], None] = lambda _: None) -> list[ProcessId]:
        """Retry all tasks that failed or back off; returns the processes to launch. Commits a batch at a time.

        Leaves out a task whose steps have changed, or that this user may not retry; `check` gets the workflow's name
        and raises NotAuthorised to leave it out too. Two callers at the same time share the tasks: each is resumed
        once. Raises EnginePaused.
        """
        return [one for owner in self._access.owners for one in self._resume_all_of(owner, user, check)]

    def _resume_all_of(self, owner: Owner, user: str, check: Callable[[str], None]) -> list[ProcessId]:
        resumed: list[Claim] = []
        last: ProcessId | None = None
        while True:
            with self._access.database.transaction():
                pause.check_not_paused()
                found = interventions.lock_tasks_to_resume(owner, RESUME_BATCH, after=last)
                batch = [claim for each in found if (claim := self._try_to_resume(each, user, check))]
            for claim in batch:
                self._report_resumed(claim, user)
            resumed += batch
            if not found:
                return [claim.process_id for claim in resumed]
            last = found[-1]

    def _try_to_resume(self, process_id: ProcessId, user: str, check: Callable[[str], None]) -> Claim | None:
        try:
            claim, workflow = self._access.claim(process_id)
            check(workflow.name)
            workflow.check_fits(claim.committed)
            check_may_retry(workflow, claim.committed, user)
        except OrchestratorError as refusal:  # the others must be resumed
            log.info("Process %s is not resumed: %s", process_id, refusal)
            return None
        interventions.resume(process_id, user=user)
        return claim

    def skip(
        self,
        process_id: ProcessId,
        *,
        user: str,
        reason: str,
        changes: Mapping[str, Any] | None = None,
        removed: Sequence[str] = (),
    ) -> StepKey:
        """Skip the step at which a process failed or waits, because a person has done it; returns its key. Commits.

        `changes` and `removed` are what the step would have returned; the next step must find its parameters in the
        state. Raises UnknownProcess, NotWaiting, NotAuthorised, EnginePaused, StepsChanged, StateError, and
        ProcessError for one of the engine's own steps, or without a reason.
        """
        with self._access.locked(process_id) as (claim, workflow):
            workflow.check_fits(claim.committed)
            place = workflow.stopped_at(claim.committed, ledger.tried_last(process_id))
            if place is None:
                raise NotWaiting(f"Process {process_id} has no step left to skip.")
            check_may_retry(workflow, claim.committed, user, what="skip a step of")
            check_skippable(place)
            seen = state_of(workflow, place, process_id, claim.state)
            delta = edited(place, seen, changes or {}, removed)
            interventions.skip(
                process_id,
                key=place.key,
                name=place.label,
                user=user,
                reason=reason,
                changes=delta.set,
                removed=delta.removed,
            )
            behind = [step for step in workflow.left(claim.committed) if place.precedes(step)]
            check_next([step for step in behind if step.branch == place.branch], delta.applied_to(seen))
        self._access.report(claim, f"{user} skipped the step {place.label!r}: {reason}")
        return place.key

    def go_back(self, process_id: ProcessId, to: StepKey, *, user: str, reason: str) -> StepKey:
        """Send a stopped process back to a step that it has committed; returns its key. Commits.

        A group's name stands for its first step. Subscriptions that it has unlocked since are locked again. Raises
        UnknownProcess, NotWaiting, NotAuthorised, EnginePaused, StepsChanged, SubscriptionLocked, ProcessError.
        """
        with self._access.locked(process_id) as (claim, workflow):
            check_may_retry(workflow, claim.committed, user, what="send back")
            place = workflow.entrance(to)
            if place.position == 0:
                raise ProcessError("A process cannot be sent back to its start: abort it, and start another.")
            behind = workflow.onwards(place)
            undo = [*(step.key for step in behind), *workflow.lost(claim.committed, place)]
            interventions.go_back(process_id, to=place.key, undo=undo, user=user, reason=reason)
            if any(step.step.effect is not None and step.key in claim.committed for step in behind):
                interventions.lock_again(process_id)
            workflow.check_fits(self._access.claim(process_id)[0].committed)
        self._access.report(claim, f"{user} sent the process back to the step {place.label!r}: {reason}")
        return place.key

    def abort(self, process_id: ProcessId, *, user: str, reason: str = "") -> Aborted:
        """End a process: what it did stays; its subscriptions are unlocked, and out of sync. Commits. May run twice.

        Its running segment is terminated and commits nothing more. When its step may still be executed the answer has
        `until`: the process is `aborting`, and keeps its subscriptions, until that step has ended or its process is
        killed; `aborts` tells and waits. Works while the engine is paused, and for a workflow that the code no longer
        has. Raises UnknownProcess, NotAuthorised, ProcessEnded, and DatabaseBusy when its row stays locked although its
        run is terminated.
        """
        try:
            claim, found = self._abort(process_id, user, reason, BRIEF_SECONDS)
        except DatabaseBusy:  # its step holds the row, and may be frozen: end its run first
            with self._access.database.transaction(read_only=True):
                claim = self._access.claim_to_end(process_id, user, "abort")
            if claim.run_id:
                end_run(self._access.instance, claim.run_id, HOLDER_SECONDS)
            claim, found = self._abort(process_id, user, reason, TERMINATED_SECONDS)
        why = f": {reason}" if reason else ", without a reason"
        self._access.report(claim, f"{user} aborted the process{why}. {found.message}")
        if found.until is None:
            terminate_run(self._access.instance, found.run_id)
        elif found.run_id and found.was is not ProcessStatus.ABORTING:
            end_run(self._access.instance, found.run_id, (found.until - clock.now()).total_seconds())
        if self.aborts.end(process_id):
            self._runs.launch_after(process_id)
            return replace(found, until=None)
        return found

    @property
    def aborts(self) -> ProcessAborts:
        """The aborts whose step may still be executed."""
        return ProcessAborts(self._access.database, self._access.instance)

    def _abort(self, process_id: ProcessId, user: str, reason: str, seconds: float) -> tuple[Claim, Aborted]:
        with lock_waits_limited(seconds), self._access.database.transaction():
            claim = self._access.lock_to_end(process_id, user, "abort")
            return claim, interventions.abort(process_id, user=user, reason=reason)

    def delete(self, process_id: ProcessId, *, user: str) -> None:
        """Delete a task that has ended, with its ledger; its Dagster runs stay. Commits.

        Raises UnknownProcess, NotAuthorised, and ProcessError for a process that is no task, has not ended, or has
        children.
        """
        with self._access.database.transaction():
            self._access.lock_to_end(process_id, user, "delete")
            interventions.delete_task(process_id)
        log.info("Process %s was deleted by %s.", process_id, user)

    def note(self, process_id: ProcessId, note: str | None, *, user: str) -> None:
        """Replace the note on a process; None removes it. Commits.

        Raises UnknownProcess, NotAuthorised, and ProcessError when it is too long.
        """
        with self._access.database.transaction():
            check_role(self._access.find_claim(process_id).workflow_name, user, "note")
            interventions.write_note(process_id, note)
        log.info("The note of process %s was written by %s.", process_id, user)
