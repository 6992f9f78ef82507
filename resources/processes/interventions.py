"""Interventions in a process: abort, send back, skip a step, resume. Each leaves a line in the ledger or a reason.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, select, update

from resources import clock
from resources.database.session import current_session
from resources.database.storable import storable
from resources.database.tables import ProcessStepTable, ProcessTable, ProcessWaitTable, SubscriptionVersionTable
from resources.errors import NotWaiting, ProcessEnded, ProcessError
from resources.processes import ledger, locks, process_rows, waits
from resources.processes.ledger import StepRecord
from resources.processes.owner import Owner
from resources.processes.statements import OTHER_LINES
from resources.processes.waits import Wait, WaitKind
from resources.settings import settings
from resources.types import ProcessId, ProcessStatus, State, StepKey, StepStatus, SubscriptionId

ABORT_KEY, ABORTED = f"{OTHER_LINES}abort__", "User Aborted"
KILLED_KEY, KILLED = f"{OTHER_LINES}killed__", "Process killed"
LONGEST_NOTE = 5000
BACK_KEY = f"{OTHER_LINES}back_{{}}__"

FAILURES = frozenset(status for status in ProcessStatus if status.is_failure)
NOT_RUNNING = FAILURES | {ProcessStatus.WAITING, ProcessStatus.SUSPENDED, ProcessStatus.AWAITING_CALLBACK}
"""Statuses in which no run executes the process, or is about to."""
UNFINISHED = frozenset(status for status in ProcessStatus if not status.is_final)
RESUMABLE = FAILURES | {ProcessStatus.WAITING}
"""Statuses in which a process can be retried now."""
SKIPPABLE = RESUMABLE | {ProcessStatus.AWAITING_CALLBACK}
"""Statuses in which a person can skip the next step."""
RUNNING, ABORTING = ProcessStatus.RUNNING, ProcessStatus.ABORTING


@dataclass(frozen=True, slots=True)
class Aborted:
    """What an abort found: the run that may still execute and its step, the committed steps, the subscriptions, and
    the children that continue.

    `until`: when its step is ended by force, which may still execute; until it has ended the subscriptions stay locked.
    """

    run_id: str | None
    was: ProcessStatus
    done: list[str]
    in_progress: StepKey | None
    subscriptions: list[SubscriptionId]
    children: list[ProcessId]
    until: datetime | None = None

    @property
    def message(self) -> str:
        """What was done and what stays, as a sentence."""
        parts = [f"It was {self.was}."]
        if self.was is ABORTING:
            parts.append(f"Its step has until {moment(self.until)} to end; then its process is killed.")
        elif self.until:
            parts.append(has_until(self.in_progress, self.until))
        elif self.in_progress:
            parts.append(f"The step {self.in_progress!r} was in progress: what it did to the database is rolled back.")
        parts.append(f"Committed steps stay: {', '.join(self.done)}." if self.done else "No step was committed.")
        if self.subscriptions and self.until:
            parts.append(f"Locked until the step has ended: subscription {', '.join(map(str, self.subscriptions))}.")
        elif self.subscriptions:
            parts.append(f"Unlocked, and out of sync: subscription {', '.join(map(str, self.subscriptions))}.")
        if self.children:
            parts.append(f"Its children continue: process {', '.join(map(str, self.children))}.")
        return " ".join(parts)


def abort(process_id: ProcessId, *, user: str, reason: str = "") -> Aborted:
    """End a process; what it changed stays, and stays out of sync. May run twice.

    At once, unless a step may be in progress, which can commit nothing more. Then the process is `aborting`, and keeps
    its subscriptions, until `end_abort`: two must not write to one device. Raises UnknownProcess, and ProcessEnded for
    a process that has ended already.
    """
    row = process_rows.lock_row(process_id)
    was = ProcessStatus(row.last_status)
    if was.is_final:
        raise ProcessEnded(f"Process {process_id} is {row.last_status}; it cannot be aborted.")
    done = ledger.committed_of(process_id)
    keys = {line.step_key for line in done}
    aborted = Aborted(
        run_id=row.run_id,
        was=was,
        done=[line.name for line in done],
        in_progress=next((key for key in row.step_keys if key not in keys), None) if was is RUNNING else None,
        subscriptions=locks.held_by(process_id),
        children=[child.process_id for child in process_rows.children_of(process_id) if not child.status.is_final],
        until=_deadline(process_id, was),
    )
    if was is ABORTING:
        return aborted
    waits.close(process_id, by=user)
    if aborted.until:
        row.last_status, row.failed_reason = ABORTING, has_until(aborted.in_progress, aborted.until)
        waits.open_wait(process_id, ABORT_KEY, Wait(WaitKind.ABORT, aborted.until, reason=row.failed_reason))
    else:
        row.last_status, row.last_step = ProcessStatus.ABORTED, ABORTED
        locks.release(process_id, in_sync=False)
    current_session().flush()
    why = {"by": user, "reason": storable(reason), "message": aborted.message}
    _write_line(row, ABORT_KEY, ABORTED, StepStatus.ABORT, user, why)
    return aborted


def _deadline(process_id: ProcessId, was: ProcessStatus) -> datetime | None:
    if was is ABORTING:
        return max((wait.deadline for wait in waits.find_open(process_id) if wait.deadline), default=clock.now())
    return clock.now() + timedelta(seconds=settings().abort_grace_seconds) if was is RUNNING else None


def end_abort(process_id: ProcessId, run_id: str | None, *, killed: str = "") -> bool:
    """End the abort of a process whose run no longer executes a step: unlock its subscriptions, which stay out of sync.

    `killed`: why its process was killed, if it was; readers of the process find it. False when there is nothing to end.
    """
    row = process_rows.lock_row(process_id)
    if (row.last_status, row.run_id) != (ABORTING, run_id):
        return False
    row.last_status, row.last_step, row.failed_reason = ProcessStatus.ABORTED, ABORTED, killed or None
    current_session().flush()
    if killed:
        _write_line(row, KILLED_KEY, KILLED, StepStatus.ABORT, "SYSTEM", {"message": killed})
    waits.close(process_id, by="SYSTEM")
    locks.release(process_id, in_sync=False)
    return True


def note_abort(process_id: ProcessId, run_id: str | None, reason: str) -> bool:
    """Let readers of an aborting process see why it does not end; False when it has ended, or says so already."""
    row = process_rows.lock_row(process_id)
    if (row.last_status, row.run_id) != (ABORTING, run_id) or row.failed_reason == reason:
        return False
    row.failed_reason = reason
    current_session().flush()
    return True


def has_until(step: StepKey | None, until: datetime) -> str:
    """How long an aborted step may still take, as a sentence."""
    return f"The step {step!r} has until {moment(until)} to end, and commits nothing; then its process is killed."


def moment(when: datetime | None) -> str:
    """A moment as people read it."""
    return f"{when:%Y-%m-%d %H:%M:%S %Z}"


def resume(process_id: ProcessId, *, user: str, at: Collection[ProcessStatus] = RESUMABLE) -> str:
    """Resume a stopped process; the id of the run to be launched for it.

    Its waits are closed, except for callbacks, which may still arrive. Raises NotWaiting when its status is not one of
    `at`.
    """
    row = process_rows.lock_row(process_id)
    _check_status(row, at, "be resumed")
    waits.close(process_id, by=user, tokens=False)
    return next_segment(row)


def next_segment(row: ProcessTable, *, recoveries: int | None = None) -> str:
    """Give a process whose row is locked a new run, yet to be launched; the run's id."""
    run_id = str(uuid4())
    taken = process_rows.take_over(
        row.process_id,
        run_id=run_id,
        from_run_id=row.run_id,
        status=ProcessStatus.RESUMED,
        recoveries=recoveries,
    )
    assert taken, "the row is locked, and its status was checked"
    return run_id


