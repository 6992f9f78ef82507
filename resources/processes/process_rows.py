"""The rows of processes: what runs, has stopped, and has ended.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, Protocol

from sqlalchemy import ColumnElement, String, cast, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from resources.database.session import current_session, lock_key
from resources.database.tables import (
    EngineSettingsTable,
    ProcessStepTable,
    ProcessSubscriptionTable,
    ProcessTable,
    WorkflowTable,
)
from resources.errors import ProcessExists, RunMayNotAct, UnknownProcess, UnknownWorkflow
from resources.processes.owner import Owner, current_owner
from resources.processes.statements import BY_RUN, FIND_CLAIM, LOCK_ROW, OF_PROCESS
from resources.types import Assignee, ProcessId, ProcessStatus, State, StepKey, SubscriptionId

FINAL = [status for status in ProcessStatus if status.is_final]


@dataclass(frozen=True, slots=True)
class NewProcess:
    """The data of a new process. `step_keys` are the keys of its steps, in order, as the code has them now."""

    process_id: ProcessId
    workflow_name: str
    is_task: bool
    step_keys: Sequence[StepKey]
    state: State
    created_by: str
    run_id: str | None
    status: ProcessStatus
    idempotency_key: str | None = None
    asked: str | None = None
    parent: ProcessId | None = None
    note: str | None = None


class Located(Protocol):
    """A process with the name of its workflow in the code of its location; None for a row of before."""

    @property
    def process_id(self) -> ProcessId: ...
    @property
    def workflow_name(self) -> str: ...
    @property
    def location(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run finds when it claims a process: the process, the keys of its committed steps in order, its locked
    subscriptions.

    `is_paused`: the engine is paused, so no step may start. `generation`: how often the process was sent back.
    """

    process_id: ProcessId
    workflow_name: str
    status: ProcessStatus
    run_id: str | None
    state: State
    committed: list[StepKey]
    holds: list[SubscriptionId]
    is_paused: bool = False
    generation: int = 0
    parent: ProcessId | None = None
    location: str | None = None


# --- asking ---


def find_claim(process_id: ProcessId) -> Claim | None:
    """Read a process and the keys that its ledger has, in one statement; None if there is no such process."""
    row = current_session().execute(FIND_CLAIM, {OF_PROCESS: process_id}).first()
    if row is None:
        return None
    name, status, run_id, state, keys, held, is_paused, generation, parent, location = row
    return Claim(
        process_id,
        name,
        ProcessStatus(status),
        run_id,
        state,
        keys or [],
        held or [],
        bool(is_paused),
        generation,
        parent,
        location,
    )


def get_process(process_id: ProcessId) -> ProcessTable:
    """Read one process. Raises UnknownProcess."""
    process = current_session().get(ProcessTable, process_id, populate_existing=True)
    if process is None:
        raise UnknownProcess(f"There is no process {process_id}; `orchestrator process list` shows those there are.")
    return process


def find_process_id(prefix: str) -> ProcessId:
    """Find the one process whose id starts with `prefix`. Raises UnknownProcess when none or several do."""
    ids = list(
        current_session().scalars(
            select(ProcessTable.process_id)
            .where(cast(ProcessTable.process_id, String).startswith(prefix.lower(), autoescape=True))
            .limit(2)
        )
    )
    if len(ids) == 1:
        return ids[0]
    found = "no process" if not ids else "more than one process"
    raise UnknownProcess(f"There is {found} whose id starts with {prefix!r}; `orchestrator process list` shows them.")


def workflow_name_of(process: ProcessTable) -> str:
    """The name of the workflow that a process executes."""
    name = current_session().scalar(select(WorkflowTable.name).where(WorkflowTable.workflow_id == process.workflow_id))
    assert name is not None, "a foreign key keeps the workflow"
    return name


def workflow_names(process_ids: Collection[ProcessId]) -> dict[ProcessId, str]:
    """The names of the workflows that processes execute."""
    rows = current_session().execute(
        select(ProcessTable.process_id, WorkflowTable.name)
        .join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
        .where(ProcessTable.process_id.in_(process_ids))
    )
    return {row.process_id: row.name for row in rows}


def last_run(process_id: ProcessId) -> str | None:
    """The run that wrote the last line of a process's ledger."""
    return current_session().scalar(
        select(ProcessStepTable.run_id)
        .where(ProcessStepTable.process_id == process_id)
        .order_by(ProcessStepTable.position.desc())
        .limit(1)
    )


