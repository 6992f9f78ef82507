"""Schedules made at run time: which workflow starts when, with which inputs; and the times at which they fired.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.database.fleet_tables import FiringTable
from resources.database.session import current_session
from resources.database.tables import ScheduleTable, WorkflowTable
from resources.errors import UnknownSchedule


@dataclass(frozen=True, slots=True)
class Firing:
    """A time at which a schedule started a process, or why it started none; `left_out`: missed times before it."""

    due_at: datetime
    fired_at: datetime
    process_id: UUID | None
    refusal: str | None
    left_out: int


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
    missed: str
    grace_seconds: int | None
    made_as: Mapping[str, Any] | None
    workflow_owner: str | None
    last_run: Firing | None = None

    @property
    def starts_as(self) -> str | None:
        """As whom it starts processes: who made it, or changed it last."""
        return self.created_by if self.made_as is None else str(self.made_as["name"])

    @property
    def rights_at(self) -> datetime:
        """When the roles of this user were recorded."""
        at = (self.made_as or {}).get("at")
        return datetime.fromisoformat(at) if at else self.created_at


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
    ScheduleTable.missed,
    ScheduleTable.grace_seconds,
    ScheduleTable.made_as,
    WorkflowTable.owner,
)
_FIRING = (
    FiringTable.due_at,
    FiringTable.fired_at,
    FiringTable.process_id,
    FiringTable.refusal,
    FiringTable.left_out,
)


def list_schedules(*, limit: int, offset: int = 0) -> list[Schedule]:
    """One page of schedules by name."""
    return _read(_query().order_by(ScheduleTable.name, ScheduleTable.schedule_id).limit(limit).offset(offset))


def get_schedule(schedule_id: UUID, *, for_update: bool = False) -> Schedule:
    """One schedule; `for_update` locks it until the transaction ends. Raises UnknownSchedule."""
    query = _query().where(ScheduleTable.schedule_id == schedule_id)
    if found := _read(query.with_for_update(of=ScheduleTable) if for_update else query):
        return found[0]
    raise UnknownSchedule(f"There is no schedule {schedule_id}; `orchestrator schedules list` shows those there are.")


def find_schedule_id(beginning: str) -> UUID:
    """The one schedule whose id begins so. Raises UnknownSchedule."""
    text = sa.cast(ScheduleTable.schedule_id, sa.String)
    query = sa.select(ScheduleTable.schedule_id).where(text.startswith(beginning.lower(), autoescape=True)).limit(2)
    found = list(current_session().scalars(query))
    if len(found) == 1:
        return found[0]
    number = "more than one schedule" if found else "no schedule"
    raise UnknownSchedule(f"There is {number} whose id begins with {beginning!r}: see `orchestrator schedules list`.")


def due_schedules(
    now: datetime, owners: Collection[str], *, limit: int, without: Collection[UUID] = ()
) -> list[Schedule]:
    """Schedules whose time has come and whose workflow is of these owners, the longest due first."""
    query = _query().where(ScheduleTable.next_run_at <= now, ScheduleTable.schedule_id.not_in(without))
    query = query.where(_owned_by(owners)).order_by(ScheduleTable.next_run_at, ScheduleTable.schedule_id)
    return _read(query.limit(limit))


def in_trouble(late: datetime, owners: Collection[str], known: Collection[str], limit: int) -> list[Schedule]:
    """Schedules of these owners that are late, were refused last, or have no known workflow; by name."""
    fails = sa.or_(ScheduleTable.next_run_at < late, WorkflowTable.name.not_in(known))
    refused = sa.literal_column("newest.refusal").is_not(None)
    has_trouble = sa.or_(refused, sa.and_(ScheduleTable.next_run_at.is_not(None), fails))
    return _read(_query().where(_owned_by(owners), has_trouble).order_by(ScheduleTable.name).limit(limit))


def lock_unchanged(schedule: Schedule) -> bool:
    """Lock a schedule until the transaction ends; False when it has fired or changed since, or another locks it."""
    query = _query().where(ScheduleTable.schedule_id == schedule.schedule_id)
    return _read(query.with_for_update(of=ScheduleTable, skip_locked=True)) == [schedule]


def add_schedule(
    *,
    name: str,
    workflow_id: UUID,
    trigger: str,
    trigger_kwargs: Mapping[str, Any],
    inputs: list[Any],
    created_by: str,
    next_run_at: datetime | None,
    **more: Any,
) -> UUID:
    """Add a schedule, with `more` of its columns; its id."""
    row = sa.insert(ScheduleTable).values(
        name=name,
        workflow_id=workflow_id,
        trigger=trigger,
        trigger_kwargs=dict(trigger_kwargs),
        inputs=inputs,
        created_by=created_by,
        next_run_at=next_run_at,
        **more,
    )
    return current_session().execute(row.returning(ScheduleTable.schedule_id)).scalar_one()


def change_schedule(schedule_id: UUID, **changes: Any) -> None:
    """Change columns of a schedule."""
    if changes:
        statement = sa.update(ScheduleTable).where(ScheduleTable.schedule_id == schedule_id)
        current_session().execute(statement.values(changes))


def remove_schedule(schedule_id: UUID) -> None:
    """Remove a schedule, with its firings."""
    current_session().execute(sa.delete(ScheduleTable).where(ScheduleTable.schedule_id == schedule_id))


def add_firing(
    schedule_id: UUID, due_at: datetime, process_id: UUID | None, refusal: str | None, left_out: int
) -> Firing | None:
    """Note that a schedule fires; None when it has fired at this time before."""
    values = {"schedule_id": schedule_id, "due_at": due_at, "process_id": process_id, "refusal": refusal}
    row = insert(FiringTable).values(**values, left_out=left_out).on_conflict_do_nothing()
    made = current_session().execute(row.returning(*_FIRING)).one_or_none()
    return Firing(*made) if made else None


def firings_of(schedule_id: UUID, *, limit: int) -> list[Firing]:
    """When a schedule fired, the newest first."""
    query = sa.select(*_FIRING).where(FiringTable.schedule_id == schedule_id).order_by(FiringTable.due_at.desc())
    return [Firing(*row) for row in current_session().execute(query.limit(limit))]


def _owned_by(owners: Collection[str]) -> sa.ColumnElement[bool]:
    """Whether the workflow is of one of these locations, or of all."""
    return sa.or_(WorkflowTable.owner.is_(None), WorkflowTable.owner.in_(owners))


def _query() -> sa.Select[*tuple[Any, ...]]:
    of_schedule = FiringTable.schedule_id == ScheduleTable.schedule_id
    newest = sa.select(*_FIRING).where(of_schedule).order_by(FiringTable.due_at.desc()).limit(1).lateral("newest")
    columns = sa.select(*_SCHEDULE, *newest.columns)
    workflow = WorkflowTable.workflow_id == ScheduleTable.workflow_id
    return columns.join(WorkflowTable, workflow).outerjoin(newest, sa.true())


def _read(query: sa.Select[*tuple[Any, ...]]) -> list[Schedule]:
    end = len(_SCHEDULE)
    rows = current_session().execute(query)
    return [Schedule(*(*row[:end], Firing(*row[end:]) if row[end] else None)) for row in rows]
