"""Hands on a process: aborted, sent back, spared a step, set going again. Each leaves a line in the ledger or a reason.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, update

from resources import ledger, locks, processes, waits
from resources.database import current_session
from resources.errors import NotWaiting, ProcessError
from resources.ledger import StepRecord
from resources.step_statements import OTHER_LINES
from resources.tables import ProcessStepTable, ProcessTable
from resources.types import ProcessId, ProcessStatus, State, StepKey, StepStatus, SubscriptionId

ABORT_KEY, ABORTED = f"{OTHER_LINES}abort__", "User Aborted"
BACK_KEY = f"{OTHER_LINES}back_{{}}__"

FAILURES = frozenset(status for status in ProcessStatus if status.is_failure)
STANDING = FAILURES | {ProcessStatus.WAITING, ProcessStatus.SUSPENDED, ProcessStatus.AWAITING_CALLBACK}
"""In which statuses no run is at work, nor about to be."""
UNFINISHED = frozenset(status for status in ProcessStatus if not status.is_final)
RESUMABLE = FAILURES | {ProcessStatus.WAITING}
"""In which statuses a process can be told to try again now."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """What an abort found: the run that may be at work, the steps that stay done, the subscriptions let go of."""

    run_id: str | None
    done: list[str]
    subscriptions: list[SubscriptionId]


def abort(process_id: ProcessId, *, user: str, reason: str = "") -> Aborted:
    """End a process for good and let go of what it holds; what it changed stays, and stays out of sync.

    A run that is at work for it commits nothing more: its step rolls back. Raises UnknownProcess, and ProcessError for
    a process that has ended already.
    """
    row = processes.hold_from_outside(process_id)
    if ProcessStatus(row.last_status).is_final:
        raise ProcessError(f"Process {process_id} is {row.last_status}; it cannot be aborted.")
    done = [line.name for line in ledger.committed_of(process_id)]
    row.last_status, row.last_step = ProcessStatus.ABORTED, ABORTED
    current_session().flush()
    _note(row, ABORT_KEY, ABORTED, StepStatus.ABORT, user, {"reason": reason} if reason else None)
    waits.close(process_id, by=user)
    held = locks.held_by(process_id)
    locks.release(process_id, in_sync=False)
    return Aborted(row.run_id, done, held)


def set_going(process_id: ProcessId, *, user: str, at: Collection[ProcessStatus] = RESUMABLE) -> str:
    """Have a process that stands still go on: the id of the run that is to be launched for it.

    What it waited for is waited for no longer, but for calls of external systems: those stay welcome. Raises NotWaiting
    when its status is not one of `at`.
    """
    row = processes.hold_from_outside(process_id)
    _check_status(row, at, "be set going")
    waits.close(process_id, by=user, tokens=False)
    return next_segment(row)


def next_segment(row: ProcessTable, *, recoveries: int | None = None) -> str:
    """Put a process whose row the transaction has into the hands of a run that is yet to be launched; the run's id."""
    run_id = str(uuid4())
    taken = processes.take_over(
        row.process_id,
        run_id=run_id,
        from_run_id=row.run_id,
        status=ProcessStatus.RESUMED,
        recoveries=recoveries,
    )
    assert taken, "the row is held, and its status was looked at"
    return run_id