def subscriptions_of(process_id: ProcessId) -> list[SubscriptionId]:
    """The subscriptions that a process has touched."""
    return list(
        current_session().scalars(
            select(ProcessSubscriptionTable.subscription_id)
            .where(ProcessSubscriptionTable.process_id == process_id)
            .order_by(ProcessSubscriptionTable.created_at)
        )
    )


@dataclass(frozen=True, slots=True)
class Child:
    """A process that another one has started."""

    process_id: ProcessId
    workflow_name: str
    status: ProcessStatus


def children_of(process_id: ProcessId) -> list[Child]:
    """The processes that a process has started, oldest first."""
    rows = current_session().execute(
        select(ProcessTable.process_id, WorkflowTable.name, ProcessTable.last_status)
        .join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
        .where(ProcessTable.parent_process_id == process_id)
        .order_by(ProcessTable.started_at, ProcessTable.process_id)
    )
    return [Child(child, name, ProcessStatus(status)) for child, name, status in rows]


def children_to_launch(limit: int, owner: Owner, workflows: Collection[str], *, of: ProcessId) -> list[ProcessId]:
    """The children of a process that are new or resumed, oldest first. A run may exist by now.

    An index serves this that excludes finished processes.
    """
    process = ProcessTable
    query = (
        select(process.process_id)
        .join(WorkflowTable, WorkflowTable.workflow_id == process.workflow_id)
        .where(process.last_status.in_([ProcessStatus.CREATED, ProcessStatus.RESUMED]))
        .where(WorkflowTable.name.in_(workflows))
        .where(text("last_status <> 'completed'"))  # the condition of the partial index, so that the planner uses it
        .where(owner.owns())
        .order_by(process.last_modified_at, process.process_id)
        .limit(limit)
    )
    return list(current_session().scalars(query.where(process.parent_process_id == of)))


def find_started(idempotency_key: str) -> tuple[ProcessId, str | None] | None:
    """The process that was started with an idempotency key, and the hash of its input."""
    row = current_session().execute(
        select(ProcessTable.process_id, ProcessTable.asked).where(ProcessTable.idempotency_key == idempotency_key)
    )
    found = row.first()
    return None if found is None else (found.process_id, found.asked)


# --- writing ---


def create_process(new: NewProcess) -> None:
    """Write the row of a new process. Raises UnknownWorkflow if the catalogue in the database lacks the workflow."""
    session, owner = current_session(), current_owner()
    workflow_id = session.scalar(
        select(WorkflowTable.workflow_id).where(
            WorkflowTable.name == new.workflow_name, WorkflowTable.deleted_at.is_(None)
        )
    )
    if workflow_id is None:
        raise UnknownWorkflow(
            f"The database does not know the workflow {new.workflow_name!r}; run `orchestrator catalogue apply`."
        )
    created = session.execute(
        insert(ProcessTable)
        .values(
            process_id=new.process_id,
            workflow_id=workflow_id,
            is_task=new.is_task,
            last_status=new.status,
            state=new.state,
            step_keys=list(new.step_keys),
            created_by=new.created_by,
            run_id=new.run_id,
            idempotency_key=new.idempotency_key,
            asked=new.asked,
            parent_process_id=new.parent,
            note=new.note,
            location=owner.location,
            storage=owner.storage,
        )
        .on_conflict_do_nothing()
        .returning(ProcessTable.process_id)
    )
    if created.first() is None:
        raise ProcessExists(f"Process {new.process_id} has been started already.")


def lock_starts(workflow_name: str) -> None:
    """Lock the starts of this workflow until the transaction ends, so that a predicate's answer stays true."""
    current_session().execute(select(func.pg_advisory_xact_lock(lock_key(f"start {workflow_name}"))))


