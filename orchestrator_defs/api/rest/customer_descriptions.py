"""What customers call subscriptions."""

from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from orchestrator_defs.api.dependencies import DatabaseDep
from orchestrator_defs.api.rest.fields import Description, Text
from orchestrator_defs.api.rest.subscription_shapes import CustomerDescription
from orchestrator_defs.api.security.problems import problems
from resources.errors import UnknownDescription
from resources.subscriptions import customer_descriptions as descriptions

router = APIRouter(prefix="/subscription_customer_descriptions", tags=["customer descriptions"])

LARGEST_VERSION = 2**31 - 1
CustomerId: TypeAlias = Annotated[Text, Field(min_length=1, max_length=255, examples=["acme"])]


class NewDescription(BaseModel):
    """A customer's description of a subscription."""

    customer_id: CustomerId
    subscription_id: UUID
    description: Description


class ChangedDescription(NewDescription):
    """A changed description of a customer for a subscription."""

    id: UUID | None = Field(None, description="of the description; without it the one of this pair is meant")
    version: int | None = Field(
        None, ge=1, le=LARGEST_VERSION, description="the version that was read; the change is refused when it is stale"
    )


@router.post("/", status_code=204, summary="Describe a subscription", responses=problems(400, 403, 404, 409, 422))
@router.post("", status_code=204, include_in_schema=False)
def create_description(new: NewDescription, database: DatabaseDep) -> None:
    """Add a customer's description of a subscription; refused when there is one already."""
    with database.transaction():
        descriptions.create_customer_description(new.subscription_id, new.customer_id, new.description)


@router.put("/", status_code=204, summary="Change a description", responses=problems(400, 403, 404, 409, 422))
@router.put("", status_code=204, include_in_schema=False)
def change_description(changed: ChangedDescription, database: DatabaseDep) -> None:
    """Change a description; refused when this customer has none for the subscription, or when the version read is
    stale.
    """
    with database.transaction():
        known = descriptions.description_for_customer(changed.subscription_id, changed.customer_id)
        if known is None or changed.id not in (None, known.id) or not _is_changed(known.id, changed):
            which = f" {changed.id}" if changed.id else ""
            raise UnknownDescription(
                f"There is no description{which} of subscription {changed.subscription_id} for customer "
                f"{changed.customer_id!r}; post one."
            )


def _is_changed(description_id: UUID, changed: ChangedDescription) -> bool:
    """False when it has just been removed."""
    found = descriptions.update_customer_description(description_id, changed.description, version=changed.version)
    return found is not None


@router.get(
    "/customer/{customer_id}/subscription/{subscription_id}",
    summary="Read what a customer calls a subscription",
    responses=problems(403, 404, 422),
)
def read_description_for_customer(
    customer_id: Annotated[CustomerId, Path()], subscription_id: UUID, database: DatabaseDep
) -> CustomerDescription:
    """The description of this pair."""
    with database.transaction(read_only=True):
        found = descriptions.description_for_customer(subscription_id, customer_id)
    if found is None:
        raise UnknownDescription(f"Customer {customer_id!r} has no description of subscription {subscription_id}.")
    return CustomerDescription.model_validate(found)


@router.get("/{description_id}", summary="Read a description", responses=problems(403, 404, 422))
def read_description(description_id: UUID, database: DatabaseDep) -> CustomerDescription:
    """One by its id."""
    with database.transaction(read_only=True):
        found = descriptions.customer_description(description_id)
    if found is None:
        raise _unknown(description_id)
    return CustomerDescription.model_validate(found)


@router.delete("/{description_id}", status_code=204, summary="Remove a description", responses=problems(403, 404, 422))
def remove_description(description_id: UUID, database: DatabaseDep) -> None:
    """Remove the description: the customer sees the subscription's own description again."""
    with database.transaction():
        if not descriptions.delete_customer_description(description_id):
            raise _unknown(description_id)


def _unknown(description_id: UUID) -> UnknownDescription:
    return UnknownDescription(f"There is no customer description {description_id}.")
