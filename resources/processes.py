"""Processes and their ledger: the engine's memory, and the only module that writes it.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from sqlalchemy import Executable, String, cast, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from resources.database import current_session
from resources.errors import (
    ProcessError,
    RunMayNotAct,
    SubscriptionLocked,
    UnknownProcess,
    UnknownSubscription,
    UnknownWorkflow,
)
from resources.step_statements import (
    ADD_LINE,
    BY_RUN,
    FIND_CLAIM,
    HOLD,
    OF_PROCESS,
    RECORD_FAILURE,
    RECORD_STEP,
    line_parameters,
)
from resources.tables import (
    EngineSettingsTable,
    ProcessStepTable,
    ProcessSubscriptionTable,
    ProcessTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.types import ProcessId, ProcessStatus, State, StepKey, StepStatus, SubscriptionId

REASON_LIMIT = 10_000
TRACEBACK_LIMIT = 50_000
ABORT_KEY, ABORTED = "__abort__", "User Aborted"
"""The line that an abort leaves in the ledger."""

_FINAL = [status for status in ProcessStatus if status.is_final]


@dataclass(frozen=True, slots=True)
class NewProcess:
    """What a process starts from. `step_keys` are the keys of its steps, in order, as the code has them now."""

    process_id: ProcessId
    workflow_name: str
    is_task: bool
    step_keys: Sequence[StepKey]
    state: State
    created_by: str
    run_id: str | None
    status: ProcessStatus
    idempotency_key: str | None = None


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


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run finds when it asks to act: the process, the keys of its committed steps in order, what it holds."""

    process_id: ProcessId
    workflow_name: str
    status: ProcessStatus
    run_id: str | None
    state: State
    committed: list[StepKey]
    holds: list[SubscriptionId]


# --- asking ---


def engine_is_paused() -> bool:
    """Whether new work may not begin."""
    paused = current_session().scalar(select(EngineSettingsTable.global_lock))
    return bool(paused)


def find_claim(process_id: ProcessId) -> Claim | None:
    """Read a process and the keys that its ledger has, in one statement; None if there is no such process."""
    row = current_session().execute(FIND_CLAIM, {OF_PROCESS: process_id}).first()
    if row is None:
        return None
    workflow_name, status, run_id, state, keys, held = row
    return Claim(process_id, workflow_name, ProcessStatus(status), run_id, state, keys or [], held or [])


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


def steps_of(process_id: ProcessId) -> list[ProcessStepTable]:
    """The ledger of a process, in order."""
    return list(
        current_session().scalars(
            select(ProcessStepTable)
            .where(ProcessStepTable.process_id == process_id)
            .order_by(ProcessStepTable.position)
        )
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


def list_processes(
    *, statuses: Sequence[ProcessStatus] = (), workflow: str | None = None, limit: int = 20
) -> list[tuple[ProcessTable, str]]:
    """The newest processes with the names of their workflows; the state of a process is loaded with it."""
    query = (
        select(ProcessTable, WorkflowTable.name)
        .join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
        .order_by(ProcessTable.started_at.desc())
        .limit(limit)
    )
    if statuses:
        query = query.where(ProcessTable.last_status.in_(statuses))
    if workflow:
        query = query.where(WorkflowTable.name == workflow)
    return [(process, name) for process, name in current_session().execute(query)]


# --- writing ---


def create_process(new: NewProcess) -> None:
    """Write the row of a new process. Raises UnknownWorkflow if the catalogue in the database lacks the workflow."""
    session = current_session()
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
        )
        .on_conflict_do_nothing()
        .returning(ProcessTable.process_id)
    )
    if created.first() is None:
        raise ProcessError(f"Process {new.process_id} has been started already.")


def take_over(process_id: ProcessId, *, run_id: str, from_run_id: str | None) -> bool:
    """Make a run the process's current segment, if `from_run_id` still is and the process is not finished.

    Two runs that try at once: one wins. What the last attempt failed with is forgotten.
    """
    result = current_session().execute(
        update(ProcessTable)
        .where(
            ProcessTable.process_id == process_id,
            ProcessTable.run_id.is_not_distinct_from(from_run_id),
            ProcessTable.last_status.not_in(_FINAL),
        )
        .values(run_id=run_id, last_status=ProcessStatus.RUNNING, failed_reason=None, traceback=None, assignee="SYSTEM")
        .returning(ProcessTable.process_id)
    )
    return result.first() is not None


def hold(process_id: ProcessId, run_id: str) -> None:
    """Take the row of a process for the rest of the transaction. Raises RunMayNotAct if the run may act no longer.

    Whoever changes subscriptions too takes the process first, so that two of them never wait for each other.
    """
    held = current_session().execute(HOLD, {OF_PROCESS: process_id, BY_RUN: run_id})
    if held.first() is None:
        _refuse(process_id, run_id)


def _refuse(process_id: ProcessId, run_id: str) -> NoReturn:
    process = get_process(process_id)
    raise RunMayNotAct(
        f"Run {run_id} may no longer act for process {process_id}, which is {process.last_status}, in the hands of run "
        f"{process.run_id}; what this step did to the database has been rolled back."
    )


def record_step(record: StepRecord, *, status: ProcessStatus = ProcessStatus.RUNNING) -> None:
    """Write a committed step: the process's state, status and last step, and the ledger's line, in one statement.

    It takes the row of the process, and only for the run that may act. An earlier failed attempt of the step is
    overwritten and counted. Raises RunMayNotAct when the run may act no longer, or the ledger has the step already.
    """
    written = _write(
        RECORD_STEP,
        record,
        by_run=record.run_id,
        state_set=record.set,
        state_removed=list(record.removed),
        new_last_status=status,
        new_last_step=record.name,
    )
    if not written:
        _refuse(record.process_id, record.run_id)


