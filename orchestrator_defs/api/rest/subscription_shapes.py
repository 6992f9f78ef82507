"""Subscriptions as clients see them: in lists, in full, their history, and the workflows that may start."""

from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from orchestrator_defs.api.rest.fields import Shape, Text, UnixTime
from resources.subscriptions.history import HistoryEntry
from resources.subscriptions.relations import RelatedSubscription
from resources.types import SubscriptionLifecycle, ValidationResult

AN_ID = "5c0f4c9e-1d1f-4a0e-8f0c-3f9a2f6a7b11"


class SubscriptionProduct(Shape):
    """The product of a subscription."""

    product_id: UUID
    name: str = Field(examples=["Node Cisco"])
    description: str
    product_type: str = Field(examples=["Node"])
    tag: str = Field(examples=["NODE"])
    status: str = Field(examples=["active"])
    created_at: UnixTime
    end_date: UnixTime | None = None


class SubscriptionCustomer(Shape):
    """The customer of a subscription."""

    customer_id: str
    fullname: str = Field(examples=["Default customer"])
    shortcode: str = Field(examples=["default"])


class SubscriptionHead(Shape):
    """A subscription without its blocks, and without what changes beside it."""

    subscription_id: UUID = Field(examples=[AN_ID])
    description: str = Field(examples=["Node ams1"])
    status: SubscriptionLifecycle
    insync: bool = Field(description="whether the network matches the subscription")
    customer_id: str
    start_date: UnixTime | None = None
    end_date: UnixTime | None = None
    note: str | None = None
    version: int = Field(description="rises with each change")
    locked_by: UUID | None = Field(None, description="the process that is changing it")
    created_at: UnixTime
    product: SubscriptionProduct
    customer: SubscriptionCustomer
    metadata: dict[str, Any] = Field({}, description="free data of the organisation's own code")


class SubscriptionItem(SubscriptionHead):
    """A subscription without its blocks."""

    last_validated: UnixTime | None = Field(None, description="when its newest validation ended")
    validation_result: ValidationResult | None = Field(None, description="what that found")
    validation_age: float | None = Field(None, description="seconds since then")


class CustomerDescription(Shape):
    """What one customer calls a subscription."""

    id: UUID
    customer_id: str
    subscription_id: UUID
    description: str = Field(examples=["Our router in Amsterdam"])
    version: int
    created_at: UnixTime


class SubscriptionWhole(SubscriptionHead):
    """A subscription with its fixed inputs and blocks, under the names of the product's model.

    A block has `name`, `subscription_instance_id`, `owner_subscription_id`, `label`, its values, the blocks below it,
    and its users: `in_use_by_ids`, and `in_use_by_relations` with `subscription_instance_id` and `subscription_id`.
    Moments among the values are ISO 8601.
    """

    model_config = ConfigDict(extra="allow")

    customer_descriptions: list[CustomerDescription]
    warning: str | None = Field(None, description="why the last saved document is shown instead of the model")


class StartableWorkflow(BaseModel):
    """A workflow of the subscription's product; without `reason` it may be started now."""

    name: str = Field(examples=["modify_node"])
    description: str = Field(examples=["Modify a node"])
    reason: str | None = Field(None, description="why not: a key to translate", examples=["subscription.not_in_sync"])
    message: str | None = Field(None, description="why not: a sentence, with what to do")
    usable_when: list[str] | None = Field(None, description="the statuses that the workflow accepts")
    status: str | None = Field(None, description="the current status")
    action: str | None = Field(None, examples=["modified"])
    locked_relations: list[UUID] | None = None
    locked_relations_detail: list[dict[str, Any]] | None = None
    unterminated_in_use_by_subscriptions: list[UUID] | None = None
    unterminated_in_use_by_subscriptions_detail: list[dict[str, Any]] | None = None
    locked_by: UUID | None = Field(None, description="the process that is changing it")
    workflow: str | None = Field(None, description="that process's workflow")
    process_status: str | None = None


class StartableWorkflows(BaseModel):
    """The workflows of a subscription by target; `reason` applies to the subscription as a whole."""

    reason: str | None = Field(None, examples=["subscription.not_in_sync"])
    message: str | None = None
    locked_relations: list[UUID] | None = None
    locked_relations_detail: list[dict[str, Any]] | None = None
    locked_by: UUID | None = None
    workflow: str | None = None
    process_status: str | None = None
    create: list[StartableWorkflow]
    modify: list[StartableWorkflow]
    terminate: list[StartableWorkflow]
    system: list[StartableWorkflow]
    validate_: list[StartableWorkflow] = Field(alias="validate")
    reconcile: list[StartableWorkflow]


class RelatedItem(Shape):
    """A subscription that uses another, or is used by it."""

    subscription_id: UUID
    description: str = Field(examples=["Port ams1 ge-0/0/1"])
    status: SubscriptionLifecycle
    insync: bool
    product_name: str = Field(examples=["Port"])
    customer_id: str
    depth: int = Field(description="distance; 1 is a direct relation")

    @classmethod
    def of(cls, related: RelatedSubscription) -> Self:
        """The same as clients see it."""
        return cls.model_validate(related)


class Change(BaseModel):
    """One value that differs from the version before."""

    path: str = Field(examples=["node.node_name"])
    before: Any = None
    after: Any = None


class VersionItem(Shape):
    """One saved change."""

    version: int
    created_at: UnixTime
    created_by: str | None = Field(description="who", examples=["jane"])
    process_id: UUID | None = Field(description="the process that did it")
    workflow_name: str | None = Field(examples=["modify_node"])
    step_key: str | None = Field(description="the step of that process, or the name of a change made outside a process")
    reason: str | None = Field(description="why, in the words of who did it", examples=["The fibre was exchanged."])
    difference: list[Change] = Field(description="compared with the version before; secrets are masked")

    @classmethod
    def of(cls, entry: HistoryEntry) -> Self:
        """A change as clients see it."""
        return cls.model_validate(entry)


class VersionWhole(VersionItem):
    """One saved change, and the subscription as it was then."""

    document: dict[str, Any] = Field(description="the subscription with its own blocks; secrets are masked")


class InSyncAsked(BaseModel):
    """What a person says who puts a subscription in sync."""

    model_config = ConfigDict(extra="forbid")

    reason: Text | None = Field(
        None, min_length=1, max_length=10_000, description="why", examples=["The device was exchanged, as in ticket 7."]
    )


class InSync(BaseModel):
    """The subscription after it was put in sync."""

    subscription_id: UUID = Field(examples=[AN_ID])
    insync: bool = Field(examples=[True])
    changed: bool = Field(description="false when it was in sync already")
