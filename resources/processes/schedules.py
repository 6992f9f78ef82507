"""Schedules made at run time: which workflow starts when, with which inputs.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import ScheduleTable, WorkflowTable
from resources.errors import UnknownSchedule


@dataclass(frozen=True, slots=True)
class Schedule:
    """`inputs`: the pages of the workflow's form. `next_run_at`: None when it does not fire again."""

    schedule_id: UUID
    name: str
    workflow_id: UUID
    workflow_name: str
    trigger: str
    trigger_kwargs: Mapping[str, Any]
    inputs: list[Any]
    created_by: str | None
    created_at: datetime
    next_run_at: datetime | None


_SCHEDULE = (
    ScheduleTable.schedule_id,
    ScheduleTable.name,
    ScheduleTable.workflow_id,
    WorkflowTable.name,
    ScheduleTable.trigger,
    ScheduleTable.trigger_kwargs,
    ScheduleTable.inputs,
    ScheduleTable.created_by,
    ScheduleTable.created_at,
    ScheduleTable.next_run_at,
)


def list_schedules(*, limit: int, offset: int = 0) -> list[Schedule]:
    """One page of schedules by name."""
    query = _query().order_by(ScheduleTable.name, ScheduleTable.schedule_id).limit(limit).offset(offset)
    return [Schedule(*row) for row in current_session().execute(query)]


def get_schedule(schedule_id: UUID, *, for_update: bool = False) -> Schedule:
    """One schedule; `for_update` locks it until the transaction ends. Raises UnknownSchedule."""
    query = _query().where(ScheduleTable.schedule_id == schedule_id)
    if for_update:
        query = query.with_for_update(of=ScheduleTable)
    row = current_session().execute(query).one_or_none()
    if row is None:
        raise UnknownSchedule(f"There is no schedule {schedule_id}; GET /api/schedules/ lists those there are.")
    return Schedule(*row)


def add_schedule(
    *,
    name: str,
    workflow_id: UUID,
    trigger: str,
    trigger_kwargs: Mapping[str, Any],
    inputs: list[Any],
    created_by: str,
    next_run_at: datetime | None,
) -> UUID:
    """Add a schedule; its id."""
    row = sa.insert(ScheduleTable).values(
        name=name,
        workflow_id=workflow_id,
        trigger=trigger,
        trigger_kwargs=dict(trigger_kwargs),
        inputs=inputs,
        created_by=created_by,
        next_run_at=next_run_at,
    )
    return current_session().execute(row.returning(ScheduleTable.schedule_id)).scalar_one()


def change_schedule(schedule_id: UUID, **changes: Any) -> None:
    """Change columns of a schedule."""
    if changes:
        statement = sa.update(ScheduleTable).where(ScheduleTable.schedule_id == schedule_id)
        current_session().execute(statement.values(changes))


def remove_schedule(schedule_id: UUID) -> None:
    """Remove a schedule."""
    current_session().execute(sa.delete(ScheduleTable).where(ScheduleTable.schedule_id == schedule_id))


def _query() -> sa.Select[*tuple[Any, ...]]:
    return sa.select(*_SCHEDULE).join(WorkflowTable, WorkflowTable.workflow_id == ScheduleTable.workflow_id)
