"""One step in its transaction: claim, inject, run, save, record, report."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dagster import OpExecutionContext, Output, in_process_executor

from ops.running.asset_reports import Report, reports_of, reports_of_failure
from ops.running.failure import advice, failure_status
from ops.running.next_runs import launch_next, parent_continues
from ops.running.observing import observed
from ops.running.report import failure_metadata, step_metadata
from ops.running.segment import Segment, record_of
from ops.running.validation_end import record_failure, record_pass
from ops.steps.branches import check_join, state_of
from ops.steps.context import Scope, StepContext
from ops.steps.failure_words import is_interrupt, line_of, reason_of, traceback_of
from ops.steps.invocation import Invocation, prepare, view
from ops.steps.items import items_in, result_of, state_with
from ops.steps.save_result import save_models
from ops.steps.state import Delta
from ops.steps.step import LedgerStep, Step
from ops.steps.workflow import Workflow
from resources import clock
from resources.database.session import commit_with_each_statement, may_pass
from resources.domain.saving.authorship import Author, authored_by
from resources.domain.saving.changes import SubscriptionChange
from resources.errors import (
    REFUSALS,
    ExternalSystemError,
    OrchestratorError,
    RunMayNotAct,
    StateError,
    TransportError,
    WorkflowDeclarationError,
)
from resources.processes import ledger, process_rows, recovery, waits
from resources.processes.owner import owned_by
from resources.processes.process_rows import Claim
from resources.processes.waits import Wait, WaitKind
from resources.runs.guardian import forks_leave
from resources.runs.refusal import Refusal
from resources.types import ProcessId, ProcessStatus, State, StepStatus
from resources.validations import failing

IN_PROCESS = frozenset({in_process_executor.name, "execute_in_process_executor"})
"""The executors that run all steps of a run in one process."""
ONE_PROCESS = (
    "its executor {!r} may run each step in a process of its own. A run is alive while the process that claimed it is, "
    "so all its steps run in that one: use dagster.in_process_executor, and `parallel` or children for work side by "
    "side."
)
ENGINE_FAILED = "The engine failed at {!r}: {}"
NOTHING_TO_DO = "Nothing to do. {}"
ENDS = {StepStatus.COMPLETE: ProcessStatus.COMPLETED, StepStatus.ABORT: ProcessStatus.ABORTED}
"""The outcomes of steps that end the process."""

HOW_TO_ANSWER = (
    "Fill in its form with `orchestrator process answer {process_id}`, or with the job `answer_process` and "
    "`process: {process_id}`."
)


def refused(error: OrchestratorError | ExternalSystemError | TransportError, step: Step | None = None) -> Refusal:
    """A Dagster failure that shows the error's sentence; the process's row has its traceback."""
    return Refusal(reason_of(error)[: ledger.REASON_LIMIT], failure_metadata(error, step))


def claimed_segment(op: OpExecutionContext, workflow: Workflow) -> Segment:
    """The segment of an op; its run is claimed for this operating-system process."""
    try:
        if (executor := op.job_def.executor_def.name) not in IN_PROCESS:
            raise WorkflowDeclarationError(f"{op.job_name}: {ONE_PROCESS.format(executor)}")
        segment = Segment.of(op, workflow)
        segment.claim_run()
    except (OrchestratorError, TransportError) as error:
        raise refused(error) from error
    return segment


def run_step(op: OpExecutionContext, workflow: Workflow, place: LedgerStep) -> Iterator[Output[None] | Report]:
    """Run one step of a process, once: a committed step returns without running.

    The step's database effect and its record are one commit. A failure rolls back, is recorded in a transaction of its
    own, and fails the op. A step that waits is recorded and yields no output: the run ends, and the next run does what
    follows. An error of the engine itself fails the process too, since another run would meet it again.
    """
    segment = claimed_segment(op, workflow)
    with parent_continues(segment), engine_errors_recorded(segment, place):
        yield from _run_claimed(segment, place)


def _run_claimed(segment: Segment, place: LedgerStep) -> Iterator[Output[None] | Report]:
    op, workflow = segment.op, segment.workflow
    try:
        claim, is_due = _claim(segment, place)
        has_stopped = segment.has_stopped(claim)
        if is_due and place.branch is not None:
            with segment.database.transaction(read_only=True):
                claim = replace(claim, state=state_of(workflow, place, claim.process_id, claim.state))
    except (OrchestratorError, TransportError) as error:
        if segment.has_nothing_to_do(error):
            segment.end_abort()
            op.log.info(NOTHING_TO_DO.format(error))
            return
        raise refused(error) from error
    if has_stopped:
        op.log.info(f"The process is {claim.status}, in another branch; {place.label} runs when it continues.")
        return
    if not is_due:
        what = "is committed already" if place.key in claim.committed else "is new, and the process is past it"
        op.log.info(f"{place.label} {what}.")
        yield Output(None)
        return
    if claim.is_paused:
        op.log.info("The engine is paused: the process continues by itself at the release.")
        segment.tag(status=ProcessStatus.WAITING)
        return
    started = datetime.now(UTC)
    try:
        done = _attempt(segment, place, claim) if place.step.each is None else _do_each(segment, place, claim)
    except Refusal as refusal:
        yield from reports_of_failure(segment, claim.state, refusal)
        raise
    if done.wait is not None:
        how = HOW_TO_ANSWER.format(process_id=segment.process_id) if done.wait.kind is WaitKind.INPUT else ""
        op.log.info(" ".join(f"{place.label} waits. {done.wait.reason} {how}".split()))
        segment.tag(status=done.wait.kind.process_status)
        if done.wait.kind is WaitKind.CHILDREN:  # the last one may have ended before this wait was committed
            launch_next(segment, has_stopped=True)
        return
    if done.outcome in ENDS:
        segment.tag(status=ENDS[done.outcome])
        if claim.parent is not None:
            launch_next(segment, has_stopped=True)
        yield from reports_of(segment, claim.state)
    elif created := [change for change in done.changes if change.before is None]:
        segment.tag(subscription=str(created[0].subscription_id))
    if done.outcome is StepStatus.ABORT:
        op.log.info("The process is aborted here; its later steps do not run.")
        return
    seconds = (datetime.now(UTC) - started).total_seconds()
    metadata = step_metadata(segment.process_id, done.delta, done.changes, seconds, done.outcome, done.shown)
    yield Output(None, metadata=metadata)


def _claim(segment: Segment, place: LedgerStep) -> tuple[Claim, bool]:
    """The process, and whether this step is next.

    One query for a run that already acts for the process. Another run claims it only if this step is next, and no run
    continues while the engine is paused.
    """
    with segment.database.statements():
        found = process_rows.find_claim(segment.process_id)
    if found is not None and segment.acts_for(found) and not found.is_paused:
        return found, _check_due(found, segment.workflow, place)
    with segment.database.transaction():
        claim = segment.claim(place)
        is_due = not segment.has_stopped(claim) and _check_due(claim, segment.workflow, place)
        if is_due and claim.is_paused:
            _stop_for_pause(segment, place)
    return claim, is_due


def _stop_for_pause(segment: Segment, place: LedgerStep) -> Wait:
    wait = Wait(WaitKind.PAUSE, reason="The engine is paused.")
    process_rows.stop(segment.process_id, segment.run_id, status=ProcessStatus.WAITING)
    waits.open_wait(segment.process_id, place.key, wait)
    return wait


def _check_due(claim: Claim, workflow: Workflow, place: LedgerStep) -> bool:
    """Whether this step is next; False if it is committed or passed. Raises RunMayNotAct if another one comes first.

    Otherwise a partial launch in Dagster's page would leave out steps.
    """
    left = workflow.left(claim.committed)
    if place not in left:
        return False
    for other in left:
        if other.precedes(place):
            raise RunMayNotAct(f"{place.label!r} is not next: {other.label!r} comes first; run the whole job.")
    return True


@dataclass(frozen=True, slots=True)
class Done:
    """What a step has done: its change of state and of subscriptions, or its wait, and the processes it made ready."""

    delta: Delta = field(default_factory=lambda: Delta({}, []))
    changes: tuple[SubscriptionChange, ...] = ()
    outcome: StepStatus = StepStatus.SUCCESS
    wait: Wait | None = None
    ready: tuple[ProcessId, ...] = ()
    shown: Mapping[str, Any] = field(default_factory=dict)


def _do_each(segment: Segment, place: LedgerStep, claim: Claim) -> Done:
    """Do the steps for each item, except committed ones; then the step's own line.

    Each is a transaction of its own, so the step continues at the item where it stopped.
    """
    started = datetime.now(UTC)
    try:
        seen = view(place.step, claim.state)
        items = [] if seen is None else items_in(place, seen.part)
        with segment.database.transaction(read_only=True):
            lines = {line.step_key: line for line in ledger.committed_of(claim.process_id, of_items=place.key)}
    except Exception as error:  # noqa: BLE001  # a condition or lens of an organisation's own may raise anything
        return _handle_failure(segment, place, claim, started, error)
    for index, item in enumerate(items):
        assert seen is not None, "there are no items otherwise"
        state = state_with(place, seen.part, item)
        for one in place.of_item(index):
            line = lines.get(one.key)
            done = Done(Delta(line.set, line.removed)) if line else _do_item(segment, one, claim, state)
            if done.wait is not None:
                return done
            state = done.delta.applied_to(state)
    return _attempt(segment, place, claim)


def _do_item(segment: Segment, place: LedgerStep, claim: Claim, state: State) -> Done:
    try:
        with segment.database.statements():
            is_paused = process_rows.is_paused_for(segment.process_id, segment.run_id)
        if is_paused:
            with segment.database.transaction():
                return Done(wait=_stop_for_pause(segment, place))
    except (OrchestratorError, TransportError) as error:
        raise refused(error) from error
    done = _attempt(segment, place, replace(claim, state=state))
    if done.wait is None:
        segment.op.log.info(f"{place.label}: {done.outcome}.")
    return done


def _attempt(segment: Segment, place: LedgerStep, claim: Claim) -> Done:
    """Perform a step, and record a failure: then this raises, unless the step is retried later."""
    started = datetime.now(UTC)
    try:
        with observed(segment, place):
            done = _perform(segment, place, claim, started)
    except BaseException as error:
        if _is_retried_in_run(segment.op, place, error):
            raise
        return _handle_failure(segment, place, claim, started, error)
    if done.ready:
        launch_next(segment, done.ready)
    return done


def _perform(segment: Segment, place: LedgerStep, claim: Claim, started: datetime) -> Done:
    step = place.step
    context = StepContext(
        segment.process_id,
        segment.workflow.name,
        place.key,
        segment.user,
        segment.op.log,
        claim.generation,
        resources_of(segment.op),
        instance=segment.instance,
        run_id=segment.run_id,
    )
    with segment.database.transaction(), forks_leave():
        invocation = prepare(
            step, claim.state, Scope(resources_of(segment.op), context, _callback_route(segment, place))
        )
    author = Author(segment.user, segment.process_id, place.key)
    with authored_by(author), owned_by(segment.owner), segment.database.transaction(), forks_leave():
        if invocation is None:
            return _commit(segment, place, started, Done(outcome=StepStatus.SKIPPED))
        if step.is_held:
            process_rows.lock_row_for_run(segment.process_id, segment.run_id)
        result = _result(segment, place, invocation)
        if step.interpret is not None:
            result = step.interpret(result, context)
        if isinstance(result, Wait):
            if changed := ", ".join(invocation.changes()):
                raise StateError(f"{place.label!r} waits and has changed {changed} of the state, which would be lost.")
            return replace(_wait(segment, place, started, result), ready=tuple(context.ready))
        if result is None or isinstance(result, Mapping):
            result = invocation.whole_result(result)
        changes = _save(segment, claim, result, step)
        verdict = record_pass(segment, claim.state, step.outcome)
        delta = Delta.between(claim.state, invocation.view.state_after(result))
        done = Done(delta, changes, step.outcome, ready=tuple(context.ready), shown=context.shown | verdict)
        return _commit(segment, place, started, done)


def _result(segment: Segment, place: LedgerStep, invocation: Invocation) -> Any:
    """The result of a step: that of its function, or of the engine."""
    if place.step.is_join:
        check_join(segment.workflow, place, segment.process_id)
    if place.step.each is not None:
        return result_of(place, invocation.view, ledger.committed_of(segment.process_id, of_items=place.key))
    return invocation.run()


def _callback_route(segment: Segment, place: LedgerStep) -> dict[str, Any]:
    """The callback route, a parameter of a callback's action that is never stored in the state."""
    callback = place.step.callback
    if callback is None or place.step.key != callback.action:
        return {}
    token = waits.create_token(segment.process_id, place.beside(callback.waiting))
    return {callback.route_key: waits.route_of(segment.process_id, token)}


