"""Recovery: the processes that are in the hands of a run, and what is done when that run is gone.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, text, tuple_

from resources import interventions, ledger, processes
from resources.database import current_session
from resources.ledger import StepRecord
from resources.processes import OTHER_LINES
from resources.tables import ProcessTable, WorkflowTable
from resources.types import Assignee, ProcessId, ProcessStatus, StepStatus

IN_HAND = frozenset({ProcessStatus.CREATED, ProcessStatus.RESUMED, ProcessStatus.RUNNING})
"""In which statuses a run is at work for a process, or about to be."""
LOST_RUN_KEY = f"{OTHER_LINES}lost_{{}}__"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a process stands. `quiet_seconds`: for how long its row was not written."""

    process_id: ProcessId
    workflow_name: str
    status: ProcessStatus
    run_id: str | None
    recoveries: int
    quiet_seconds: float
    last_modified_at: datetime


Place = tuple[datetime, ProcessId]
"""Where a look at the processes in hand has stopped."""


def in_hand(limit: int, after: Place | None = None) -> list[Standing]:
    """Processes that are in the hands of a run, in the order in which they were last written; at most so many.

    Read by an index that finished processes are not in.
    """
    query = _standing().where(
        ProcessTable.last_status.in_(sorted(IN_HAND)),
        text("last_status <> 'completed'"),  # as the index has it, for the planner to see that it serves
    )
    if after is not None:
        query = query.where(tuple_(ProcessTable.last_modified_at, ProcessTable.process_id) > tuple_(*after))
    return _read(query.order_by(ProcessTable.last_modified_at, ProcessTable.process_id).limit(limit))


def standing(process_ids: Collection[ProcessId]) -> list[Standing]:
    """How these processes stand."""
    return _read(_standing().where(ProcessTable.process_id.in_(process_ids))) if process_ids else []


def go_on(found: Standing, reason: str) -> str | None:
    """Put a process whose run is gone into the hands of another run; its id. None when that is not needed any more.

    The ledger keeps which run was lost, and why.
    """
    row = _take(found)
    if row is None:
        return None
    name = f"Went on after a lost run ({row.recoveries + 1})"
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


def give_up(found: Standing, reason: str) -> bool:
    """Let a process fail whose run is gone; False when that is not needed any more. A person may resume it."""
    row = _take(found)
    if row is None:
        return False
    row.last_status, row.assignee = ProcessStatus.FAILED, Assignee.SYSTEM
    row.failed_reason = ledger.storable(reason)[: ledger.REASON_LIMIT]
    row.recoveries = 0
    current_session().flush()
    return True


def _take(found: Standing) -> ProcessTable | None:
    """The row, taken for the rest of the transaction; None when the process has changed hands or status since."""
    row = processes.hold_from_outside(found.process_id)
    return row if (row.run_id, row.last_status) == (found.run_id, found.status) else None


def _standing() -> Select[Any]:
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


def _read(query: Select[Any]) -> list[Standing]:
    return [
        Standing(process_id, name, ProcessStatus(status), run_id, recoveries, float(quiet), modified)
        for process_id, name, status, run_id, recoveries, quiet, modified in current_session().execute(query)
    ]
