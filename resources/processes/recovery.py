"""Recovery of orphaned processes: those that a run executes, and what to do when that run is lost.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, text, true, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by

from resources import clock
from resources.database.session import current_session
from resources.database.storable import storable
from resources.database.tables import ProcessStepTable, ProcessTable, ProcessWaitTable, SubscriptionTable, WorkflowTable
from resources.processes import interventions, ledger, process_rows
from resources.processes.ledger import StepRecord
from resources.processes.owner import Owner
from resources.processes.process_rows import FINAL
from resources.processes.statements import COMMITTED, OTHER_LINES
from resources.processes.waits import WaitKind, stops_its_process
from resources.settings import settings
from resources.types import Assignee, ProcessId, ProcessStatus, StepKey, StepStatus, SubscriptionId

IN_PROGRESS = frozenset({ProcessStatus.CREATED, ProcessStatus.RESUMED, ProcessStatus.RUNNING})
"""Statuses in which a run executes a process, or is about to."""
LOST_RUN_KEY = f"{OTHER_LINES}lost_{{}}__"


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The state of a process. `quiet_seconds`: for how long its row has not been written."""

    process_id: ProcessId
    workflow_name: str
    status: ProcessStatus
    run_id: str | None
    recoveries: int
    quiet_seconds: float
    last_modified_at: datetime


Place = tuple[datetime, ProcessId]
"""The position at which a sweep has stopped."""


def in_progress(
    owner: Owner,
    limit: int,
    after: Place | None = None,
    *,
    statuses: Collection[ProcessStatus] = IN_PROGRESS,
    quiet_seconds: float = 0.0,
) -> list[ProcessState]:
    """Processes that a run executes, or should, in the order of their last change; at most `limit`.

    An index serves this that excludes finished processes.
    """
    query = _select_states().where(
        ProcessTable.last_status.in_(sorted(statuses)),
        ProcessTable.last_modified_at <= func.clock_timestamp() - timedelta(seconds=quiet_seconds),
        text("last_status <> 'completed'"),  # as the index has it, for the planner to see that it serves
        owner.owns(),
    )
    if after is not None:
        query = query.where(tuple_(ProcessTable.last_modified_at, ProcessTable.process_id) > tuple_(*after))
    return _read(query.order_by(ProcessTable.last_modified_at, ProcessTable.process_id).limit(limit))


def unfinished_elsewhere(location: str) -> dict[str, int]:
    """How many unfinished processes other locations have, by name. The index of open processes serves this."""
    others = (ProcessTable.location.is_not(None), ProcessTable.location != location)
    query = (
        select(ProcessTable.location, func.count())
        .where(ProcessTable.last_status.not_in(FINAL), text("last_status <> 'completed'"), *others)
        .group_by(ProcessTable.location)
        .order_by(ProcessTable.location)
    )
    return {str(name): count for name, count in current_session().execute(query)}


@dataclass(frozen=True, slots=True)
class Aborting:
    """A process that is being aborted: its run, and since when and until when its step may still execute."""

    process_id: ProcessId
    run_id: str | None
    since: datetime
    until: datetime


def aborting(owner: Owner, limit: int, of: ProcessId | None = None) -> list[Aborting]:
    """Processes, or this one, that are being aborted, the oldest deadline first."""
    wait, process = ProcessWaitTable, ProcessTable
    query = (
        select(process.process_id, process.run_id, wait.created_at, wait.deadline)
        .join(wait, wait.process_id == process.process_id)
        .where(process.last_status == ProcessStatus.ABORTING, text("last_status <> 'completed'"), owner.owns())
        .where(wait.answered_at.is_(None), wait.kind == WaitKind.ABORT)
        .where(true() if of is None else process.process_id == of)
        .order_by(wait.deadline, process.process_id)
        .limit(limit)
    )
    return [
        Aborting(process_id, run_id, since, until or since)
        for process_id, run_id, since, until in current_session().execute(query)
    ]


def states_of(process_ids: Collection[ProcessId]) -> list[ProcessState]:
    """The states of these processes."""
    return _read(_select_states().where(ProcessTable.process_id.in_(process_ids))) if process_ids else []


def continue_process(found: ProcessState, reason: str) -> str | None:
    """Continue a process whose run is lost in another run; its id. None when that is no longer needed.

    The ledger keeps which run was lost, and why.
    """
    row = _lock_if_unchanged(found)
    if row is None:
        return None
    name = f"Continued after a lost run ({row.recoveries + 1})"
    why = {"reason": reason, "run_id": found.run_id}
    ledger.write_line(
        StepRecord(
            row.process_id,
            LOST_RUN_KEY.format(found.run_id),
            name,
            StepStatus.SKIPPED,
            found.run_id or "",
            "SYSTEM",
            datetime.now(UTC),
            {},
            error=why,
        )
    )
    return interventions.next_segment(row, recoveries=row.recoveries + 1)


def may_continue(found: ProcessState) -> bool:
    """Whether a process may continue by itself once more: it was not lost too often since its last committed step."""
    return found.recoveries < settings().recovery_attempts


