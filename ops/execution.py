"""One step inside its transaction: claim, inject, run, save, record, report."""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dagster import DagsterInstance, Failure, OpExecutionContext, Output

from ops.admission import StartRequest, admit
from ops.context import Scope, StepContext
from ops.forms import as_pages
from ops.report import failure_metadata, step_metadata
from ops.state import Delta, arguments_of, merged, models_in, readable, reveal, to_json
from ops.step import LedgerStep, Lens, Step, When
from ops.workflow import Workflow
from resources import processes, tags
from resources.authorship import Author, authored_by
from resources.database import SubscriptionDatabase, commit_with_each_statement
from resources.errors import (
    DriftFound,
    ExternalSystemError,
    ExternalSystemUnavailable,
    InconsistentData,
    OrchestratorError,
    RunMayNotAct,
    StateError,
    UnknownProcess,
)
from resources.processes import Claim, StepRecord
from resources.subscriptions import SubscriptionModel, saved_in_transaction
from resources.types import Assignee, ProcessId, ProcessStatus, State, StepStatus, Target
from resources.versions import SubscriptionChange

CONTINUABLE = frozenset(status for status in ProcessStatus if status.is_failure) | {
    ProcessStatus.CREATED,
    ProcessStatus.RUNNING,
    ProcessStatus.RESUMED,
}
"""In which statuses a run may take a process over."""

HOW_TO_GO_ON = (
    "Process {process_id} stands still. Once the cause is gone, go on from its last committed step: with "
    "`orchestrator resume {process_id}`, with this job and `process: {process_id}` as its run config, or by "
    "re-executing this run from failure."
)


@dataclass(frozen=True, slots=True)
class Segment:
    """One Dagster run of a process, as seen from one of its ops."""

    op: OpExecutionContext
    workflow: Workflow
    process_id: ProcessId
    is_named: bool

    @classmethod
    def of(cls, op: OpExecutionContext, workflow: Workflow) -> "Segment":
        """Find the process: named by the run's tag or config, else the first run of the run group."""
        run = op.run
        named = run.tags.get(tags.PROCESS) or run.run_config.get("process")
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
    def user(self) -> str:
        """Who had this run started; a run that no door started is the system's."""
        return self.op.run.tags.get(tags.USER, "SYSTEM")

    @property
    def database(self) -> SubscriptionDatabase:
        """Where subscriptions and processes live."""
        database: SubscriptionDatabase = self.op.resources.database
        return database

    @property
    def instance(self) -> DagsterInstance:
        """Dagster's own storage."""
        return self.op.instance

    def tag(self, **values: str | None) -> None:
        """Show the process's data as tags of this run."""
        known = {tags.PREFIX + key: str(value) for key, value in values.items() if value}
        self.instance.add_run_tags(self.run_id, known)

    def tag_first(self, **values: str | None) -> None:
        """The same before any other tag of this run: what it was launched with is not written again."""
        launched_with = self.op.run.tags
        self.tag(**{key: value for key, value in values.items() if launched_with.get(tags.PREFIX + key) != value})

    def acts_for(self, claim: Claim) -> bool:
        """Whether this run has the process in hand already."""
        return claim.run_id == self.run_id and claim.status in (ProcessStatus.RUNNING, ProcessStatus.COMPLETED)

    def claim(self) -> Claim:
        """Make sure that this run may act for the process, and take it over if that is needed and allowed.

        Needs a transaction. Raises RunMayNotAct, UnknownProcess, StepsChanged.
        """
        claim = processes.find_claim(self.process_id)
        if claim is None:
            raise UnknownProcess(f"There is no process {self.process_id}; start one with the step `start`.")
        if self.acts_for(claim):
            return claim
        check_may_act(claim, self.workflow, self.instance, self.run_id)
        if not processes.take_over(self.process_id, run_id=self.run_id, from_run_id=claim.run_id):
            raise RunMayNotAct(f"Another run has just taken process {self.process_id} over.")
        return claim