def _wait(segment: Segment, place: LedgerStep, started: datetime, wait: Wait) -> Done:
    """Write the step's wait as the last statement of the transaction."""
    record = record_of(segment, place, started, wait.kind.step_status, Delta({}, []))
    ledger.record_step(record, status=wait.kind.process_status, assignee=wait.assignee)
    waits.open_wait(segment.process_id, place.key, wait)
    return Done(wait=wait)


def _save(segment: Segment, claim: Claim, result: Any, step: Step) -> tuple[SubscriptionChange, ...]:
    """Save the models of a result, and apply the step's effect to the engine's rows."""
    lock_row = partial(process_rows.lock_row_for_run, claim.process_id, segment.run_id)
    changes = save_models(result, claim.process_id, claim.holds, lock_row=lock_row)
    if step.effect:
        lock_row()
        step.effect(claim.process_id)
    return changes


def _commit(segment: Segment, place: LedgerStep, started: datetime, done: Done) -> Done:
    """Write the ledger's line as the last statement of the transaction, which commits when its block ends."""
    status = ENDS.get(done.outcome, ProcessStatus.RUNNING)
    commit_with_each_statement()  # a step without statements of its own needs only this one
    ledger.record_step(record_of(segment, place, started, done.outcome, done.delta), status=status)
    return done


