"""A segment: one Dagster run of a process, and whether it may act."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dagster import DagsterInstance, OpExecutionContext

from ops.starting.permission import check_may_retry
from ops.steps.state import Delta
from ops.steps.step import LedgerStep
from ops.steps.workflow import Workflow
from resources import tags
from resources.database.session import SubscriptionDatabase
from resources.errors import ProcessStopped, ProcessTaken, RunMayNotAct, UnknownProcess
from resources.processes import interventions, process_rows
from resources.processes.ledger import StepRecord
from resources.processes.owner import Owner
from resources.processes.process_rows import Claim
from resources.runs.launched_by import launched_by
from resources.runs.launching.launcher import execution_of
from resources.runs.storage_identity import storage_id
from resources.runs.workers import liveness
from resources.types import ProcessId, ProcessStatus, State, StepStatus
from resources.users import SYSTEM, User

log = logging.getLogger(__name__)

CONTINUABLE = frozenset(status for status in ProcessStatus if status.is_failure) | {
    ProcessStatus.CREATED,
    ProcessStatus.RUNNING,
    ProcessStatus.RESUMED,
}
"""Statuses in which a run may take over a process."""
_launchers: dict[tuple[str, str], User] = {}
"""Who launched the present run, so that the steps of a run check its signature once."""
WAITING = frozenset({ProcessStatus.SUSPENDED, ProcessStatus.WAITING, ProcessStatus.AWAITING_CALLBACK})


@dataclass(frozen=True, slots=True)
class Segment:
    """One Dagster run of a process, as seen from one of its ops."""

    op: OpExecutionContext
    workflow: Workflow
    process_id: ProcessId
    is_named: bool

    @classmethod
    def of(cls, op: OpExecutionContext, workflow: Workflow) -> "Segment":
        """Find the process: named by the run's tag or config, else by the first run of the run group."""
        run = op.run
        named = tags.read(run.tags, tags.PROCESS) or run.run_config.get("process")
        try:
            process_id = UUID(str(named or run.root_run_id or run.run_id))
        except ValueError:
            raise UnknownProcess(f"{named!r} is not the id of a process.") from None
        return cls(op, workflow, process_id, bool(named))

    @property
    def run_id(self) -> str:
        """The id of this run."""
        return self.op.run.run_id

    @property
    def user(self) -> User:
        """The user who started this run; SYSTEM without one."""
        known = self.op.run.tags
        if tags.SIGNED not in known:
            return launched_by(self.instance, known)
        key = (self.run_id, known[tags.SIGNED])
        if key not in _launchers:
            _launchers.clear()
            _launchers[key] = launched_by(self.instance, known)
        return _launchers[key]

    @property
    def request(self) -> str | None:
        """What the sensor asked for that requested this run to start a process; the process is started once for it."""
        return tags.read(self.op.run.tags, tags.REQUEST)

    def has_nothing_to_do(self, error: Exception) -> bool:
        """Whether a refused claim is no failure: another run executes the process, or the engine asked a second time.

        A person who asks for what cannot be done gets a failed run.
        """
        is_ours = tags.read(self.op.run.tags, tags.USER) == SYSTEM
        return isinstance(error, ProcessTaken) or (is_ours and isinstance(error, ProcessStopped))

    @property
    def database(self) -> SubscriptionDatabase:
        """Where subscriptions and processes live."""
        database: SubscriptionDatabase = self.op.resources.database
        return database

    @property
    def instance(self) -> DagsterInstance:
        """Dagster's own storage."""
        return self.op.instance

    @property
    def owner(self) -> Owner:
        """The owner of the processes that this run starts."""
        return Owner(self.database.location, storage_id(self.instance))

    def claim_run(self) -> None:
        """Claim the run for this operating-system process, with a liveness lock. Raises RunMayNotAct."""
        liveness.claim_run(self.instance, self.run_id)

    def tag(self, *, status: str | None = None, subscription: str | None = None) -> None:
        """Write the process's data as tags of this run."""
        known = tags.written({tags.STATUS: status, tags.SUBSCRIPTION: subscription})
        self.instance.add_run_tags(self.run_id, known)

    def tag_first(self, state: State) -> None:
        """Write the first tags of this run; those that it was launched with are not written again."""
        known = {
            tags.PROCESS: self.process_id,
            tags.WORKFLOW: self.workflow.name,
            tags.SUBSCRIPTION: state.get("subscription_id"),
            tags.USER: self.user if self.user != SYSTEM else None,
            tags.STATUS: ProcessStatus.RUNNING,
        }
        launched_with = self.op.run.tags
        new = {tag: value for tag, value in tags.written(known).items() if launched_with.get(tag) != value}
        self.instance.add_run_tags(self.run_id, new)

    def end_abort(self) -> None:
        """Unlock what the process holds if it is being aborted: this run, if it is the process's, executes no step now.

        Commits. Raises nothing: the sweeper does what cannot be done now.
        """
        try:
            with self.database.transaction():
                has_ended = interventions.end_abort(self.process_id, self.run_id)
            if has_ended:
                self.tag(status=ProcessStatus.ABORTED)
                self.op.log.info("The process is aborted, and its subscriptions are unlocked.")
        except UnknownProcess:
            log.debug("There is no process %s.", self.process_id)
        except Exception:
            log.exception("An abort of process %s is not ended yet; the sweeper tries again.", self.process_id)

    def acts_for(self, claim: Claim) -> bool:
        """Whether this run acts for the process already."""
        return claim.run_id == self.run_id and claim.status in (ProcessStatus.RUNNING, ProcessStatus.COMPLETED)

    def claim(self, place: LedgerStep | None = None) -> Claim:
        """Make sure that this run may act for the process, and take it over if needed and allowed.

        At a step in a branch the process may have stopped in another one: see `has_stopped`. Needs a transaction.
        Raises RunMayNotAct, UnknownProcess, StepsChanged, and NotAuthorised when a person's run retries the process.
        """
        claim = process_rows.find_claim(self.process_id)
        if claim is None:
            raise UnknownProcess(f"There is no process {self.process_id}; start one with the step `start`.")
        if self.acts_for(claim):
            return claim
        if place is not None and (place.branch is not None or place.step.is_join) and claim.run_id == self.run_id:
            if claim.status.is_failure:
                raise RunMayNotAct(f"Process {self.process_id} has failed in another branch; this one waits for it.")
            if self.has_stopped(claim):
                return claim
        check_may_act(claim, self.workflow, self.instance, self.run_id)
        if claim.status.is_failure and tags.USER in self.op.run.tags:  # a person's run, which no door has judged
            check_may_retry(self.workflow, claim.committed, self.user)
        if not process_rows.take_over(self.process_id, run_id=self.run_id, from_run_id=claim.run_id):
            raise ProcessTaken(f"Another run has just taken over process {self.process_id}.")
        return claim

    def has_stopped(self, claim: Claim) -> bool:
        """Whether the process waits, and this run has stopped it."""
        return claim.run_id == self.run_id and claim.status in WAITING


