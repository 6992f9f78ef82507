"""The catalogue as clients see it: products, blocks, resource types and workflows, and the edits that they accept."""

import json
from typing import Any, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

from orchestrator_defs.api.rest.fields import Description, Shape, UnixTime
from resources.catalogue.entries import CatalogueProduct
from resources.types import ProductLifecycle, Target


class ResourceType(Shape):
    """One named value of a block."""

    resource_type_id: UUID
    resource_type: str = Field(examples=["node_name"])
    description: str


class ProductBlock(Shape):
    """A typed group of values."""

    product_block_id: UUID
    name: str = Field(examples=["Node"])
    description: str
    tag: str | None = Field(examples=["NODE"])
    status: str = Field(examples=["active"])
    created_at: UnixTime
    end_date: UnixTime | None = Field(description="when the code dropped it")
    resource_types: list[ResourceType]


class Workflow(Shape):
    """What can be started."""

    workflow_id: UUID
    name: str = Field(examples=["create_node"])
    target: Target = Field(examples=["CREATE"])
    description: str = Field(examples=["Create node"])
    is_task: bool
    created_at: UnixTime


class FixedInput(BaseModel):
    """A value that is the same for all subscriptions to a product."""

    fixed_input_id: UUID
    product_id: UUID
    name: str = Field(examples=["vendor"])
    value: str = Field(description="text as it is, anything else as JSON", examples=["Cisco"])
    created_at: UnixTime


class Product(Shape):
    """What can be sold."""

    product_id: UUID
    name: str = Field(examples=["Node Cisco"])
    description: str
    product_type: str = Field(examples=["Node"])
    tag: str = Field(examples=["NODE"])
    status: str = Field(examples=["active"])
    created_at: UnixTime
    end_date: UnixTime | None = Field(description="when the code dropped it")
    product_blocks: list[ProductBlock] = Field(description="the blocks at the root of a subscription")
    fixed_inputs: list[FixedInput]
    workflows: list[Workflow]

    @classmethod
    def of(cls, product: CatalogueProduct) -> Self:
        """A product as clients see it."""
        fixed_inputs = [
            FixedInput(
                fixed_input_id=uuid5(product.product_id, name),
                product_id=product.product_id,
                name=name,
                value=_as_text(value),
                created_at=product.created_at,
            )
            for name, value in sorted(product.fixed_inputs.items())
        ]
        fields = {name: getattr(product, name) for name in cls.model_fields if name != "fixed_inputs"}
        return cls.model_validate({**fields, "fixed_inputs": fixed_inputs})


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class DescriptionEdit(BaseModel):
    """What people may edit; everything else comes from the code."""

    model_config = ConfigDict(extra="forbid")

    description: Description | None = Field(None, description="null leaves it unchanged")


class ProductEdit(DescriptionEdit):
    """What people may edit of a product; everything else comes from the code."""

    status: ProductLifecycle | None = Field(None, description="null leaves it unchanged", examples=["phase out"])
