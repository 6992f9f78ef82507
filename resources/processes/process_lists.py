"""Lists of processes: read-only, without their states."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import (
    ProcessSubscriptionTable,
    ProcessTable,
    ProductTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.errors import UnknownProcess
from resources.processes.process_fields import PROCESS_FIELDS
from resources.subscriptions.list_fields import FieldText
from resources.types import ProcessId, ProcessStatus, SubscriptionId, SubscriptionLifecycle, Target

Query = TypeVar("Query", bound="sa.Select[*tuple[Any, ...]]")
Columns: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """A process as lists show it."""

    process_id: ProcessId
    workflow: str
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


@dataclass(frozen=True, slots=True)
class LinkedSubscription:
    """A subscription that a process has touched."""

    subscription_id: SubscriptionId
    description: str
    status: SubscriptionLifecycle
    insync: bool
    customer_id: str
    note: str | None
    start_date: datetime | None
    end_date: datetime | None
    product_id: UUID
    product_name: str
    product_tag: str
    product_type: str


@dataclass(frozen=True, slots=True)
class ProcessPage:
    """A part of a list, and how long the whole list is."""

    lines: list[ProcessLine]
    total: int


@dataclass(frozen=True, slots=True)
class ProcessFilter:
    """Which processes; what is None or empty does not matter."""

    statuses: Collection[ProcessStatus] = ()
    workflow: str | None = None
    is_task: bool | None = None
    subscription_id: SubscriptionId | None = None
    parent_process_id: ProcessId | None = None
    created_by: str | None = None


EVERY_PROCESS = ProcessFilter()


def list_processes(where: ProcessFilter = EVERY_PROCESS, *, limit: int = 20, offset: int = 0) -> list[ProcessLine]:
    """The newest first, in one statement."""
    query = _matching(sa.select(*_columns()), where)
    query = query.order_by(ProcessTable.started_at.desc(), ProcessTable.process_id).limit(limit).offset(offset)
    return [_line(row) for row in current_session().execute(query)]


def find_processes(
    filters: Sequence[FieldText] = (), sort: Sequence[FieldText] = (), *, limit: int = 20, offset: int = 0
) -> ProcessPage:
    """Those that all filters leave, as `PROCESS_FIELDS` reads them; the newest first unless sorted; two statements.

    The id breaks ties, so pages neither overlap nor miss. Raises InvalidQuery.
    """
    conditions = PROCESS_FIELDS.conditions(filters)
    order = PROCESS_FIELDS.ordering(sort) or [ProcessTable.started_at.desc()]
    counted = sa.select(sa.func.count()).select_from(ProcessTable).where(*conditions)
    total = current_session().scalar(counted) or 0
    if offset >= total:
        return ProcessPage([], total)
    query = _matching(sa.select(*_columns()), EVERY_PROCESS).where(*conditions)
    query = query.order_by(*order, ProcessTable.process_id).limit(limit).offset(offset)
    return ProcessPage([_line(row) for row in current_session().execute(query)], total)


def linked_subscriptions(process_ids: Collection[ProcessId]) -> dict[ProcessId, list[LinkedSubscription]]:
    """The subscriptions that processes have touched, in the order in which they did; in one statement."""
    link, subscription, product = ProcessSubscriptionTable, SubscriptionTable, ProductTable
    query = (
        sa.select(
            link.process_id,
            subscription.subscription_id,
            subscription.description,
            subscription.status,
            subscription.insync,
            subscription.customer_id,
            subscription.note,
            subscription.start_date,
            subscription.end_date,
            product.product_id,
            product.name,
            product.tag,
            product.product_type,
        )
        .join(subscription, subscription.subscription_id == link.subscription_id)
        .join(product, product.product_id == subscription.product_id)
        .where(link.process_id.in_(process_ids))
        .order_by(link.created_at, link.subscription_id)
    )
    found: dict[ProcessId, list[LinkedSubscription]] = {process_id: [] for process_id in process_ids}
    for process_id, subscription_id, description, status, *rest in current_session().execute(query):
        line = LinkedSubscription(subscription_id, description, SubscriptionLifecycle(status), *rest)
        found[process_id].append(line)
    return found


def count_processes(where: ProcessFilter = EVERY_PROCESS) -> int:
    """How many there are."""
    return current_session().scalar(_matching(sa.select(sa.func.count()), where)) or 0


def process_line(process_id: ProcessId) -> ProcessLine:
    """One process. Raises UnknownProcess."""
    query = _matching(sa.select(*_columns()), EVERY_PROCESS).where(ProcessTable.process_id == process_id)
    row = current_session().execute(query).one_or_none()
    if row is None:
        raise UnknownProcess(f"There is no process {process_id}; `orchestrator process list` shows those there are.")
    return _line(row)


def _columns() -> Columns:
    process, workflow = ProcessTable, WorkflowTable
    return (
        process.process_id,
        workflow.name,
        workflow.target,
        process.is_task,
        process.last_status,
        process.assignee,
        process.last_step,
        process.failed_reason,
        process.created_by,
        process.note,
        process.run_id,
        process.parent_process_id,
        process.started_at,
        process.last_modified_at,
        workflow.workflow_id,
    )


def _line(row: sa.Row[*tuple[Any, ...]]) -> ProcessLine:
    process_id, name, target, is_task, status, *rest = row
    return ProcessLine(process_id, name, Target(target), is_task, ProcessStatus(status), *rest)


def _matching(query: Query, where: ProcessFilter) -> Query:
    process, workflow = ProcessTable, WorkflowTable
    query = query.select_from(process).join(workflow, workflow.workflow_id == process.workflow_id)
    if where.statuses:
        query = query.where(process.last_status.in_(where.statuses))
    if where.subscription_id is not None:
        link = ProcessSubscriptionTable
        linked = sa.select(link.process_id).where(link.subscription_id == where.subscription_id)
        query = query.where(process.process_id.in_(linked))
    wanted = {
        workflow.name: where.workflow,
        process.is_task: where.is_task,
        process.parent_process_id: where.parent_process_id,
        process.created_by: where.created_by,
    }
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    return query