def check_may_act(claim: Claim, workflow: Workflow, instance: DagsterInstance, run_id: str | None) -> None:
    """Refuse a run that may not take over a process: it has ended, waits, another run executes it, or its steps
    changed.

    `run_id` is None when there is no such run yet. Raises RunMayNotAct, StepsChanged.
    """
    process = f"Process {claim.process_id}"
    if claim.workflow_name != workflow.name:
        raise RunMayNotAct(f"{process} executes {claim.workflow_name}, not {workflow.name}.")
    if claim.status.is_final:
        raise ProcessStopped(f"{process} is {claim.status}; it cannot be continued. Start {workflow.name} again.")
    if claim.status is ProcessStatus.ABORTING:
        raise ProcessStopped(f"{process} is being aborted; no step of it begins any more.")
    if claim.status not in CONTINUABLE:
        raise ProcessStopped(f"{process} is {claim.status}; it continues when its wait ends.")
    if claim.run_id not in (None, run_id):
        run = instance.get_run_by_id(str(claim.run_id))
        is_over = run is None or run.is_finished
        if is_over and run is not None and claim.status is ProcessStatus.RUNNING:  # somebody has marked it as canceled
            is_over = not execution_of(instance, run.run_id).has_live_worker
        if run is not None and not is_over:
            raise ProcessTaken(
                f"{process} is executed by run {claim.run_id}, which is {run.status.value}; wait for it or "
                f"terminate it."
            )
    workflow.check_fits(claim.committed)


def record_of(
    segment: Segment, place: LedgerStep, started: datetime, status: StepStatus, delta: Delta, error: Any = None
) -> StepRecord:
    """The ledger's line for an attempt at a step."""
    return StepRecord(
        process_id=segment.process_id,
        step_key=place.key,
        name=place.label,
        status=status,
        run_id=segment.run_id,
        created_by=segment.user,
        started_at=started,
        set=delta.set,
        removed=delta.removed,
        error=error,
    )