def resources_of(op: OpExecutionContext) -> Mapping[str, Any]:
    return {key: getattr(op.resources, key) for key in op.op_def.required_resource_keys}


# --- failure ---


def _is_retried_in_run(op: OpExecutionContext, place: LedgerStep, error: BaseException) -> bool:
    """Whether Dagster retries the op after a short pause, by the op's retry policy; only the last failure is
    recorded.
    """
    rule = place.step.retry
    if rule is None or not isinstance(error, Exception) or isinstance(error, RunMayNotAct):
        return False
    return op.retry_number < rule.quick_tries


def _handle_failure(segment: Segment, place: LedgerStep, claim: Claim, started: datetime, error: BaseException) -> Done:
    """Record a failed attempt; what the process waits for when the step is retried later.

    Otherwise it raises, unless the step is committed after all: the server committed, and only its answer was lost.
    """
    if place.step.retry is not None and isinstance(error, Exception) and not isinstance(error, RunMayNotAct):
        wait = _wait_for_retry(segment, place, started, error)
        if wait is not None:
            return Done(wait=wait)
    if isinstance(error, TransportError):
        _continue_by_itself(segment, error)
    committed = _fail(segment, place, claim, started, error)
    if is_interrupt(error):
        raise error
    if committed is None:
        segment.op.log.info(advice(segment, error).format(process_id=segment.process_id))
        if isinstance(error, REFUSALS):
            raise refused(error, place.step) from error
        raise Refusal(reason_of(error)[: ledger.REASON_LIMIT], failure_metadata(error), error) from error
    return committed