def check_may_act(claim: Claim, workflow: Workflow, instance: DagsterInstance, run_id: str | None) -> None:
    """Refuse a run that may not take a process over: it has ended, waits, is in another run's hands, or has changed.

    `run_id` is None when there is no such run yet. Raises RunMayNotAct, StepsChanged.
    """
    process = f"Process {claim.process_id}"
    if claim.workflow_name != workflow.name:
        raise RunMayNotAct(f"{process} executes {claim.workflow_name}, not {workflow.name}.")
    if claim.status.is_final:
        raise RunMayNotAct(f"{process} is {claim.status}; it cannot be continued. Start {workflow.name} anew.")
    if claim.status not in CONTINUABLE:
        raise RunMayNotAct(f"{process} is {claim.status}; it goes on when what it waits for is there.")
    if claim.run_id not in (None, run_id):
        run = instance.get_run_by_id(str(claim.run_id))
        if run is not None and not run.is_finished:
            raise RunMayNotAct(
                f"{process} is in the hands of run {claim.run_id}, which is {run.status.value}; wait for it or "
                f"terminate it."
            )
    workflow.check_fits(claim.committed)


def refused(error: OrchestratorError) -> Failure:
    """An error that people should read as it is, without the engine's inside around it."""
    return Failure(str(error), metadata=failure_metadata(error), allow_retries=False)


# --- the first step ---


def run_start(op: OpExecutionContext, workflow: Workflow, place: LedgerStep) -> Iterator[Output[None]]:
    """Start the process, or find that it is there already and go on with it. Commits; may run twice."""
    started = datetime.now(UTC)
    try:
        segment = Segment.of(op, workflow)
        with segment.database.statements():
            exists = processes.find_claim(segment.process_id) is not None
        state = _begin(segment, place, started) if exists else _admit_here(segment, place, started)
    except OrchestratorError as error:
        raise refused(error) from error
    segment.tag_first(**tags_of(workflow, state, segment))
    seconds = (datetime.now(UTC) - started).total_seconds()
    yield Output(None, metadata=step_metadata(segment.process_id, Delta(state, []), seconds=seconds))


def _begin(segment: Segment, place: LedgerStep, started: datetime) -> State:
    """Take over a process that a door has started, or that goes on; its state as it is now."""
    with segment.database.transaction():
        claim = segment.claim()
        if place.key not in claim.committed:
            delta = Delta(claim.state, [])
            processes.record_step(_record(segment, place, started, StepStatus.SUCCESS, delta))
    return claim.state


def _admit_here(segment: Segment, place: LedgerStep, started: datetime) -> State:
    """Start a process from inside its own run: Dagster's UI, the shell or a schedule launched it."""
    if segment.is_named:
        raise UnknownProcess(f"There is no process {segment.process_id}; leave `process` out to start a new one.")

    def first_line(state: State) -> StepRecord:
        return _record(segment, place, started, StepStatus.SUCCESS, Delta(state, []))

    config = segment.op.op_config or {}
    request = StartRequest(
        workflow=segment.workflow,
        pages=as_pages(config.get("inputs")),
        user=segment.user,
        process_id=segment.process_id,
        run_id=segment.run_id,
        status=ProcessStatus.RUNNING,
        first_line=first_line,
        resources=_resources(segment.op),
    )
    return admit(request, segment.database)


def tags_of(workflow: Workflow, state: State, segment: Segment) -> dict[str, str | None]:
    """What the tags of a run say about its process."""
    return {
        "process": str(segment.process_id),
        "workflow": workflow.name,
        "target": workflow.target.value,
        "product": state.get("product_name"),
        "subscription": state.get("subscription_id"),
        "customer": state.get("customer_id"),
        "user": segment.user,
        "status": ProcessStatus.RUNNING.value,
    }


# --- every other step ---


def run_step(op: OpExecutionContext, workflow: Workflow, place: LedgerStep) -> Iterator[Output[None]]:
    """Run one step of a process, once: a step that the ledger has returns without running.

    The step's database effect and its record are one commit. A failure rolls back, is recorded in a transaction of its
    own, and fails the op.
    """
    try:
        segment = Segment.of(op, workflow)
        claim, is_due = _claim(segment, place)
    except OrchestratorError as error:
        raise refused(error) from error
    if not is_due:
        what = "is done already" if place.key in claim.committed else "is new, and the process is past it"
        op.log.info(f"{place.label} {what}.")
        yield Output(None)
        return
    started = datetime.now(UTC)
    try:
        done = _perform(segment, place, claim, started)
    except BaseException as error:
        is_failed = _fail(segment, place, claim, started, error)
        if not isinstance(error, Exception):
            raise
        if is_failed:
            op.log.info(HOW_TO_GO_ON.format(process_id=segment.process_id))
            raise Failure(_reason(error), metadata=failure_metadata(error), allow_retries=False) from error
        done = Done(Delta({}, []))
    if place.step.outcome is StepStatus.COMPLETE:
        segment.tag(status=ProcessStatus.COMPLETED)
    elif created := [change for change in done.changes if change.before is None]:
        segment.tag(subscription=str(created[0].subscription_id))
    seconds = (datetime.now(UTC) - started).total_seconds()
    yield Output(None, metadata=step_metadata(segment.process_id, done.delta, done.changes, seconds, done.outcome))


