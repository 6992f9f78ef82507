"""Creates, changes and removes schedules at run time: everything is checked before it is stored."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from ops.starting.admission import StartRequest
from ops.starting.firing import made_as
from ops.starting.permission import check_may_start
from ops.starting.schedule_inputs import check_inputs
from ops.steps.forms import as_pages
from ops.steps.workflow import Workflow
from orchestrator_defs.processes.processes import Processes
from resources import clock
from resources.catalogue import entries
from resources.catalogue.entries import CatalogueWorkflow
from resources.database import time_limit
from resources.errors import ScheduleInvalid
from resources.processes import schedules
from resources.processes.due_times import Missed
from resources.processes.schedules import Schedule
from resources.processes.triggers import check_trigger, next_run

log = logging.getLogger(__name__)


class Scheduling:
    """The schedules of the processes that are served here. A user who may start a workflow may schedule it.

    `check` is the caller's authorisation, called with the workflow's name and `start`; it raises NotAuthorised.
    """

    def __init__(self, processes: Processes, check: Callable[[str, str], None] = lambda _name, _action: None) -> None:
        self.processes = processes
        self.check = check
        self.served = processes.served

    def create(
        self,
        *,
        workflow_id: UUID | None,
        workflow_name: str | None,
        name: str | None,
        trigger: str,
        trigger_kwargs: Mapping[str, Any],
        inputs: Any,
        user: str,
        missed: str = Missed.LAST,
        grace_seconds: int | None = None,
    ) -> Schedule:
        """Create a schedule, with its workflow's name by default, which starts processes as this user. Commits.

        Raises UnknownWorkflow, NotAuthorised, FormInvalid, StartRefused, and ScheduleInvalid when the trigger cannot be
        used or never fires, or the inputs are incomplete; FormTimedOut after the context's time limit. Then nothing was
        written.
        """
        database = self.processes.database
        with database.transaction(read_only=True):
            row = _row(workflow_id, workflow_name)
        workflow = self.served.workflow(row.name)
        self._ask(workflow, user)
        kept, next_run_at = _fit(trigger, trigger_kwargs)
        pages = self._inputs(workflow, inputs, user)
        with database.transaction():
            schedule_id = schedules.add_schedule(
                name=name or row.description,
                workflow_id=row.workflow_id,
                trigger=trigger,
                trigger_kwargs=kept,
                inputs=pages,
                created_by=user,
                next_run_at=next_run_at,
                missed=missed,
                grace_seconds=grace_seconds,
                made_as=made_as(user),
            )
            made = schedules.get_schedule(schedule_id)
            time_limit.decide()
        log.info("Schedule %s of %s was made by %r.", schedule_id, row.name, user)
        return made

    def change(
        self,
        schedule_id: UUID,
        *,
        name: str | None = None,
        trigger: str | None = None,
        trigger_kwargs: Mapping[str, Any] | None = None,
        inputs: Any = None,
        user: str,
        **more: Any,
    ) -> Schedule:
        """Change a schedule, which then starts processes as this user; `more`: `missed`, `grace_seconds`. Commits.

        Raises as `create`, and UnknownSchedule.
        """
        with self.processes.database.transaction(read_only=True):
            found = schedules.get_schedule(schedule_id)
        workflow = self.served.workflow(found.workflow_name)
        self._ask(workflow, user)
        changes: dict[str, Any] = {**more, "made_as": made_as(user)} | ({} if name is None else {"name": name})
        if trigger is not None or trigger_kwargs is not None:
            kind = trigger or found.trigger
            kept, next_run_at = _fit(kind, trigger_kwargs or {})
            changes |= {"trigger": kind, "trigger_kwargs": kept, "next_run_at": next_run_at}
        if inputs is not None:
            changes["inputs"] = self._inputs(workflow, inputs, user)
        with self.processes.database.transaction():
            schedules.get_schedule(schedule_id, for_update=True)
            schedules.change_schedule(schedule_id, **changes)
            changed = schedules.get_schedule(schedule_id)
            time_limit.decide()
        log.info("Schedule %s of %s was changed by %r.", schedule_id, found.workflow_name, user)
        return changed

    def remove(self, schedule_id: UUID, *, workflow_id: UUID | None = None, user: str) -> Schedule:
        """Delete a schedule, also of a workflow that the code no longer has, and return it. Commits.

        Raises UnknownSchedule, NotAuthorised, and ScheduleInvalid when it is of another workflow than this.
        """
        with self.processes.database.transaction():
            found = schedules.get_schedule(schedule_id, for_update=True)
            if workflow_id not in (None, found.workflow_id):
                raise ScheduleInvalid(
                    f"Schedule {schedule_id} is of workflow {found.workflow_id} ({found.workflow_name}), not of"
                    f" {workflow_id}."
                )
            self.check(found.workflow_name, "start")
            if (workflow := self.served.workflows.get(found.workflow_name)) is not None:
                check_may_start(workflow, user)
            schedules.remove_schedule(schedule_id)
        log.info("Schedule %s of %s was removed by %r.", schedule_id, found.workflow_name, user)
        return found

    def _ask(self, workflow: Workflow, user: str) -> None:
        self.check(workflow.name, "start")
        check_may_start(workflow, user)

    def _inputs(self, workflow: Workflow, inputs: Any, user: str) -> list[Any]:
        pages = as_pages(inputs)
        with (
            self.processes.form_resources(workflow) as resources,
            self.processes.database.transaction(read_only=True),
        ):
            return check_inputs(StartRequest(workflow, pages, user, uuid4(), None, resources=resources))


def _row(workflow_id: UUID | None, workflow_name: str | None) -> CatalogueWorkflow:
    """The catalogue's row of a workflow that is given by id, by name, or by both."""
    if workflow_id is None and workflow_name is None:
        raise ScheduleInvalid("A schedule needs a workflow: give workflow_id or workflow_name.")
    if workflow_id is None:
        return entries.workflow_named(str(workflow_name))
    row = entries.get_workflow(workflow_id)
    if workflow_name not in (None, row.name):
        raise ScheduleInvalid(f"Workflow {workflow_id} is {row.name}, not {workflow_name!r}; give one of the two.")
    return row


def _fit(trigger: str, trigger_kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], datetime]:
    """A trigger's arguments as stored, and when it first fires."""
    kept = check_trigger(trigger, trigger_kwargs)
    next_run_at = next_run(trigger, kept, after=clock.now())
    if next_run_at is None:
        raise ScheduleInvalid(f"The {trigger} trigger never fires: its moments have passed, or there are none.")
    return kept, next_run_at
