"""Fires a schedule: the process, the firing and the next time are one commit, so each time fires exactly once."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid5

from ops.starting.admission import StartRequest, checked, write_start
from ops.steps.workflow import Workflow
from resources import clock
from resources.catalogue.kinds import ENGINE
from resources.database.session import SubscriptionDatabase
from resources.database.storable import storable
from resources.database.time_limit import in_time
from resources.errors import (
    REFUSALS,
    EnginePaused,
    NotAuthorised,
    OrchestratorError,
    ScheduleInvalid,
    StartRefused,
    TransportError,
    UnknownWorkflow,
)
from resources.processes import schedules
from resources.processes.due_times import Due, due_time
from resources.processes.schedules import Firing, Schedule
from resources.settings import settings
from resources.types import State
from resources.users import SYSTEM, Role, User

FORM_SECONDS = 20.0
"""How long a form may take; one that hangs must not keep the schedules behind it."""
LONGEST_REFUSAL = 2000
GONE = "The code has no workflow {} any more: remove the schedule, or bring the workflow back."
STALE = (
    "It starts as {!r}, whose roles were recorded on {:%F}, more than {} days ago (SCHEDULE_RIGHTS_DAYS). Whoever"
    " answers for it now changes it: `orchestrator schedules change {}`."
)
DOUBT = "The schedule is older than the record of its maker's roles: change it, which asks for them."


def fire(
    schedule: Schedule,
    workflow: Workflow | None,
    database: SubscriptionDatabase,
    resources_of: Callable[[Workflow], AbstractContextManager[Mapping[str, Any]]],
    now: datetime,
) -> Firing | None:
    """Fire a due schedule once, and commit; None when another fires it, or has just done so.

    A start that is refused, also by an error in its form, is a firing with the reason. Raises EnginePaused and
    TransportError; then nothing was written and the time is still due.
    """

    def check() -> tuple[StartRequest, State]:
        if due.refusal is not None:
            raise ScheduleInvalid(due.refusal)
        if workflow is None:
            raise UnknownWorkflow(GONE.format(schedule.workflow_name))
        with resources_of(workflow) as resources:
            request = _request(schedule, due, workflow, resources)
            return request, checked(request, database)

    due, start, refusal = due_time(schedule, now), None, None
    try:
        start = in_time(FORM_SECONDS, check)
    except (EnginePaused, TransportError):
        raise
    except Exception as error:  # noqa: BLE001  whatever a form raises, the schedules behind this one must fire
        if schedule.workflow_owner == ENGINE and isinstance(error, StartRefused) and "location" in error.details:
            return None  # the engine's workflow on another location's subscription, whose sensor fires it
        refusal = str(error) if isinstance(error, REFUSALS) else f"{type(error).__name__}: {error}"
    with database.transaction() as session:
        if not schedules.lock_unchanged(schedule):
            return None
        try:
            with session.begin_nested():
                if start is not None:
                    write_start(*start)
        except EnginePaused:
            raise
        except OrchestratorError as error:
            start, refusal = None, str(error)
        process_id = start[0].process_id if start else None
        refusal = refusal and storable(refusal)[:LONGEST_REFUSAL]
        schedules.change_schedule(schedule.schedule_id, next_run_at=due.next_run_at)
        return schedules.add_firing(schedule.schedule_id, due.at, process_id, refusal, due.left_out)


def _request(schedule: Schedule, due: Due, workflow: Workflow, resources: Mapping[str, Any]) -> StartRequest:
    process_id = uuid5(schedule.schedule_id, due.at.isoformat())
    _check_rights_are_recent(schedule)
    user = _user_of(schedule)
    return StartRequest(workflow, schedule.inputs, user, process_id, str(process_id), resources=resources)


def _check_rights_are_recent(schedule: Schedule) -> None:
    """Raise NotAuthorised when nobody has confirmed for too long that this user may do it."""
    days = settings().schedule_rights_days
    if days is not None and clock.now() - schedule.rights_at > timedelta(days=days):
        raise NotAuthorised(STALE.format(schedule.starts_as, schedule.rights_at, days, schedule.schedule_id))


def made_as(user: str) -> dict[str, Any]:
    """Who makes a schedule, as it is kept: each firing asks the workflow's role and callback about this user."""
    roles, claims = (user.roles, user.claims) if isinstance(user, User) else ((), {})
    known = {"name": str(user), "roles": sorted(roles), "at": clock.now().isoformat()}
    return known | {"claims": json.loads(json.dumps(dict(claims), default=str))}


def _user_of(schedule: Schedule) -> User:
    if (kept := schedule.made_as) is not None:
        return User(kept["name"], roles=[Role(role) for role in kept["roles"]], claims=kept["claims"])
    return SYSTEM if schedule.created_by in (None, SYSTEM) else User(str(schedule.created_by), doubt=DOUBT)