def _claim(segment: Segment, place: LedgerStep) -> tuple[Claim, bool]:
    """The process as it is, and whether it is this step's turn.

    One look, for a run that has the process in hand. Another takes it over only if it is the step's turn.
    """
    with segment.database.statements():
        claim = processes.find_claim(segment.process_id)
    if claim is not None and segment.acts_for(claim):
        return claim, _check_due(claim, segment.workflow, place)
    with segment.database.transaction():
        claim = segment.claim()
        return claim, _check_due(claim, segment.workflow, place)


def _check_due(claim: Claim, workflow: Workflow, place: LedgerStep) -> bool:
    """Whether it is this step's turn; False if it is behind. Raises RunMayNotAct if another one comes first.

    Whoever launches a part of a job in Dagster's page would otherwise leave steps out.
    """
    if _is_behind(claim, workflow, place):
        return False
    due = next(step for step in workflow.ledger_steps if not _is_behind(claim, workflow, step))
    if due.key != place.key:
        raise RunMayNotAct(f"It is not the turn of {place.label!r}: {due.label!r} comes first; run the whole job.")
    return True


def _is_behind(claim: Claim, workflow: Workflow, place: LedgerStep) -> bool:
    """The ledger has the step, or has a later one: then the step is new in the code and its time has passed."""
    positions = {step.key: step.position for step in workflow.ledger_steps}
    return any(positions.get(key, -1) >= place.position for key in claim.committed)


@dataclass(frozen=True, slots=True)
class Done:
    """What a step has done: its change of state, and of subscriptions."""

    delta: Delta
    changes: tuple[SubscriptionChange, ...] = ()
    outcome: StepStatus = StepStatus.SUCCESS


@dataclass(frozen=True, slots=True)
class Invocation:
    """A step's function with its arguments found, and the way its result goes back into the state."""

    step: Step
    arguments: dict[str, Any]
    part: State
    lenses: tuple[tuple[Lens, State], ...]

    def run(self) -> Any:
        """Call the function."""
        return self.step.function(**self.arguments)

    def state_after(self, result: Any) -> State:
        """The whole state with the result merged in, through the lenses it was read by."""
        part = merged(self.part, result, self.step.key)
        for lens, whole in reversed(self.lenses):
            part = _part(lens.put(reveal(whole), reveal(part)), f"What {self.step.key}'s lens puts back")
        return part


def _part(value: Any, where: str) -> State:
    """A state, or the part of one, as a lens gives it: a mapping that has a JSON form."""
    if not isinstance(value, Mapping):
        raise StateError(f"{where} is {type(value).__name__}; it is a mapping.")
    part: State = to_json(value, where)
    return part


def prepare(step: Step, state: State, scope: Scope) -> Invocation | None:
    """Ask the step's conditions and find its arguments; None if a condition says to skip it.

    Needs a transaction if an argument is a subscription.
    """
    lenses: list[tuple[Lens, State]] = []
    for wrapper in step.wrappers:
        if isinstance(wrapper, When):
            if not wrapper.predicate(reveal(state)):
                return None
        else:
            lenses.append((wrapper, state))
            state = _part(wrapper.get(reveal(state)), f"What {step.key}'s lens gets")
    arguments = arguments_of(step.function).values(state, scope, step.key)
    return Invocation(step, arguments, state, tuple(lenses))


def _perform(segment: Segment, place: LedgerStep, claim: Claim, started: datetime) -> Done:
    step = place.step
    context = StepContext(segment.process_id, segment.workflow.name, place.key, segment.user, segment.op.log)
    with segment.database.transaction():
        invocation = prepare(step, claim.state, Scope(_resources(segment.op), context))
    author = Author(segment.user, segment.process_id, place.key)
    with authored_by(author), segment.database.transaction():
        if invocation is None:
            return _commit(segment, place, started, Done(Delta({}, []), outcome=StepStatus.SKIPPED))
        result = invocation.run()
        changes = _save(segment, claim, models_in(result), step)
        delta = Delta.between(claim.state, invocation.state_after(result))
        return _commit(segment, place, started, Done(delta, changes, step.outcome))


