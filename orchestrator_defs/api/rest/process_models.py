"""Processes as JSON: the shapes that clients read and send."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ops.starting.process_detail import PendingForm, PendingStep, ProcessDetail, StepDetail
from ops.steps.state import readable
from orchestrator_defs.api.rest.fields import JsonObject, Shape, Text, UnixTime
from resources.domain.saving.headers import SubscriptionHeader
from resources.processes.interventions import LONGEST_NOTE
from resources.processes.process_lists import ProcessLine
from resources.types import ProcessStatus, StepStatus, SubscriptionLifecycle, Target

EXAMPLE_ID = "5a3f1c1e-6d0b-4a7e-9d1c-0d6f2f1f7b11"
EXAMPLE_SUBSCRIPTION = "8f0a2f4c-2f0e-4d8c-8a55-0c8d6a1f9f02"

PENDING = "pending"

Page = JsonObject
"""What was filled in on one page: field to value."""
Pages = Annotated[list[Page], Field(fail_fast=True)]
"""Validation stops at the first invalid page: a body with a million of them is not answered with a million errors."""


class ProcessReference(BaseModel):
    """A process, by its id."""

    id: UUID = Field(examples=[EXAMPLE_ID])


class Note(BaseModel):
    """A note on a process."""

    note: Annotated[str, Field(max_length=LONGEST_NOTE)] | None = Field(
        description="the note, null for none", examples=["Waits for the new fibre."]
    )


class Skip(BaseModel):
    """What a person did instead of the step."""

    reason: Text = Field(min_length=1, max_length=10_000, examples=["The device was set by hand."])
    changes: JsonObject = Field({}, description="what the step would have added to the state")
    removed: list[Text] = Field([], description="keys that it would have removed")


class Back(BaseModel):
    """Where a process is sent back to."""

    step: Text = Field(description="the key of a committed step", max_length=255, examples=["configure_device"])
    reason: Text = Field(min_length=1, max_length=10_000, examples=["The device was exchanged."])


class StepReference(BaseModel):
    """A step, by its key."""

    step: str = Field(examples=["configure_device"])


class Count(BaseModel):
    """How many."""

    count: int = Field(ge=0, examples=[3])


class Received(BaseModel):
    """The outcome of a callback."""

    verdict: str = Field(description="resumed, stored, answered before, or noted", examples=["resumed"])


class StatusCounts(BaseModel):
    """How many processes and tasks there are in each status; statuses without any are left out."""

    process_counts: dict[str, int] = Field(examples=[{"completed": 120, "suspended": 1}])
    task_counts: dict[str, int] = Field(examples=[{"completed": 900, "failed": 2}])


class ProductOfSubscription(Shape):
    """The product of a subscription."""

    product_id: UUID = Field(examples=["2f6f2a1a-5b3e-5b43-8f0a-9c1a5a7f6a10"])
    name: str = Field(examples=["Node"])
    tag: str = Field(examples=["NODE"])
    product_type: str = Field(examples=["Node"])


class SubscriptionOfProcess(Shape):
    """A subscription that a process has touched."""

    subscription_id: UUID = Field(examples=[EXAMPLE_SUBSCRIPTION])
    description: str = Field(examples=["Node ams1"])
    status: SubscriptionLifecycle
    insync: bool
    customer_id: str
    note: str | None
    start_date: UnixTime | None
    end_date: UnixTime | None
    product: ProductOfSubscription


class Process(BaseModel):
    """A process as lists show it."""

    process_id: UUID = Field(examples=[EXAMPLE_ID])
    workflow_id: UUID
    workflow_name: str = Field(examples=["create_node"])
    workflow_target: Target
    is_task: bool
    last_status: ProcessStatus
    last_step: str | None = Field(examples=["Configure device"])
    assignee: str = Field(examples=["SYSTEM"])
    failed_reason: str | None
    created_by: str | None = Field(examples=["ada"])
    started_at: UnixTime
    last_modified_at: UnixTime
    note: str | None
    run_id: str | None = Field(description="the newest Dagster run", examples=[EXAMPLE_ID])
    parent_process_id: UUID | None
    product_id: UUID | None = Field(description="of its first subscription")
    customer_id: str | None = Field(description="of its first subscription")
    subscriptions: list[SubscriptionOfProcess]

    @classmethod
    def of(cls, line: ProcessLine, linked: list[SubscriptionHeader], **more: Any) -> "Process":
        """A row of a list with its subscriptions; `more` are the fields of a subclass."""
        same = (
            *("process_id", "workflow_id", "is_task", "last_step", "assignee", "failed_reason", "created_by"),
            *("started_at", "last_modified_at", "note", "run_id", "parent_process_id"),
        )
        return cls(
            **{name: getattr(line, name) for name in same},
            workflow_name=line.workflow_name,
            workflow_target=line.target,
            last_status=line.status,
            product_id=linked[0].product.product_id if linked else None,
            customer_id=linked[0].customer_id if linked else None,
            subscriptions=[SubscriptionOfProcess.model_validate(one) for one in linked],
            **more,
        )


class ProcessStep(BaseModel):
    """A line of the ledger, or a step that has not started, whose status is `pending`.

    The state after each step is left out, since it would be repeated for every step: `state_delta` and `removed` say
    what the step changed, and `current_state` of the process is the sum.
    """

    step_id: UUID | None
    key: str = Field(examples=["configure_device"])
    name: str = Field(examples=["Configure device"])
    status: StepStatus | str = Field(examples=["success"])
    state_delta: dict[str, JsonValue] | None = Field(
        description="what the step set in the state; for a failed or skipped step, the reason"
    )
    removed: list[str] = Field(description="the keys that it removed from the state")
    attempts: int
    created_by: str | None
    started: UnixTime | None
    completed: UnixTime | None
    executed: UnixTime | None = Field(description="the same as `completed`")
    run_id: str | None
    commit_hash: str | None = Field(description="the version of the code that did it, if that was known")

    @classmethod
    def of(cls, step: StepDetail | PendingStep) -> "ProcessStep":
        """A step that was attempted, or is pending."""
        if isinstance(step, PendingStep):
            unknown = ("step_id", "state_delta", "created_by", "started", "completed", "executed")
            never: dict[str, Any] = dict.fromkeys((*unknown, "run_id", "commit_hash"))
            return cls(key=step.key, name=step.name, status=PENDING, removed=[], attempts=0, **never)
        why = step.error if isinstance(step.error, dict) else {"error": step.error} if step.error else {}
        return cls(
            step_id=step.step_id,
            key=step.key,
            name=step.name,
            status=step.status,
            state_delta=step.set | why,
            removed=step.removed,
            attempts=step.attempts,
            created_by=step.created_by,
            started=step.started_at,
            completed=step.finished_at,
            executed=step.finished_at,
            run_id=step.run_id,
            commit_hash=step.commit_hash,
        )


class Run(BaseModel):
    """A Dagster run of a process, and the page that shows it."""

    run_id: str = Field(examples=[EXAMPLE_ID])
    url: str = Field(examples=[f"/runs/{EXAMPLE_ID}"])


class ChildProcess(BaseModel):
    """A process that this one has started."""

    process_id: UUID = Field(examples=[EXAMPLE_ID])
    workflow_name: str
    last_status: ProcessStatus


class Waiting(BaseModel):
    """What a stopped process waits for."""

    kind: str = Field(examples=["input"])
    step_key: str
    since: UnixTime
    deadline: UnixTime | None
    reason: str | None
    progress: JsonValue = None


class Permissions(BaseModel):
    """What the user may do with a process, when it applies."""

    model_config = ConfigDict(populate_by_name=True)

    retry_allowed: bool = Field(serialization_alias="retryAllowed")
    resume_allowed: bool = Field(serialization_alias="resumeAllowed")


class ProcessWithSteps(Process):
    """All of a process. Secrets are masked, and tokens are not in it."""

    current_state: dict[str, JsonValue] = Field(
        description="the state; in it `subscription` is the newest document of the subscription that the process has "
        "written, and `__old_subscriptions__` has the one that it started from, by id"
    )
    steps: list[ProcessStep]
    form: dict[str, JsonValue] | None = Field(description="the JSON schema of the page that somebody has to fill")
    form_meta: JsonValue = Field(description="further data of the page for the client")
    form_error: str | None = Field(description="why a required form cannot be shown")
    traceback: str | None
    waits: list[Waiting]
    children: list[ChildProcess]
    runs: list[Run]
    user_permissions: Permissions

    @classmethod
    def of_detail(
        cls,
        detail: ProcessDetail,
        linked: list[SubscriptionHeader],
        *,
        state: dict[str, Any],
        pending_form: PendingForm,
        runs: list[Run],
        permissions: Permissions,
    ) -> "ProcessWithSteps":
        """Put it together."""
        waits = ("kind", "step_key", "since", "deadline", "reason", "progress")
        found = cls.of(
            detail.line,
            linked,
            current_state=state,
            steps=[*map(ProcessStep.of, detail.steps), *map(ProcessStep.of, detail.pending)],
            form=readable(pending_form.form),  # a default may be anything
            form_meta=readable(pending_form.meta),
            form_error=pending_form.error,
            traceback=detail.traceback,
            waits=[Waiting(**{name: getattr(wait, name) for name in waits}) for wait in detail.waits],
            children=[
                ChildProcess(process_id=one.process_id, workflow_name=one.workflow_name, last_status=one.status)
                for one in detail.children
            ],
            runs=runs,
            user_permissions=permissions,
        )
        assert isinstance(found, ProcessWithSteps), "a class method creates its own class"
        return found