def _continue_by_itself(segment: Segment, error: BaseException) -> None:
    """End the run and continue the process in another: the database was unreachable, which is not a failure of the
    step.

    If it still is, nothing can be written, and the sweeper finds a running process whose run has failed. Returns when
    the process may not continue by itself any longer.
    """
    reason = f"The database was unreachable during a step of run {segment.run_id}. {reason_of(error)}"
    with segment.database.transaction():
        has_continued = recovery.continue_after_run(segment.process_id, segment.run_id, reason)
    if has_continued:
        segment.tag(status=ProcessStatus.RESUMED)
        raise Refusal(f"{reason} The process continues by itself.") from error


def _wait_for_retry(segment: Segment, place: LedgerStep, started: datetime, error: Exception) -> Wait | None:
    """Write why a retry step failed, and when it is retried; None if it is not, or may not be written."""
    rule = place.step.retry
    assert rule is not None, "only such a step is retried"
    record = record_of(segment, place, started, StepStatus.WAITING, Delta({}, []), line_of(error))
    with segment.database.transaction():
        if rule.attempts and ledger.attempts_of(segment.process_id, place.key) + 1 >= rule.attempts:
            return None
        attempts = ledger.record_failure(
            record, status=ProcessStatus.WAITING, reason=reason_of(error), traceback=traceback_of(error)
        )
        if attempts is None:
            return None
        moment = clock.now() + rule.pause(attempts)
        reason = f"{reason_of(error)} Next retry at {moment.isoformat(timespec='seconds')}."
        wait = Wait(WaitKind.RETRY, deadline=moment, reason=reason)
        waits.open_wait(segment.process_id, place.key, wait)
    return wait


