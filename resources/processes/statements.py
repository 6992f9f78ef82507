"""The statements that every step executes, built once: building one takes longer than executing it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Executable,
    ScalarSelect,
    String,
    Table,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by, insert
from sqlalchemy.sql.dml import ReturningInsert

from resources.database.tables import (
    EngineSettingsTable,
    ProcessStepTable,
    ProcessTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.processes.code_version import commit_hash
from resources.types import ProcessStatus, StepStatus

# Plain columns: the mapped classes would cost more than the query.
PROCESSES, STEPS, SUBSCRIPTIONS, WORKFLOWS, ENGINE = (
    cast(Table, mapped.__table__)
    for mapped in (ProcessTable, ProcessStepTable, SubscriptionTable, WorkflowTable, EngineSettingsTable)
)
process, step, subscription, workflow = PROCESSES.c, STEPS.c, SUBSCRIPTIONS.c, WORKFLOWS.c

OTHER_LINES = "__"
"""Prefix of the ledger keys that are not steps: an abort, a step back."""
ITEM = "["
"""Separates the key of a step from that of a line for one item of its list: `configure[3]`, `check[3].ping`.

Such a line keeps what was done for the item; the step's own line changes the state when all items are done.
"""
COMMITTED = [status for status in StepStatus if status.is_committed]

LINE = (
    *("step_key", "name", "status", "set", "removed", "error"),
    *("run_id", "created_by", "started_at", "finished_at", "commit_hash"),
)
"""The columns of a ledger line that are given when it is written."""
OF_PROCESS, BY_RUN = "of_process", "by_run"
"""The parameters that name the process of a statement, and the run that acts for it."""


def of_process() -> BindParameter[Any]:
    """The process that a statement is about."""
    return bindparam(OF_PROCESS, type_=process.process_id.type)


def of_current_run() -> tuple[ColumnElement[bool], ...]:
    """The conditions that the run is the process's current segment, and the process is running."""
    return (
        process.process_id == of_process(),
        process.run_id == bindparam(BY_RUN, type_=String),
        process.last_status == ProcessStatus.RUNNING,
    )


def not_running() -> tuple[ColumnElement[bool], ...]:
    """The conditions that the process has one of the statuses `at`, in which no run acts for it."""
    return (process.process_id == of_process(), process.last_status.in_(bindparam("at", expanding=True)))


def new(column: str) -> BindParameter[Any]:
    """The new value of a process's column; a parameter may not have the column's own name."""
    return bindparam(f"new_{column}", type_=process[column].type)


def line_parameter(column: str) -> str:
    """The parameter for a column of a ledger line."""
    return f"line_{column}"


def line_parameters(record: object) -> dict[str, Any]:
    """The parameters of a line, from an object with these attributes. Its end is now, its version this code."""
    here = {"finished_at": datetime.now(UTC), "commit_hash": commit_hash()}
    return {line_parameter(column): here[column] if column in here else getattr(record, column) for column in LINE}


def _find_claim() -> Executable:
    committed = (
        select(func.array_agg(aggregate_order_by(step.step_key, step.position)))
        .where(
            step.process_id == process.process_id,
            step.status.in_(COMMITTED),
            ~step.step_key.startswith(OTHER_LINES, autoescape=True),
            ~step.step_key.contains(ITEM, autoescape=True),
        )
        .scalar_subquery()
    )
    holds = (
        select(func.array_agg(subscription.subscription_id))
        .where(subscription.locked_by == process.process_id)
        .scalar_subquery()
    )
    paused = select(ENGINE.c.global_lock).scalar_subquery()
    of_the_process = (process.last_status, process.run_id, process.state)
    origin = (process.generation, process.parent_process_id, process.location)
    return (
        select(workflow.name, *of_the_process, committed, holds, paused, *origin)
        .join_from(WORKFLOWS, PROCESSES, process.workflow_id == workflow.workflow_id)
        .where(process.process_id == of_process())
    )


def _lock_row() -> Executable:
    return select(process.process_id).where(*of_current_run()).with_for_update()


def _state_after() -> dict[str, Any]:
    """The process's state after the change: keys of the step removed and set."""
    state = process.state.op("-")(bindparam("state_removed", type_=ARRAY(String)))
    return {"state": state.op("||")(bindparam("state_set", type_=JSONB))}


def _advance(where: Sequence[ColumnElement[bool]], **values: Any) -> Executable:
    return _record(where, last_status=new("last_status"), traceback=None, recoveries=0, **values)


def _record_failure() -> Executable:
    columns = ("last_status", "assignee", "failed_reason", "traceback")
    return _record(of_current_run(), **{column: new(column) for column in columns})


def _record(where: Sequence[ColumnElement[bool]], **values: Any) -> Executable:
    """Write a line of the ledger and the process's row: both or none, and none if the step is committed.

    The line comes first, because the statement may commit by itself. A condition on the line in the update would not
    do: after it has waited for another run's lock, it would still see the ledger of before.
    """
    held = select(process.process_id).where(*where).with_for_update().cte("held")
    line = _write_line(held).cte("line")
    changed = {**values, "last_step": new("last_step"), "last_modified_at": func.clock_timestamp()}
    return update(PROCESSES).where(process.process_id == line.c.process_id).values(changed).returning(line.c.attempts)


def _add_line() -> Executable:
    line = _write_line(select(process.process_id).where(process.process_id == of_process()).cte("held")).cte("line")
    return select(line.c.attempts)


def _write_line(held: CTE) -> ReturningInsert[Any]:
    """Write a line of the ledger if `held` has the process; the process, and the number of attempts.

    No row is returned if it has not, or if the step is committed. `position` rises with each attempt, so the ledger is
    in the order of execution.
    """
    position: ScalarSelect[Any] = (
        select(func.coalesce(func.max(step.position) + 1, 0)).where(step.process_id == of_process()).scalar_subquery()
    )
    given = [bindparam(line_parameter(column), type_=step[column].type) for column in LINE]
    source = select(held.c.process_id, position, *given)
    line = insert(STEPS).from_select(["process_id", "position", *LINE], source, include_defaults=False)
    rewritten = {column: line.excluded[column] for column in ("position", *LINE) if column != "step_key"}
    return line.on_conflict_do_update(
        index_elements=[step.process_id, step.step_key],
        set_={**rewritten, "attempts": step.attempts + 1},
        where=step.status.not_in(COMMITTED),
    ).returning(step.process_id, step.attempts)


FIND_CLAIM = _find_claim()
"""A process, its committed keys, and its locked subscriptions."""
LOCK_ROW = _lock_row()
"""Locks the row of a process, if the run may act for it."""
_BY_RUN = {"assignee": new("assignee"), "failed_reason": None}
_WHILE_STOPPED = {"run_id": new("run_id"), "failed_reason": new("failed_reason")}
RECORD_STEP = _advance(of_current_run(), **_BY_RUN, **_state_after())
"""Writes what a run has done: the process's state, status and last step, and the ledger's line."""
RECORD_ITEM = _advance(of_current_run(), **_BY_RUN)
"""The same for one item of a list, which does not change the state."""
RECORD_WHILE_STOPPED = _advance(not_running(), **_WHILE_STOPPED, **_state_after())
"""The same for a stopped process."""
RECORD_ITEM_WHILE_STOPPED = _advance(not_running(), **_WHILE_STOPPED)
"""And that for one item of a list."""
RECORD_FAILURE = _record_failure()
"""Writes a failed attempt: status and reason of the process, and the ledger's line, unless the step is committed."""
ADD_LINE = _add_line()
"""Writes a line of the ledger only."""