def skip(
    process_id: ProcessId,
    *,
    key: StepKey,
    name: str,
    user: str,
    reason: str,
    changes: Mapping[str, Any],
    removed: Sequence[str] = (),
) -> str:
    """Skip the step at which a process stopped, because a person has done it; the id of the run to be launched.

    `changes` and `removed` are the change of the whole state. The ledger keeps who, why, the status before, the
    failure, and what the state had before. Raises NotWaiting, ProcessError.
    """
    _check_reason(reason)
    row = process_rows.lock_row(process_id)
    _check_status(row, SKIPPABLE, "skip a step")
    if any(wait.kind == WaitKind.PAUSE for wait in waits.find_open(process_id)):
        raise NotWaiting(f"Process {process_id} only waits for the release of the engine; no step has failed.")
    before = {each: row.state[each] for each in (*changes, *removed) if each in row.state}
    why = {
        "skipped_by": user,
        "reason": storable(reason),
        "status": row.last_status,
        "failure": row.failed_reason,
        "before": before,
    }
    run_id = str(uuid4())
    now = datetime.now(UTC)
    record = StepRecord(
        process_id, key, name, StepStatus.SKIPPED, row.run_id or "", user, now, dict(changes), removed, why
    )
    waits.close(process_id, by=user, tokens=False)
    waits.close(process_id, by=user, steps=[key])
    if not ledger.record_while_stopped(record, at=SKIPPABLE, status=ProcessStatus.RESUMED, run_id=run_id):
        raise ProcessError(f"Step {key!r} of process {process_id} is committed already.")
    return run_id