def _fail(segment: Segment, place: LedgerStep, claim: Claim, started: datetime, error: BaseException) -> Done | None:
    """Record a failed attempt, in a transaction of its own.

    Returns what the step did, if it is committed after all: the server committed, and only its answer was lost.
    """
    if isinstance(error, RunMayNotAct):
        return None
    status, assignee = failure_status(segment.workflow, error)
    record = record_of(segment, place, started, StepStatus.FAILED, Delta({}, []), line_of(error))
    with segment.database.transaction():
        recorded = ledger.record_failure(
            record,
            status=status,
            reason=reason_of(error),
            traceback=traceback_of(error),
            assignee=assignee,
        )
        if recorded is not None:
            record_failure(segment, claim.state, place.step, error)
        committed = None if recorded is not None else _committed(segment.process_id, place)
    if recorded is not None:
        segment.tag(status=status)
    return committed


@contextmanager
def engine_errors_recorded(segment: Segment, place: LedgerStep) -> Iterator[None]:
    """Fail the process too when the block fails for the engine's own reasons: another run would meet them again.

    Not when the database was away or busy, or when another run has the process.
    """
    try:
        yield
    except Refusal as refusal:
        cause = refusal.__cause__ or refusal
        if not (isinstance(cause, RunMayNotAct) or may_pass(cause)):
            with segment.database.transaction():
                failing.fail_after_run(segment.process_id, segment.run_id, reason_of(cause))
        raise
    except Exception as error:
        if not (may_pass(error) or _is_retried_in_run(segment.op, place, error)):
            _fail_for_engine(segment, place, error)
        raise


def _fail_for_engine(segment: Segment, place: LedgerStep, error: Exception) -> None:
    """Mark the process as failed with as few words as can always be written."""
    reason = ENGINE_FAILED.format(place.label, reason_of(error))
    if error.__context__ is not None:
        reason += f" It was handling {reason_of(error.__context__)}"
    line = {"class": type(error).__name__, "error": reason, "details": None}
    record = record_of(segment, place, datetime.now(UTC), StepStatus.FAILED, Delta({}, []), line)
    with segment.database.transaction():
        written = {"reason": reason, "traceback": traceback_of(error)}
        if ledger.record_failure(record, status=ProcessStatus.FAILED, **written) is not None:
            failing.record_failed(segment.process_id, reason)
        else:  # the step is committed
            failing.fail_after_run(segment.process_id, segment.run_id, reason)


def _committed(process_id: ProcessId, place: LedgerStep) -> Done | None:
    line = ledger.line_of(process_id, place.key)
    if line is None or not StepStatus(line.status).is_committed:
        return None
    return Done(Delta(line.set, line.removed))