def skip(
    process_id: ProcessId,
    *,
    key: StepKey,
    name: str,
    user: str,
    reason: str,
    changes: Mapping[str, Any] | None = None,
    removed: Sequence[str] = (),
) -> str:
    """Spare a process the step that it stands at, because a person has done it; the id of the run to be launched.

    `changes` and `removed` are what the step would have done to the state. The ledger keeps who, why, the failure, and
    what the state had before. Raises NotWaiting, ProcessError.
    """
    row = processes.hold_from_outside(process_id)
    _check_status(row, RESUMABLE, "be spared a step")
    changes = dict(changes or {})
    before = {each: row.state[each] for each in (*changes, *removed) if each in row.state}
    why = {"skipped_by": user, "reason": reason, "failure": row.failed_reason, "before": before}
    run_id = str(uuid4())
    record = StepRecord(
        process_id, key, name, StepStatus.SKIPPED, row.run_id or "", user, datetime.now(UTC), changes, removed, why
    )
    waits.close(process_id, by=user, tokens=False)
    waits.close(process_id, by=user, steps=[key])
    if not ledger.record_from_outside(record, at=RESUMABLE, status=ProcessStatus.RESUMED, run_id=run_id):
        raise ProcessError(f"Step {key!r} of process {process_id} is done already.")
    return run_id


def go_back(
    process_id: ProcessId,
    *,
    to: StepKey,
    undo: Collection[StepKey],
    user: str,
    reason: str,
    at: Collection[ProcessStatus] = STANDING,
) -> str:
    """Send a process back to a step that it has done, with the state it had then; the id of the run to be launched.

    `undo` are the keys of that step and of all behind it. What those steps did, to subscriptions or outside, is not
    undone: they are done again, under another idempotency key. The ledger keeps who, why, and the lines taken back.
    Raises NotWaiting, ProcessError when the step was not done.
    """
    row = processes.hold_from_outside(process_id)
    _check_status(row, at, "be sent back")
    lines = ledger.steps_of(process_id)
    taken_back = [line for line in lines if ledger.step_of(line.step_key) in undo]
    if not any(line.step_key == to and StepStatus(line.status).is_committed for line in taken_back):
        raise ProcessError(f"Process {process_id} has not done {to!r}, so it cannot go back there.")
    keys = {*undo, *(line.step_key for line in taken_back)}
    kept = [line for line in lines if line not in taken_back]
    why = {"to": to, "by": user, "reason": reason, "undone": [_as_json(line) for line in taken_back]}
    current_session().execute(
        delete(ProcessStepTable).where(ProcessStepTable.process_id == process_id, ProcessStepTable.step_key.in_(keys))
    )
    waits.close(process_id, by=user, tokens=False)
    waits.close(process_id, by=user, steps=keys)
    waits.set_aside(process_id, keys)
    current_session().execute(
        update(ProcessTable)
        .where(ProcessTable.process_id == process_id)
        .values(state=state_after(kept), generation=ProcessTable.generation + 1)
    )
    _note(row, BACK_KEY.format(row.generation + 1), f"Back to {to}", StepStatus.SUCCESS, user, why)
    return next_segment(row)


def state_after(lines: Iterable[ProcessStepTable]) -> State:
    """The state that the committed steps among these lines make together."""
    state: State = {}
    for line in lines:
        if StepStatus(line.status).is_committed and not ledger.is_of_item(line.step_key):
            state = {key: value for key, value in state.items() if key not in line.removed} | line.set
    return state


def _check_status(row: ProcessTable, at: Collection[ProcessStatus], what: str) -> None:
    if row.last_status not in at:
        advice = {
            ProcessStatus.SUSPENDED: "it waits for input: answer it",
            ProcessStatus.AWAITING_CALLBACK: "it waits for an external system to call back",
        }.get(ProcessStatus(row.last_status), "nothing was changed")
        raise NotWaiting(f"Process {row.process_id} is {row.last_status} and cannot {what}; {advice}.")


def _note(row: ProcessTable, key: StepKey, name: str, status: StepStatus, user: str, why: Any) -> None:
    ledger.write_line(
        StepRecord(row.process_id, key, name, status, row.run_id or "", user, datetime.now(UTC), {}, error=why)
    )


def _as_json(line: ProcessStepTable) -> dict[str, Any]:
    return {
        "key": line.step_key,
        "name": line.name,
        "status": line.status,
        "set": line.set,
        "removed": line.removed,
        "by": line.created_by,
        "finished_at": line.finished_at.isoformat(),
    }