def continue_after_run(process_id: ProcessId, run_id: str, reason: str) -> bool:
    """Continue a process after a run that knows its own end; False when it may not, or another run has it."""
    for found in states_of([process_id]):
        if found.run_id == run_id and found.status is ProcessStatus.RUNNING and may_continue(found):
            return continue_process(found, reason) is not None
    return False


def mark_as_failed(found: ProcessState, reason: str) -> bool:
    """Mark a process whose run is lost as failed; False when that is no longer needed. A person may resume it.

    For `resources.validations.failing`, which also says what it means for a validation.
    """
    row = _lock_if_unchanged(found)
    if row is None:
        return False
    row.last_status, row.assignee = ProcessStatus.FAILED, Assignee.SYSTEM
    row.failed_reason = storable(reason)[: ledger.REASON_LIMIT]
    row.recoveries = 0
    current_session().flush()
    return True


def _lock_if_unchanged(found: ProcessState) -> ProcessTable | None:
    """The row, locked for the rest of the transaction; None when the process has another run or status by now."""
    row = process_rows.lock_row(found.process_id)
    return row if (row.run_id, row.last_status) == (found.run_id, found.status) else None


def _select_states() -> Select[Any]:
    quiet: ColumnElement[Any] = func.extract("epoch", func.clock_timestamp() - ProcessTable.last_modified_at)
    columns: Sequence[Any] = (
        ProcessTable.process_id,
        WorkflowTable.name,
        ProcessTable.last_status,
        ProcessTable.run_id,
        ProcessTable.recoveries,
        quiet,
        ProcessTable.last_modified_at,
    )
    return select(*columns).join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)


def _read(query: Select[Any]) -> list[ProcessState]:
    return [
        ProcessState(process_id, name, ProcessStatus(status), run_id, recoveries, float(quiet), modified)
        for process_id, name, status, run_id, recoveries, quiet, modified in current_session().execute(query)
    ]


# --- what should not be, and what a change of the code would break ---


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An unfinished process: the keys of its committed steps in order, and those of its waiting steps."""

    process_id: ProcessId
    workflow_name: str
    status: ProcessStatus
    committed: list[StepKey]
    waiting: list[StepKey]


def unfinished(owner: Owner, limit: int, after: ProcessId | None = None) -> list[Unfinished]:
    """Unfinished processes, in the order of their ids, from one on; at most `limit`."""
    process, step, wait = ProcessTable, ProcessStepTable, ProcessWaitTable
    committed = (
        select(func.array_agg(aggregate_order_by(step.step_key, step.position)))
        .where(step.process_id == process.process_id, step.status.in_(COMMITTED))
        .where(~step.step_key.startswith(OTHER_LINES, autoescape=True))
        .scalar_subquery()
    )
    waiting = (
        select(func.array_agg(wait.step_key.distinct()))
        .where(wait.process_id == process.process_id, wait.answered_at.is_(None))
        .where(~wait.step_key.startswith(OTHER_LINES, autoescape=True))
        .scalar_subquery()
    )
    query = (
        select(process.process_id, WorkflowTable.name, process.last_status, committed, waiting)
        .join(WorkflowTable, WorkflowTable.workflow_id == process.workflow_id)
        .where(process.last_status.not_in(FINAL), text("last_status <> 'completed'"), owner.owns())
        .order_by(process.process_id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(process.process_id > after)
    rows = current_session().execute(query)
    return [
        Unfinished(process_id, name, ProcessStatus(status), keys or [], open_keys or [])
        for process_id, name, status, keys, open_keys in rows
    ]


def overdue_waits(owner: Owner, seconds: float, limit: int, workflows: Collection[str]) -> list[ProcessId]:
    """Processes of these workflows that still wait although their deadline passed so many seconds ago, oldest first.

    Nobody ends the waits of other workflows: the code no longer has them.
    """
    moment = clock.now() - timedelta(seconds=seconds)
    wait = ProcessWaitTable
    return list(
        current_session().scalars(
            select(wait.process_id)
            .join(ProcessTable, ProcessTable.process_id == wait.process_id)
            .join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
            .where(wait.answered_at.is_(None), wait.deadline < moment)
            .where(stops_its_process(), owner.owns(), WorkflowTable.name.in_(workflows))
            .group_by(wait.process_id)  # a step may have given out several tokens
            .order_by(func.min(wait.deadline), wait.process_id)
            .limit(limit)
        )
    )


def left_locks(limit: int) -> list[tuple[SubscriptionId, ProcessId]]:
    """Subscriptions that are locked by a process that has ended, the one that ended first before the others."""
    rows = current_session().execute(
        select(SubscriptionTable.subscription_id, ProcessTable.process_id)
        .join(ProcessTable, ProcessTable.process_id == SubscriptionTable.locked_by)
        .where(ProcessTable.last_status.in_(FINAL))
        .order_by(ProcessTable.last_modified_at, SubscriptionTable.subscription_id)
        .limit(limit)
    )
    return [(subscription_id, process_id) for subscription_id, process_id in rows]
