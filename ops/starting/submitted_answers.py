"""Answers to a waiting process: a person's input, a callback, a due time.

Each of these ends a wait once: the process's row is locked first, so of two concurrent ones the second finds the wait
ended.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from ops.starting.permission import check_may_resume
from ops.steps.branches import state_of
from ops.steps.context import Scope
from ops.steps.forms import FormGenerator, Page, fill, pages_of
from ops.steps.invocation import View, view
from ops.steps.save_result import save_models
from ops.steps.state import Delta, from_outside, to_json
from ops.steps.step import LedgerStep, OnTimeout
from ops.steps.workflow import Workflow
from resources import clock
from resources.database import time_limit
from resources.database.session import SubscriptionDatabase, current_session
from resources.database.tables import ProcessTable, ProcessWaitTable
from resources.domain.saving.authorship import Author, authored_by
from resources.errors import FormIncomplete, NotWaiting, ProcessError, UnknownProcess, UnknownToken
from resources.processes import interventions, ledger, locks, pause, process_rows, waits
from resources.processes.ledger import StepRecord
from resources.processes.process_rows import Claim
from resources.processes.waits import Wait, WaitKind
from resources.types import ProcessId, ProcessStatus, State, StepStatus

LATE = "The callback is overdue."
SUSPENDED = frozenset({ProcessStatus.SUSPENDED})


class Verdict(StrEnum):
    """The outcome of a callback. With the last three nothing was changed."""

    RESUMED = "resumed"
    STORED = "stored"
    ANSWERED_BEFORE = "answered before"
    ANSWERED_OTHERWISE = "answered otherwise"
    TOO_LATE = "too late"


# --- a person's answer ---


def answer(
    workflow: Workflow,
    process_id: ProcessId,
    pages: Sequence[Page],
    *,
    user: str,
    database: SubscriptionDatabase,
    resources: Mapping[str, Any] | None = None,
) -> str:
    """Fill the form that a process waits with; the id of the run to be launched. Commits.

    The form runs in a read-only transaction. Then the step's line, the form's result, its models, and the end of the
    wait are written in one transaction. An invalid answer changes nothing.

    Raises UnknownProcess, NotWaiting, NotAuthorised, EnginePaused, StepsChanged, FormInvalid, FormIncomplete,
    FormTimedOut.
    """
    with database.transaction(read_only=True):
        pause.check_not_paused()
        claim, wait, place = find_question(workflow, process_id)
        check_may_resume(workflow, place, user)
        seen, result = _filled(workflow, place, claim, pages, resources or {})
    with authored_by(Author(user, process_id, place.key)), database.transaction():
        row = process_rows.lock_row(process_id)
        pause.check_not_paused()
        if wait.wait_id not in [one.wait_id for one in waits.find_open(process_id)]:
            raise NotWaiting(f"Process {process_id} has just been answered by somebody else and is {row.last_status}.")
        if place.step.callback is not None:
            run_id = _decide(workflow, row, place, user, str(result["decision"]))
        else:
            run_id = _commit(row, place, seen, result, user)
        time_limit.decide()
        return run_id


def next_page(
    workflow: Workflow,
    process_id: ProcessId,
    pages: Sequence[Page],
    resources: Mapping[str, Any] | None = None,
) -> FormIncomplete | None:
    """The next page of the form that a process waits with, after these pages; None when it is complete. Needs a
    transaction.

    Raises UnknownProcess, NotWaiting, StepsChanged, FormInvalid.
    """
    claim, _, place = find_question(workflow, process_id)
    try:
        _filled(workflow, place, claim, pages, resources or {})
    except FormIncomplete as page:
        return page
    return None


def find_question(workflow: Workflow, process_id: ProcessId) -> tuple[Claim, ProcessWaitTable, LedgerStep]:
    """The pending question of a process: the process, its wait, and the step whose form it is. Needs a transaction.

    Raises UnknownProcess, NotWaiting when it has none, StepsChanged when the code has no such step.
    """
    claim = process_rows.find_claim(process_id)
    if claim is None:
        raise UnknownProcess(f"There is no process {process_id}; `orchestrator process list` shows those there are.")
    asked = [wait for wait in waits.find_open(process_id) if wait.kind == WaitKind.INPUT]
    if claim.status is not ProcessStatus.SUSPENDED or not asked:
        raise NotWaiting(f"Process {process_id} is {claim.status}; it does not wait for input.")
    workflow.check_fits(claim.committed)
    place = workflow.place(asked[0].step_key)
    return replace(claim, state=state_of(workflow, place, process_id, claim.state)), asked[0], place


def question(workflow: Workflow, place: LedgerStep, claim: Claim, resources: Mapping[str, Any]) -> tuple[View, Any]:
    """The state that a step's form sees, and the form as a generator of pages. Needs a transaction."""
    seen = view(place.step, claim.state)
    if seen is None:
        raise NotWaiting(
            f"The condition of {place.label!r} no longer holds, so there is nothing to answer; send the process back."
        )

    def form(state: State) -> FormGenerator:
        return (yield from pages_of(place.step.form, state, Scope(resources=resources)))

    return seen, form