def _save(
    segment: Segment, claim: Claim, models: Iterable[SubscriptionModel], step: Step
) -> tuple[SubscriptionChange, ...]:
    """Save the models of a result, and take what was saved, in the step itself too, for this process.

    The process is held first, and subscriptions in the order of their ids, so that two steps never wait for each other.
    """
    found = sorted(models, key=lambda model: model.subscription_id)
    saved = saved_in_transaction()
    if not (found or saved or step.effect):
        return ()
    processes.hold(segment.process_id, segment.run_id)
    for model in found:
        if not model.is_new:
            _take(segment, claim, model.subscription_id)
        model.save()
    saved += saved_in_transaction()
    for one in saved:
        if one.change is not None and one.change.before is None:
            processes.link(segment.process_id, one.subscription_id)
        _take(segment, claim, one.subscription_id)
    if step.effect:
        step.effect(segment.process_id)
    return tuple(one.change for one in saved if one.change is not None)


def _take(segment: Segment, claim: Claim, subscription_id: UUID) -> None:
    """Be the one writer of a subscription; another process's is refused. Its mark stays: it is in sync or not."""
    if subscription_id not in claim.holds:
        processes.lock(segment.process_id, subscription_id, unsync=False)
        claim.holds.append(subscription_id)


def _commit(segment: Segment, place: LedgerStep, started: datetime, done: Done) -> Done:
    """Write the ledger's line as the last thing of the transaction, which commits when its block is left."""
    status = ProcessStatus.COMPLETED if done.outcome is StepStatus.COMPLETE else ProcessStatus.RUNNING
    commit_with_each_statement()  # of a step that has sent none, this is the only one
    processes.record_step(_record(segment, place, started, done.outcome, done.delta), status=status)
    return done


def _record(
    segment: Segment, place: LedgerStep, started: datetime, status: StepStatus, delta: Delta, error: Any = None
) -> StepRecord:
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


def _resources(op: OpExecutionContext) -> Mapping[str, Any]:
    return {key: getattr(op.resources, key) for key in op.op_def.required_resource_keys}


# --- failure ---


def _fail(segment: Segment, place: LedgerStep, claim: Claim, started: datetime, error: BaseException) -> bool:
    """Record a failed attempt, in a transaction of its own.

    False if the step is committed after all: the server did commit, and only its answer was lost.
    """
    if isinstance(error, RunMayNotAct):
        return True
    status, assignee = _verdict(segment.workflow, error)
    line = readable({"class": type(error).__name__, "error": _reason(error), "details": _details(error)})
    record = _record(segment, place, started, StepStatus.FAILED, Delta({}, []), line)
    with segment.database.transaction():
        recorded = processes.record_failure(
            record,
            status=status,
            reason=_reason(error),
            traceback="".join(traceback.format_exception(error)),
            assignee=assignee,
        )
        if recorded and isinstance(error, DriftFound) and segment.workflow.target is Target.VALIDATE:
            _mark_drifted(claim.state)
        committed = not recorded and _is_committed(segment.process_id, place)
    if recorded:
        segment.tag(status=status)
    return not committed


def _mark_drifted(state: State) -> None:
    if subscription_id := state.get("subscription_id"):
        processes.mark_drifted(UUID(subscription_id), state.get("version"))


def _is_committed(process_id: ProcessId, place: LedgerStep) -> bool:
    claim = processes.find_claim(process_id)
    return claim is not None and place.key in claim.committed


def _verdict(workflow: Workflow, error: BaseException) -> tuple[ProcessStatus, Assignee]:
    """What a failure makes of the process; only tasks tell bad data and absent systems from other failures."""
    if workflow.is_task and isinstance(error, InconsistentData | AssertionError):
        return ProcessStatus.INCONSISTENT_DATA, Assignee.NOC
    if workflow.is_task and isinstance(error, ExternalSystemUnavailable):
        return ProcessStatus.API_UNAVAILABLE, Assignee.SYSTEM
    return ProcessStatus.FAILED, Assignee.SYSTEM


def _reason(error: BaseException) -> str:
    """One line for people: an error's own words, with its kind where the words do not say it."""
    text = str(error).strip()
    if not isinstance(error, Exception):
        return "The run was terminated during this step, which has been rolled back."
    if isinstance(error, OrchestratorError | ExternalSystemError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _details(error: BaseException) -> Any:
    """What an error tells besides its words; other libraries have a method of this name."""
    details = getattr(error, "details", None)
    return None if callable(details) else details