def go_back(
    process_id: ProcessId,
    *,
    to: StepKey,
    undo: Collection[StepKey],
    user: str,
    reason: str,
    at: Collection[ProcessStatus] = NOT_RUNNING,
) -> str:
    """Send a process back to a committed step, with the state it had then; the id of the run to be launched.

    `undo` are the keys of that step and of all behind it in the code; later lines of the ledger are removed with them.
    What those steps did, to subscriptions or outside, is not undone: they run again, with new idempotency keys. The
    ledger keeps who, why, the status before, and the removed lines.

    Raises NotWaiting, and ProcessError when the step is not committed, or when one of the steps created a subscription:
    it would create another.
    """
    _check_reason(reason)
    row = process_rows.lock_row(process_id)
    _check_status(row, at, "be sent back")
    lines = ledger.steps_of(process_id)
    taken_back = [line for line in lines if ledger.step_of(line.step_key) in undo]
    if not any(line.step_key == to and StepStatus(line.status).is_committed for line in taken_back):
        raise ProcessError(f"Process {process_id} has not committed {to!r}, so it cannot go back there.")
    keys = {*undo, *(line.step_key for line in taken_back)}
    kept = [line for line in lines if line not in taken_back]
    _check_creates_nothing_twice(process_id, keys)
    why = {
        "to": to,
        "by": user,
        "reason": storable(reason),
        "status": row.last_status,
        "failure": row.failed_reason,
        "undone": [_as_json(line) for line in taken_back],
    }
    current_session().execute(
        delete(ProcessStepTable).where(ProcessStepTable.process_id == process_id, ProcessStepTable.step_key.in_(keys))
    )
    waits.close(process_id, by=user, tokens=False)
    waits.close(process_id, by=user, steps=keys)
    waits.discard_answers(process_id, keys)
    current_session().execute(
        update(ProcessTable)
        .where(ProcessTable.process_id == process_id)
        .values(state=state_after(kept), generation=row.generation + 1)
    )
    current_session().refresh(row)
    _write_line(row, BACK_KEY.format(row.generation), f"Back to {to}", StepStatus.SUCCESS, user, why)
    return next_segment(row)


def _check_creates_nothing_twice(process_id: ProcessId, keys: Collection[StepKey]) -> None:
    version = SubscriptionVersionTable
    created = (
        current_session()
        .execute(
            select(version.step_key, version.subscription_id).where(
                version.process_id == process_id, version.version == 1, version.step_key.in_(keys)
            )
        )
        .first()
    )
    if created is not None:
        raise ProcessError(
            f"Step {created.step_key!r} of process {process_id} has created subscription "
            f"{created.subscription_id} and would create another: go back to a later step, or abort the process and "
            f"start a new one."
        )


def lock_again(process_id: ProcessId) -> None:
    """Lock the subscriptions again that a process worked on and has unlocked.

    Raises SubscriptionLocked when another process holds one.
    """
    for subscription_id in sorted(process_rows.subscriptions_of(process_id)):
        locks.lock(process_id, subscription_id, unsync=True)


def lock_tasks_to_resume(owner: Owner, limit: int, *, after: ProcessId | None) -> list[ProcessId]:
    """Lock the rows of tasks that failed or wait for a retry, skipping locked ones, in the order of their ids.

    Tasks that wait for a moment, for children or for the release of the engine are left out: a retry would not help.
    """
    wait, process = ProcessWaitTable, ProcessTable
    not_retryable = (
        select(wait.process_id)
        .where(wait.process_id == process.process_id, wait.answered_at.is_(None))
        .where(wait.kind.in_([WaitKind.TIME, WaitKind.CHILDREN, WaitKind.PAUSE]))
        .exists()
    )
    query = (
        select(process.process_id)
        .where(process.is_task, process.last_status.in_(RESUMABLE), ~not_retryable, owner.owns())
        .order_by(process.process_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if after is not None:
        query = query.where(process.process_id > after)
    return list(current_session().scalars(query))


def delete_task(process_id: ProcessId) -> None:
    """Delete a task that has ended. Raises UnknownProcess, ProcessError."""
    row = process_rows.lock_row(process_id)
    if not row.is_task:
        raise ProcessError(f"Process {process_id} is not a task; processes of subscriptions are kept.")
    if not ProcessStatus(row.last_status).is_final:
        raise ProcessError(f"Process {process_id} is {row.last_status}; abort it before you delete it.")
    if children := process_rows.children_of(process_id):
        raise ProcessError(f"Process {process_id} has started {len(children)} children, which refer to it; it is kept.")
    current_session().delete(row)


def write_note(process_id: ProcessId, note: str | None) -> None:
    """Write a note on a process; None removes it. Raises UnknownProcess, ProcessError when it is too long."""
    if note is not None and len(note) > LONGEST_NOTE:
        raise ProcessError(f"The note has {len(note)} characters; {LONGEST_NOTE} fit.")
    row = process_rows.lock_row(process_id)
    row.note = None if note is None else storable(note)


def state_after(lines: Iterable[ProcessStepTable]) -> State:
    """The state that results from the committed steps among these lines."""
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
            ABORTING: "it ends when its step does: start its workflow again then",
        }.get(ProcessStatus(row.last_status), "nothing was changed")
        raise NotWaiting(f"Process {row.process_id} is {row.last_status} and cannot {what}; {advice}.")


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise ProcessError("Give a reason: later readers of the process need it.")


def _write_line(row: ProcessTable, key: StepKey, name: str, status: StepStatus, user: str, why: Any) -> None:
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
