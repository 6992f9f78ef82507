"""Schedules made at run time: list, create, change and remove them."""

from functools import partial
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from orchestrator_defs.api.dependencies import DatabaseDep, ProcessesDep, UserDep
from orchestrator_defs.api.form_threads import FormThreadsDep
from orchestrator_defs.api.rest.fields import JsonObject, Text, UnixTime
from orchestrator_defs.api.security.problems import problems
from orchestrator_defs.api.security.rights import WorkflowCheckDep
from orchestrator_defs.processes.scheduling import Scheduling
from resources.processes import schedules
from resources.processes.due_times import GRACE_SECONDS, Missed
from resources.processes.schedules import Schedule as KeptSchedule

router = APIRouter(prefix="/schedules", tags=["schedules"])

Kind = Literal["interval", "cron", "date"]
Name = Annotated[Text, Field(min_length=1, max_length=255, examples=["Every night"])]
Kwargs = Annotated[
    JsonObject,
    Field(
        description="the arguments of APScheduler's trigger of this name; `timezone` is UTC by default",
        examples=[{"hour": 0, "minute": 10}, {"hours": 4}, {"run_date": "2030-01-01T08:00:00", "timezone": "UTC"}],
    ),
]
Inputs = Annotated[
    list[JsonObject],
    Field(
        fail_fast=True,
        description="the complete pages of the workflow's form",
        examples=[[]],
    ),
]
MissedRule = Annotated[
    Missed,
    Field(description="what becomes of times that passed unfired: `all` fire, only the `last` does, or `none` does"),
]
Grace = Annotated[
    int | None,
    Field(ge=0, le=31_536_000, description=f"how late a time may fire and is not missed; {GRACE_SECONDS} when null"),
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CreateSchedule(_Request):
    """A workflow, by its id or its name, and when it is to start."""

    scheduled_type: Literal["create"] = "create"
    name: Name | None = Field(None, description="the workflow's description when not given")
    workflow_id: UUID | None = None
    workflow_name: Text | None = Field(None, examples=["task_clean_up_tasks"])
    trigger: Kind
    trigger_kwargs: Kwargs = Field(default_factory=dict)
    user_inputs: Inputs = Field(default_factory=list)
    missed: MissedRule = Missed.LAST
    grace_seconds: Grace = None


class UpdateSchedule(_Request):
    """The changes; fields that are not given stay."""

    scheduled_type: Literal["update"] = "update"
    schedule_id: UUID
    name: Name | None = None
    trigger: Kind | None = None
    trigger_kwargs: Kwargs | None = None
    user_inputs: Inputs | None = None
    missed: MissedRule | None = None
    grace_seconds: Grace = None


class DeleteSchedule(_Request):
    """Which schedule; `workflow_id` is checked when given."""

    scheduled_type: Literal["delete"] = "delete"
    schedule_id: UUID
    workflow_id: UUID | None = None


class Firing(BaseModel):
    """A time at which the schedule fired: the process that it started, or why it started none."""

    model_config = ConfigDict(from_attributes=True)

    due_at: UnixTime
    fired_at: UnixTime
    process_id: UUID | None
    refusal: str | None = Field(examples=["The form of paint is not valid: colour: Field required"])
    left_out: int = Field(description="how many missed times before it did not fire")


class Schedule(BaseModel):
    """Which workflow starts when, with which inputs."""

    schedule_id: UUID
    name: str
    workflow_id: UUID
    workflow_name: str = Field(examples=["task_clean_up_tasks"])
    trigger: str = Field(examples=["cron"])
    trigger_kwargs: dict[str, Any] = Field(examples=[{"hour": 0, "minute": 10}])
    user_inputs: list[Any] = Field(examples=[[]])
    created_by: str | None
    created_at: UnixTime
    next_run_at: UnixTime | None = Field(description="null when it never fires again")
    missed: MissedRule
    grace_seconds: Grace
    last_run: Firing | None = Field(description="null when it has not fired yet")
    starts_as: str | None = Field(description="who made or last changed it: as this user it starts processes")
    rights_at: UnixTime = Field(description="when the roles of this user were recorded")

    @classmethod
    def of(cls, kept: KeptSchedule, **more: Any) -> Self:
        """A schedule as clients see it."""
        fields = {
            name: getattr(kept, name) for name in Schedule.model_fields if name not in ("user_inputs", "last_run")
        }
        last = kept.last_run and Firing.model_validate(kept.last_run)
        return cls(**fields, user_inputs=kept.inputs, last_run=last, **more)


class Scheduled(Schedule):
    """The outcome, and the schedule as it is now, or was before its removal."""

    message: str = Field(examples=["The schedule was made."])
    status: Literal["CREATED", "UPDATED", "DELETED"]


@router.get("/", summary="List the schedules", responses=problems(422, 503))
def list_schedules(
    database: DatabaseDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[Schedule]:
    """Schedules made at run time, by name; schedules in the code belong to Dagster."""
    with database.transaction(read_only=True):
        found = schedules.list_schedules(limit=limit, offset=offset)
    return [Schedule.of(one) for one in found]


@router.get("/{schedule_id}/firings", summary="List when a schedule fired", responses=problems(404, 422, 503))
def list_firings(
    schedule_id: UUID, database: DatabaseDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[Firing]:
    """The times at which a schedule fired, the newest first, as far back as the retention keeps them."""
    with database.transaction(read_only=True):
        schedules.get_schedule(schedule_id)
        return [Firing.model_validate(one) for one in schedules.firings_of(schedule_id, limit=limit)]


@router.post("/", status_code=201, summary="Make a schedule", responses=problems(400, 403, 404, 412, 422, 503, 504))
@router.post("", status_code=201, include_in_schema=False)
async def create_schedule(
    ask: CreateSchedule, processes: ProcessesDep, forms: FormThreadsDep, user: UserDep, check: WorkflowCheckDep
) -> Scheduled:
    """Start a workflow by schedule, as you. Trigger, form and rights are checked now, and again at each firing."""
    create = partial(
        Scheduling(processes, check).create,
        workflow_id=ask.workflow_id,
        workflow_name=ask.workflow_name,
        name=ask.name,
        trigger=ask.trigger,
        trigger_kwargs=ask.trigger_kwargs,
        inputs=ask.user_inputs,
        user=user,
        missed=ask.missed,
        grace_seconds=ask.grace_seconds,
    )
    return Scheduled.of(await forms.run(create), message="The schedule was made.", status="CREATED")


@router.put("/", summary="Change a schedule", responses=problems(400, 403, 404, 412, 422, 503, 504))
@router.put("", include_in_schema=False)
async def update_schedule(
    ask: UpdateSchedule, processes: ProcessesDep, forms: FormThreadsDep, user: UserDep, check: WorkflowCheckDep
) -> Scheduled:
    """Change a schedule, which then starts processes as you. `trigger_kwargs` replaces all earlier ones."""
    more = ask.model_dump(include={"missed", "grace_seconds"}, exclude_unset=True)
    change = partial(
        Scheduling(processes, check).change,
        ask.schedule_id,
        name=ask.name,
        trigger=ask.trigger,
        trigger_kwargs=ask.trigger_kwargs,
        inputs=ask.user_inputs,
        user=user,
        **{name: value for name, value in more.items() if (name, value) != ("missed", None)},
    )
    return Scheduled.of(await forms.run(change), message="The schedule was changed.", status="UPDATED")


@router.delete("/", summary="Remove a schedule", responses=problems(400, 403, 404, 422, 503))
@router.delete("", include_in_schema=False)
def delete_schedule(ask: DeleteSchedule, processes: ProcessesDep, user: UserDep, check: WorkflowCheckDep) -> Scheduled:
    """Remove a schedule. Processes that it has started continue."""
    removed = Scheduling(processes, check).remove(ask.schedule_id, workflow_id=ask.workflow_id, user=user)
    return Scheduled.of(removed, message="The schedule was removed.", status="DELETED")