def record_failure(
    record: StepRecord, *, status: ProcessStatus, reason: str, traceback: str, assignee: str = "SYSTEM"
) -> bool:
    """Write a failed attempt, in a transaction of its own. False if it may not be written.

    It may not when the ledger says that the step is committed after all (the commit's answer was lost), or when the
    run no longer acts for the process.
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


def abort(process_id: ProcessId, *, user: str) -> None:
    """End a process for good and let go of what it holds; what it changed stays, and stays out of sync.

    A run that is at work for it commits nothing more: its step rolls back. Raises UnknownProcess, and ProcessError for
    a process that has ended already.
    """
    ended = (
        update(ProcessTable)
        .where(ProcessTable.process_id == process_id, ProcessTable.last_status.not_in(_FINAL))
        .values(last_status=ProcessStatus.ABORTED, last_step=ABORTED, last_modified_at=func.clock_timestamp())
        .returning(ProcessTable.process_id, ProcessTable.run_id)
    )
    row = current_session().execute(ended).first()
    if row is None:
        raise ProcessError(f"Process {process_id} is {get_process(process_id).last_status}; it cannot be aborted.")
    now = datetime.now(UTC)
    line = StepRecord(process_id, ABORT_KEY, ABORTED, StepStatus.ABORT, row.run_id or "", user, now, {})
    _write(ADD_LINE, line)
    release(process_id, in_sync=False)


def storable(text: str) -> str:
    """Text as PostgreSQL can keep it: without NUL and half surrogate pairs."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def _write(statement: Executable, record: StepRecord, **values: Any) -> bool:
    """Write a line of the ledger; False if the process is not to be had, or if the step is committed already."""
    parameters = {OF_PROCESS: record.process_id, **line_parameters(record), **values}
    return current_session().execute(statement, parameters).first() is not None


# --- subscriptions that a process works on ---


def link(process_id: ProcessId, subscription_id: SubscriptionId) -> None:
    """Remember that a process touched a subscription. May be done twice."""
    current_session().execute(
        insert(ProcessSubscriptionTable)
        .values(process_id=process_id, subscription_id=subscription_id)
        .on_conflict_do_nothing()
    )


def lock(process_id: ProcessId, subscription_id: SubscriptionId, *, unsync: bool) -> None:
    """Make a process the one writer of a subscription; `unsync` puts the subscription out of sync with it.

    The column holds one process, and this update takes it only when nobody has it, so two writers cannot be. May be
    done twice by the same process. Raises SubscriptionLocked naming the holder, UnknownSubscription.
    """
    values: dict[str, Any] = {"locked_by": process_id}
    if unsync:
        values["insync"] = False
    taken = current_session().execute(
        update(SubscriptionTable)
        .where(
            SubscriptionTable.subscription_id == subscription_id,
            or_(SubscriptionTable.locked_by.is_(None), SubscriptionTable.locked_by == process_id),
        )
        .values(**values)
        .returning(SubscriptionTable.subscription_id)
    )
    if taken.first() is None:
        raise_locked(subscription_id)


def raise_locked(subscription_id: SubscriptionId) -> None:
    """Raise SubscriptionLocked naming who holds the subscription, and what the reader can do about it."""
    holder = (
        current_session()
        .execute(
            select(ProcessTable, WorkflowTable.name)
            .join(SubscriptionTable, SubscriptionTable.locked_by == ProcessTable.process_id)
            .join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
            .where(SubscriptionTable.subscription_id == subscription_id)
        )
        .first()
    )
    if holder is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}, or it was let go just now; try again.")
    process, workflow_name = holder
    status = ProcessStatus(process.last_status)
    advice = "wait for it"
    if status.is_failure:
        advice = f"continue it with `orchestrator resume {process.process_id}` once the cause is gone"
    raise SubscriptionLocked(
        f"Subscription {subscription_id} is being changed by process {process.process_id} "
        f"({workflow_name}, {status}, last step {process.last_step!r}): {advice}."
    )


def release(process_id: ProcessId, *, in_sync: bool) -> None:
    """Let go of every subscription that a process holds. May be done twice.

    `in_sync` puts those in sync that the process was started on or has made; what it only changed on its way keeps the
    mark that it had.
    """
    values: dict[str, Any] = {"locked_by": None}
    if in_sync:
        own = select(ProcessSubscriptionTable.subscription_id).where(ProcessSubscriptionTable.process_id == process_id)
        values["insync"] = or_(SubscriptionTable.insync, SubscriptionTable.subscription_id.in_(own))
    current_session().execute(
        update(SubscriptionTable).where(SubscriptionTable.locked_by == process_id).values(**values)
    )


def mark_drifted(subscription_id: SubscriptionId, version: int | None) -> bool:
    """Put a subscription out of sync because reality differs, unless somebody holds it or has changed it since."""
    query = update(SubscriptionTable).where(
        SubscriptionTable.subscription_id == subscription_id, SubscriptionTable.locked_by.is_(None)
    )
    if version is not None:
        query = query.where(SubscriptionTable.version == version)
    marked = current_session().execute(query.values(insync=False).returning(SubscriptionTable.subscription_id))
    return marked.first() is not None


def status_counts() -> dict[tuple[str, bool], int]:
    """How many processes there are in each status; the second of the key says whether they are tasks."""
    rows = current_session().execute(
        select(ProcessTable.last_status, ProcessTable.is_task, func.count()).group_by(text("1, 2"))
    )
    return {(status, is_task): count for status, is_task, count in rows}
