"""Results of validations, and answers to drift, as clients see them."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from ops.starting.drift_answer import LONGEST_REASON
from orchestrator_defs.api.rest.fields import Shape, Text, UnixTime
from resources.types import ValidationResult


class FoundDifference(BaseModel):
    """A value that differs from what the subscription says."""

    model_config = ConfigDict(extra="allow")

    system: str | None = Field(None, examples=["netbox"])
    path: str = Field(examples=["netbox.description"])
    expected: Any = None
    found: Any = None
    severity: str | None = Field(None, examples=["error"])


class ValidationItem(Shape):
    """What a validation found."""

    subscription_id: UUID
    workflow: str | None = Field(examples=["validate_node"])
    result: ValidationResult | None
    reason: str | None = Field(description="why it is unreachable or failed")
    severity: str | None
    differences: list[FoundDifference] = Field(description="secrets are masked")
    version: int | None = Field(description="the version of the subscription that was compared")
    process_id: UUID | None
    run_id: str | None = Field(description="the run of Dagster")
    finished_at: UnixTime | None
    seconds: float | None = Field(description="how long it took")


class NewestValidation(ValidationItem):
    """The newest result; `result` is null when the subscription was never validated."""

    due_at: UnixTime | None = Field(description="when it is validated again; null is never")
    age: float | None = Field(description="seconds since then")
    why_not_answerable: str = Field(description="why there is no drift to answer; empty when there is")


class PastValidation(ValidationItem):
    """A result in the history."""

    created_by: str | None = Field(description="who started the validation")


class DriftAnswered(BaseModel):
    """The answer of a person to drift."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = Field(min_length=1, max_length=LONGEST_REASON, description="why", examples=["As in ticket 7."])
    workflow: Text | None = Field(None, max_length=255, description="the workflow, if several can give the answer")
