"""The ledger: which steps of a process are committed, with what change of state.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, select

from resources.database.session import current_session
from resources.database.storable import storable
from resources.database.tables import ProcessStepTable
from resources.processes.process_rows import refuse
from resources.processes.statements import (
    ADD_LINE,
    COMMITTED,
    ITEM,
    OF_PROCESS,
    OTHER_LINES,
    RECORD_FAILURE,
    RECORD_ITEM,
    RECORD_ITEM_WHILE_STOPPED,
    RECORD_STEP,
    RECORD_WHILE_STOPPED,
    line_parameters,
)
from resources.types import Assignee, ProcessId, ProcessStatus, State, StepKey, StepStatus

REASON_LIMIT = 10_000
TRACEBACK_LIMIT = 50_000


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A line of the ledger to be written. `set` and `removed` are the change of state."""

    process_id: ProcessId
    step_key: StepKey
    name: str
    status: StepStatus
    run_id: str
    created_by: str
    started_at: datetime
    set: State
    removed: Sequence[str] = ()
    error: dict[str, Any] | None = None


def steps_of(process_id: ProcessId) -> list[ProcessStepTable]:
    """The ledger of a process, in order."""
    return list(
        current_session().scalars(
            select(ProcessStepTable)
            .where(ProcessStepTable.process_id == process_id)
            .order_by(ProcessStepTable.position)
        )
    )


def is_of_item(key: StepKey) -> bool:
    """Whether a line with this key is for one item of a list."""
    return ITEM in key


def step_of(key: StepKey) -> StepKey:
    """The key of the step that a line belongs to."""
    return key.partition(ITEM)[0]


def index_of(key: StepKey) -> int | None:
    """Which item of a list a line is for, from 0; None if it is for none."""
    return int(key.partition(ITEM)[2].partition("]")[0]) if ITEM in key else None


def committed_of(process_id: ProcessId, of_items: StepKey | None = None) -> list[ProcessStepTable]:
    """The committed lines of steps in their order; or those of the items of one step."""
    line = ProcessStepTable
    query = (
        select(line)
        .where(line.process_id == process_id, line.status.in_(COMMITTED))
        .where(~line.step_key.startswith(OTHER_LINES, autoescape=True))
        .order_by(line.position)
    )
    if of_items is None:
        query = query.where(~line.step_key.contains(ITEM, autoescape=True))
    else:
        query = query.where(line.step_key.startswith(of_items + ITEM, autoescape=True))
    return list(current_session().scalars(query))


def tried_last(process_id: ProcessId) -> StepKey | None:
    """The key of the last line that is not committed: the step at which a stopped process stopped."""
    line = ProcessStepTable
    return current_session().scalar(
        select(line.step_key)
        .where(line.process_id == process_id, line.status.not_in([*COMMITTED, StepStatus.ABORT]))
        .order_by(line.position.desc())
        .limit(1)
    )


def line_of(process_id: ProcessId, step_key: StepKey) -> ProcessStepTable | None:
    """The line of a step's last attempt; None if there was none."""
    return current_session().get(ProcessStepTable, (process_id, step_key), populate_existing=True)


def status_of(process_id: ProcessId, step_key: StepKey) -> StepStatus | None:
    """How the last attempt of a step ended; None if there was none."""
    found = current_session().scalar(
        select(ProcessStepTable.status).where(
            ProcessStepTable.process_id == process_id, ProcessStepTable.step_key == step_key
        )
    )
    return StepStatus(found) if found else None


def attempts_of(process_id: ProcessId, step_key: StepKey) -> int:
    """How often a step was attempted."""
    found = current_session().scalar(
        select(ProcessStepTable.attempts).where(
            ProcessStepTable.process_id == process_id, ProcessStepTable.step_key == step_key
        )
    )
    return found or 0


def record_step(
    record: StepRecord,
    *,
    status: ProcessStatus = ProcessStatus.RUNNING,
    assignee: Assignee = Assignee.SYSTEM,
) -> None:
    """Write what a run has done: the process's state, status and last step, and the ledger's line, in one statement.

    It locks the row of the process, and only for the run that may act. An earlier uncommitted attempt of the step is
    overwritten and counted. Raises RunMayNotAct when the run may not act any longer, or the step is committed already.
    """
    statement = RECORD_ITEM if is_of_item(record.step_key) else RECORD_STEP
    written = _advance(statement, record, by_run=record.run_id, new_last_status=status, new_assignee=assignee)
    if written is None:
        refuse(record.process_id, record.run_id)


def record_while_stopped(
    record: StepRecord,
    *,
    at: Collection[ProcessStatus],
    status: ProcessStatus,
    run_id: str | None,
    reason: str | None = None,
) -> bool:
    """Write what a person, a callback or the clock did to a stopped process.

    `run_id` is the run that continues from there; `reason` is why it cannot. False, and nothing written, unless the
    process has a status of `at` and the step is not committed.
    """
    statement = RECORD_ITEM_WHILE_STOPPED if is_of_item(record.step_key) else RECORD_WHILE_STOPPED
    written = _advance(
        statement, record, at=list(at), new_last_status=status, new_run_id=run_id, new_failed_reason=reason
    )
    return written is not None


def _advance(statement: Executable, record: StepRecord, **values: Any) -> int | None:
    state = {} if is_of_item(record.step_key) else {"state_set": record.set, "state_removed": list(record.removed)}
    return _write(statement, record, new_last_step=record.name, **state, **values)


def record_failure(
    record: StepRecord, *, status: ProcessStatus, reason: str, traceback: str, assignee: str = "SYSTEM"
) -> int | None:
    """Write a failed attempt, in a transaction of its own; the number of attempts. None if it may not be written.

    It may not when the step is committed after all (the commit's answer was lost), or when the run no longer acts for
    the process.
    """
    return _write(
        RECORD_FAILURE,
        record,
        by_run=record.run_id,
        new_last_status=status,
        new_last_step=record.name,
        new_assignee=assignee,
        new_failed_reason=storable(reason)[:REASON_LIMIT],
        new_traceback=storable(traceback)[-TRACEBACK_LIMIT:],
    )


def write_line(record: StepRecord) -> int | None:
    """Write a line for a process whose row is locked; the number of attempts."""
    return _write(ADD_LINE, record)


def _write(statement: Executable, record: StepRecord, **values: Any) -> int | None:
    """Write a line of the ledger; the number of attempts. None if the process cannot be locked, or if the step is
    committed.
    """
    parameters = {OF_PROCESS: record.process_id, **line_parameters(record), **values}
    attempts: int | None = current_session().scalar(statement, parameters)
    return attempts