def take_over(
    process_id: ProcessId,
    *,
    run_id: str,
    from_run_id: str | None,
    status: ProcessStatus = ProcessStatus.RUNNING,
    recoveries: int | None = None,
) -> bool:
    """Make a run the process's current segment, if `from_run_id` still is and the process is not finished.

    Of two concurrent runs one wins. The last failure is cleared. With the status `resumed` the run is yet to be
    launched. `recoveries`: how often it continued by itself, when that changes.
    """
    values: dict[str, Any] = {} if recoveries is None else {"recoveries": recoveries}
    result = current_session().execute(
        update(ProcessTable)
        .where(
            ProcessTable.process_id == process_id,
            ProcessTable.run_id.is_not_distinct_from(from_run_id),
            ProcessTable.last_status.not_in(FINAL),
        )
        .values(
            run_id=run_id,
            last_status=status,
            failed_reason=None,
            traceback=None,
            assignee=Assignee.SYSTEM,
            last_modified_at=func.clock_timestamp(),
            **values,
        )
        .returning(ProcessTable.process_id)
    )
    return result.first() is not None


def lock_row_for_run(process_id: ProcessId, run_id: str) -> None:
    """Lock the row of a process for the rest of the transaction. Raises RunMayNotAct if the run may not act any longer.

    A transaction that also changes subscriptions locks the process first, so that two never deadlock.
    """
    held = current_session().execute(LOCK_ROW, {OF_PROCESS: process_id, BY_RUN: run_id})
    if held.first() is None:
        refuse(process_id, run_id)


def is_paused_for(process_id: ProcessId, run_id: str) -> bool:
    """Whether the engine is paused. Raises RunMayNotAct if the run may not act any longer."""
    paused = select(func.coalesce(select(EngineSettingsTable.global_lock).scalar_subquery(), False))
    found: bool | None = current_session().scalar(paused.where(*of_current_run(process_id, run_id)))
    if found is None:
        refuse(process_id, run_id)
    return found


def stop(process_id: ProcessId, run_id: str, *, status: ProcessStatus) -> None:
    """Set the status of a process between two steps. Raises RunMayNotAct if the run may not act any longer."""
    stopped = current_session().execute(
        update(ProcessTable)
        .where(*of_current_run(process_id, run_id))
        .values(last_status=status, last_modified_at=func.clock_timestamp())
        .returning(ProcessTable.process_id)
    )
    if stopped.first() is None:
        refuse(process_id, run_id)


def lock_row(process_id: ProcessId) -> ProcessTable:
    """Lock the row of a process for the rest of the transaction, whichever run executes it. Raises UnknownProcess."""
    process = current_session().get(ProcessTable, process_id, populate_existing=True, with_for_update=True)
    return process or get_process(process_id)


def of_current_run(process_id: ProcessId, run_id: str) -> Sequence[ColumnElement[bool]]:
    """The conditions that the run is the process's current segment, and the process is running."""
    process = ProcessTable
    return (
        process.process_id == process_id,
        process.run_id == run_id,
        process.last_status == ProcessStatus.RUNNING,
    )


def refuse(process_id: ProcessId, run_id: str) -> NoReturn:
    """Raise RunMayNotAct for a run that is no longer the process's own."""
    process = get_process(process_id)
    raise RunMayNotAct(
        f"Run {run_id} may no longer act for process {process_id}, which is {process.last_status}, executed by run "
        f"{process.run_id}; what this step did to the database has been rolled back."
    )


def delete_tasks(*, before: datetime, limit: int) -> int:
    """Delete completed tasks, with their ledger, that were last modified before a moment, at most `limit`; how many.

    A task with children is kept until they are deleted. Those of other locations stay.
    """
    child = aliased(ProcessTable)
    old = (
        select(ProcessTable.process_id)
        .where(
            ProcessTable.is_task,
            ProcessTable.last_status == ProcessStatus.COMPLETED,
            ProcessTable.last_modified_at < before,
            ~exists().where(child.parent_process_id == ProcessTable.process_id),
            Owner(current_owner().location).owns(),
        )
        .limit(limit)
        .with_for_update(skip_locked=True, of=ProcessTable)
    )
    deleted = current_session().execute(
        delete(ProcessTable).where(ProcessTable.process_id.in_(old)).returning(ProcessTable.process_id)
    )
    return len(deleted.all())


# --- counting ---


def count_unfinished(workflow_name: str) -> int:
    """How many processes of a workflow are neither completed nor aborted, of those of the current owner."""
    found = current_session().scalar(
        select(func.count())
        .select_from(ProcessTable)
        .join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
        .where(WorkflowTable.name == workflow_name, ProcessTable.last_status.not_in(FINAL), current_owner().owns())
    )
    return found or 0