def _filled(
    workflow: Workflow, place: LedgerStep, claim: Claim, pages: Sequence[Page], resources: Mapping[str, Any]
) -> tuple[View, State]:
    seen, form = question(workflow, place, claim, resources)
    return seen, fill(form, seen.part, pages, name=place.label)


def _commit(row: ProcessTable, place: LedgerStep, seen: View, result: State, user: str) -> str:
    process_id = row.process_id
    save_models(result, process_id, locks.held_by(process_id), lock_row=lambda: None)  # the row is held
    delta = Delta.between(seen.whole, seen.state_after(result))
    waits.close(process_id, by=user, answer=to_json(result, place.label), steps=[place.key])
    run_id = str(uuid4())
    if not ledger.record_while_stopped(
        _record(row, place, StepStatus.SUCCESS, user, delta), at=SUSPENDED, status=ProcessStatus.RESUMED, run_id=run_id
    ):
        raise NotWaiting(f"Process {process_id} is past {place.label!r}.")
    return run_id


def _decide(workflow: Workflow, row: ProcessTable, place: LedgerStep, user: str, decision: str) -> str:
    """Apply a person's decision about an overdue callback."""
    assert place.step.callback is not None, "only then is there something to decide"
    if decision == "wait":
        return interventions.resume(row.process_id, user=user, at=SUSPENDED)
    if decision == "retry":
        return _retry_action(workflow, place, row.process_id, user=user, reason=LATE)
    waits.close(row.process_id, by=user, steps=[place.key])
    ledger.record_while_stopped(
        _record(row, place, StepStatus.FAILED, user, Delta({}, [])),
        at=SUSPENDED,
        status=ProcessStatus.FAILED,
        run_id=row.run_id,
        reason=f"No callback within {place.step.callback.timeout}; {user} failed the process.",
    )
    return row.run_id or ""


def _retry_action(workflow: Workflow, place: LedgerStep, process_id: ProcessId, *, user: str, reason: str) -> str:
    assert place.step.callback is not None, "only a callback has an action"
    action = workflow.place(place.beside(place.step.callback.action))
    undo = [step.key for step in workflow.onwards(action)]
    return interventions.go_back(process_id, to=action.key, undo=undo, user=user, reason=reason)


def _record(row: ProcessTable, place: LedgerStep, status: StepStatus, user: str, delta: Delta) -> StepRecord:
    return StepRecord(
        row.process_id,
        place.key,
        place.label,
        status,
        row.run_id or "",
        user,
        datetime.now(UTC),
        delta.set,
        delta.removed,
    )


# --- an external system's call ---


