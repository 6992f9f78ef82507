"""Lists of processes: read-only, without their states."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import ProcessSubscriptionTable, ProcessTable, SubscriptionTable, Table, WorkflowTable
from resources.domain.saving.headers import SubscriptionHeader, select_headers
from resources.errors import UnknownProcess
from resources.processes.process_fields import PROCESS_FIELDS
from resources.subscriptions.list_fields import Column, Condition, FieldText, Page
from resources.subscriptions.lists import page_ids
from resources.types import ProcessId, ProcessStatus, Target


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """A process as lists show it."""

    process_id: ProcessId
    workflow_name: str
    target: Target
    is_task: bool
    status: ProcessStatus
    assignee: str
    last_step: str | None
    failed_reason: str | None
    created_by: str | None
    note: str | None
    run_id: str | None
    parent_process_id: ProcessId | None
    started_at: datetime
    last_modified_at: datetime
    workflow_id: UUID
    location: str | None


_LINES = sa.select(
    ProcessTable.process_id,
    WorkflowTable.name,
    WorkflowTable.target,
    ProcessTable.is_task,
    ProcessTable.last_status,
    ProcessTable.assignee,
    ProcessTable.last_step,
    ProcessTable.failed_reason,
    ProcessTable.created_by,
    ProcessTable.note,
    ProcessTable.run_id,
    ProcessTable.parent_process_id,
    ProcessTable.started_at,
    ProcessTable.last_modified_at,
    WorkflowTable.workflow_id,
    ProcessTable.location,
).join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
BESIDE: Mapping[type[Table], Condition] = {WorkflowTable: WorkflowTable.workflow_id == ProcessTable.workflow_id}
"""The table beside processes that an order may be of, and how it is joined."""


def list_processes(
    where: Sequence[Condition] = (), order: Sequence[Column] = (), *, limit: int = 20, offset: int = 0
) -> list[ProcessLine]:
    """One page, in one statement; the newest first unless ordered. The conditions come from PROCESS_FIELDS.

    The id breaks ties, so pages neither overlap nor miss.
    """
    process, order = ProcessTable, order or [ProcessTable.started_at.desc()]
    page = page_ids(process.process_id, where, order, limit=limit, offset=offset, beside=BESIDE)
    query = _LINES.join(page, page.c.process_id == process.process_id).order_by(*order, process.process_id)
    return [_line(row) for row in current_session().execute(query)]


def count_processes(where: Sequence[Condition] = ()) -> int:
    """How many fit all conditions; one statement."""
    return current_session().scalar(sa.select(sa.func.count()).select_from(ProcessTable).where(*where)) or 0


def find_processes(
    filters: Sequence[FieldText] = (),
    sort: Sequence[FieldText] = (),
    *,
    search: str = "",
    limit: int = 20,
    offset: int = 0,
) -> Page[ProcessLine]:
    """Those that search and filters leave, as PROCESS_FIELDS reads them; two statements. Raises InvalidQuery."""
    where = [PROCESS_FIELDS.search(search), *PROCESS_FIELDS.conditions(filters)]
    order = PROCESS_FIELDS.ordering(sort)
    total = count_processes(where)
    return Page(list_processes(where, order, limit=limit, offset=offset) if offset < total else [], total)


def linked_subscriptions(process_ids: Collection[ProcessId]) -> dict[ProcessId, list[SubscriptionHeader]]:
    """The subscriptions that processes have touched, in that order; one statement."""
    link = ProcessSubscriptionTable
    query = (
        select_headers(link.process_id)
        .join(link, link.subscription_id == SubscriptionTable.subscription_id)
        .where(link.process_id.in_(process_ids))
        .order_by(link.created_at, link.subscription_id)
    )
    found: dict[ProcessId, list[SubscriptionHeader]] = {process_id: [] for process_id in process_ids}
    for row in current_session().execute(query):
        found[row.process_id].append(SubscriptionHeader.of(row))
    return found


def process_line(process_id: ProcessId) -> ProcessLine:
    """One process. Raises UnknownProcess."""
    row = current_session().execute(_LINES.where(ProcessTable.process_id == process_id)).one_or_none()
    if row is None:
        raise UnknownProcess(f"There is no process {process_id}; `orchestrator process list` shows those there are.")
    return _line(row)


def _line(row: sa.Row[*tuple[Any, ...]]) -> ProcessLine:
    process_id, name, target, is_task, status, *rest = row
    return ProcessLine(process_id, name, Target(target), is_task, ProcessStatus(status), *rest)
