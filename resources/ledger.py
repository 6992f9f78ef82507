"""The ledger: which steps of a process are committed, with what change of state.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, ScalarSelect, String, bindparam, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from resources.database import current_session
from resources.processes import COMMITTED, ITEM, OTHER_LINES, at_rest, in_the_hands_of, refuse
from resources.tables import ProcessStepTable, ProcessTable
from resources.types import Assignee, ProcessId, ProcessStatus, State, StepKey, StepStatus

REASON_LIMIT = 10_000
TRACEBACK_LIMIT = 50_000


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One line of the ledger, to be written. `set` and `removed` are the change of state."""

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
    """The committed lines of steps in the order in which they were done; or those of the items of one step."""
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
    """The key of the last line that is not committed: what a process that stands still stands at."""
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
    """How often a step was tried."""
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

    It takes the row of the process, and only for the run that may act. An earlier attempt of the step that is not
    committed is overwritten and counted. Raises RunMayNotAct when the run may act no longer, or the ledger has the step
    already.
    """
    where = in_the_hands_of(record.process_id, record.run_id)
    if not _advance(record, where, last_status=status, assignee=assignee):
        refuse(record.process_id, record.run_id)


def record_from_outside(
    record: StepRecord,
    *,
    at: Collection[ProcessStatus],
    status: ProcessStatus,
    run_id: str | None,
    reason: str | None = None,
) -> bool:
    """Write what was done to a process that stands still, by a person, a callback or the time.

    `run_id` is the run that is to go on from there; `reason` is why it cannot. False, and nothing written, unless the
    process has a status of `at` and the ledger lacks the step.
    """
    where = at_rest(record.process_id, at)
    return _advance(record, where, last_status=status, run_id=run_id, failed_reason=reason)


def _advance(record: StepRecord, where: Sequence[ColumnElement[bool]], **values: Any) -> bool:
    process = ProcessTable
    advanced: dict[str, Any] = {
        **_state_after(record),
        "last_step": record.name,
        "failed_reason": None,
        "traceback": None,
        "recoveries": 0,
        "last_modified_at": func.clock_timestamp(),
    }
    held = update(process).where(*where).values(**(advanced | values)).returning(process.process_id).cte("held")
    return _write_line(record, held) is not None


def _state_after(record: StepRecord) -> dict[str, Any]:
    """What becomes of the process's state: nothing, by what was done for an item."""
    if is_of_item(record.step_key):
        return {}
    state: Any = ProcessTable.state
    if record.removed:
        state = state.op("-")(bindparam("removed", list(record.removed), ARRAY(String)))
    if record.set:
        state = state.op("||")(literal(record.set, ProcessTable.state.type))
    return {"state": state}


def record_failure(
    record: StepRecord, *, status: ProcessStatus, reason: str, traceback: str, assignee: str = "SYSTEM"
) -> int | None:
    """Write a failed attempt, in a transaction of its own; how many attempts that makes. None if it may not be written.

    It may not when the ledger says that the step is committed after all (the commit's answer was lost), or when the
    run no longer acts for the process.
    """
    committed = (
        select(ProcessStepTable.step_key)
        .where(
            ProcessStepTable.process_id == record.process_id,
            ProcessStepTable.step_key == record.step_key,
            ProcessStepTable.status.in_(COMMITTED),
        )
        .exists()
    )
    held = (
        update(ProcessTable)
        .where(*in_the_hands_of(record.process_id, record.run_id), ~committed)
        .values(
            last_status=status,
            last_step=record.name,
            assignee=assignee,
            failed_reason=storable(reason)[:REASON_LIMIT],
            traceback=storable(traceback)[-TRACEBACK_LIMIT:],
            last_modified_at=func.clock_timestamp(),
        )
        .returning(ProcessTable.process_id)
        .cte("held")
    )
    return _write_line(record, held)


def storable(text: str) -> str:
    """Text as PostgreSQL can keep it: without NUL and half surrogate pairs."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def write_line(record: StepRecord) -> int | None:
    """Write a line for a process whose row the transaction has; how many attempts that makes."""
    held = select(ProcessTable.process_id).where(ProcessTable.process_id == record.process_id).cte("held")
    return _write_line(record, held)


def _write_line(record: StepRecord, held: CTE) -> int | None:
    """Write a line of the ledger if `held` has the process; None if not, or if the step is committed already.

    Else how often the step was tried.

    `position` rises with each attempt, so that the ledger reads in the order in which things were done.
    """
    values: dict[str, Any] = {
        "step_key": record.step_key,
        "position": select(func.coalesce(func.max(ProcessStepTable.position) + 1, 0))
        .where(ProcessStepTable.process_id == record.process_id)
        .scalar_subquery(),
        "name": record.name,
        "status": record.status,
        "set": record.set,
        "removed": list(record.removed),
        "error": record.error,
        "run_id": record.run_id,
        "created_by": record.created_by,
        "started_at": record.started_at,
        "finished_at": datetime.now(UTC),
    }
    columns = ProcessStepTable.__table__.c
    selected = [
        value if isinstance(value, ScalarSelect) else literal(value, columns[name].type)
        for name, value in values.items()
    ]
    source = select(held.c.process_id, *selected)
    line = insert(ProcessStepTable).from_select(["process_id", *values], source, include_defaults=False)
    written = line.on_conflict_do_update(
        index_elements=[ProcessStepTable.process_id, ProcessStepTable.step_key],
        set_={
            **{name: line.excluded[name] for name in values if name != "step_key"},
            "attempts": ProcessStepTable.attempts + 1,
        },
        where=ProcessStepTable.status.not_in(COMMITTED),
    ).returning(ProcessStepTable.attempts)
    attempts: int | None = current_session().scalar(written)
    return attempts