def receive(
    process_id: ProcessId, token: str, result: Any, *, database: SubscriptionDatabase
) -> tuple[Verdict, str | None]:
    """Take a callback; its outcome, and the id of the run to be launched, if there is one. Commits.

    May run twice, and at any time: an early answer is stored, a late or repeated one changes nothing. Raises
    UnknownToken, StateError for a result that cannot be stored.
    """
    kept = from_outside(result, "The result of the callback")
    with database.transaction():
        row, wait = _find_token(process_id, token)
        if wait.answered_at is not None:
            return _verdict_again(wait, kept), None
        if ProcessStatus(row.last_status).is_final:
            return Verdict.TOO_LATE, None
        wait.answered_at, wait.answered_by, wait.answer = clock.now(), "callback", {"result": kept}
        if not _awaits(row, wait):
            return Verdict.STORED, None
        if pause.is_paused():
            _wait_for_release(row, wait)
            return Verdict.STORED, None
        return Verdict.RESUMED, interventions.next_segment(row)


def _verdict_again(wait: ProcessWaitTable, kept: Any) -> Verdict:
    if wait.answer is None:
        return Verdict.TOO_LATE
    # Equal as numbers, not as written: PostgreSQL has stored 1e2 as 100.
    return Verdict.ANSWERED_BEFORE if wait.answer.get("result") == kept else Verdict.ANSWERED_OTHERWISE


def record_progress(process_id: ProcessId, token: str, progress: Any, *, database: SubscriptionDatabase) -> bool:
    """Store the progress that an external system reports; False when its callback is no longer awaited. Commits.

    Raises UnknownToken, StateError.
    """
    kept = from_outside(progress, "The progress")
    with database.transaction():
        _, wait = _find_token(process_id, token)
        if wait.answered_at is not None:
            return False
        wait.progress = {"progress": kept}
        return True


def _find_token(process_id: ProcessId, token: str) -> tuple[ProcessTable, ProcessWaitTable]:
    try:
        row = process_rows.lock_row(process_id)
    except UnknownProcess:
        raise UnknownToken from None
    wait = waits.find_token(process_id, token)
    if wait is None:
        raise UnknownToken
    return row, wait


def _awaits(row: ProcessTable, wait: ProcessWaitTable) -> bool:
    """Whether the process stopped at the step of the answer; otherwise the step finds the answer later."""
    if row.last_status == ProcessStatus.AWAITING_CALLBACK:
        return True
    asks = [one for one in waits.find_open(row.process_id, wait.step_key) if one.kind == WaitKind.INPUT]
    for one in asks:  # a person was asked about the missing callback
        one.answered_at, one.answered_by = clock.now(), "callback"
    return bool(asks) and row.last_status == ProcessStatus.SUSPENDED


def _wait_for_release(row: ProcessTable, wait: ProcessWaitTable) -> None:
    """The engine is paused: wait for its release instead of the answer."""
    row.last_status = ProcessStatus.WAITING
    current_session().flush()
    reason = "The engine is paused; the callback has arrived."
    waits.open_wait(row.process_id, wait.step_key, Wait(WaitKind.PAUSE, reason=reason))


# --- the time that has come ---


def wake(workflow: Workflow, due: waits.Due, *, database: SubscriptionDatabase) -> str | None:
    """End a due wait; the id of the run to be launched, None when it has ended otherwise. Commits."""
    with database.transaction():
        row = process_rows.lock_row(due.process_id)
        still = [one for one in waits.find_open(due.process_id, due.step_key) if one.kind == due.kind]
        if not still or row.last_status != due.kind.process_status:
            return None
        if due.kind is not WaitKind.CALLBACK:
            waits.close(due.process_id, by="SYSTEM", tokens=False)
            return interventions.next_segment(row)
        if not any(one.deadline is not None and one.deadline <= clock.now() for one in still):
            return None
        if _may_retry_action(workflow, due):
            place = workflow.place(due.step_key)
            with suppress(ProcessError):  # an action that has created a subscription is not retried: it times out
                return _retry_action(workflow, place, due.process_id, user="SYSTEM", reason=LATE)
        return interventions.next_segment(row)  # its tokens stay valid: the step itself decides


def _may_retry_action(workflow: Workflow, due: waits.Due) -> bool:
    callback = next((step.step.callback for step in workflow.ledger_steps if step.key == due.step_key), None)
    if callback is None or callback.on_timeout is not OnTimeout.RETRY:
        return False
    return waits.count_tokens(due.process_id, due.step_key) <= callback.retries
