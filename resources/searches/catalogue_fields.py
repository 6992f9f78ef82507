"""The fields by which the lists of the catalogue are filtered, searched and sorted."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from resources.database.tables import (
    ProductBlockResourceTypeTable,
    ProductBlockTable,
    ProductProductBlockTable,
    ProductTable,
    ProductWorkflowTable,
    ResourceTypeTable,
    WorkflowTable,
)
from resources.subscriptions.list_fields import Condition, Field, Kind, ListFields
from resources.types import Target

product, block, value, workflow = ProductTable, ProductBlockTable, ResourceTypeTable, WorkflowTable
has_block, has_value, has_workflow = ProductProductBlockTable, ProductBlockResourceTypeTable, ProductWorkflowTable


def _by(own: Any, link: Any, of: Any) -> Callable[[Condition], Condition]:
    """A condition on what is linked, as one on the row that is listed; `link` is (link's own id, its other id)."""
    mine, other = link
    return lambda condition: own.in_(sa.select(mine).join(of.class_, of == other).where(condition))


PRODUCT_FIELDS = ListFields(
    "Products",
    Field("productId", Kind.ID, product.product_id, also=("id",)),
    Field("name", Kind.TEXT, product.name, also=("product",)),
    Field("description", Kind.TEXT, product.description),
    Field("productType", Kind.TEXT, product.product_type, also=("type",)),
    Field("tag", Kind.TEXT, product.tag),
    Field("status", Kind.TEXT, sa.func.replace(product.status, " ", "_", type_=sa.String)),
    Field("createdAt", Kind.MOMENT, product.created_at),
    Field("endDate", Kind.MOMENT, product.end_date),
    Field(
        "productBlocks",
        Kind.TEXT,
        block.name,
        also=("productBlock",),
        within=_by(product.product_id, (has_block.product_id, has_block.product_block_id), block.product_block_id),
        sorts=False,
    ),
)
PRODUCT_BLOCK_FIELDS = ListFields(
    "Product blocks",
    Field("productBlockId", Kind.ID, block.product_block_id, also=("id",)),
    Field("name", Kind.TEXT, block.name, also=("productBlock",)),
    Field("description", Kind.TEXT, block.description),
    Field("tag", Kind.TEXT, block.tag),
    Field("status", Kind.TEXT, block.status),
    Field("createdAt", Kind.MOMENT, block.created_at),
    Field("endDate", Kind.MOMENT, block.end_date),
    Field(
        "resourceTypes",
        Kind.TEXT,
        value.resource_type,
        also=("resourceType",),
        within=_by(
            block.product_block_id, (has_value.product_block_id, has_value.resource_type_id), value.resource_type_id
        ),
        sorts=False,
    ),
)
RESOURCE_TYPE_FIELDS = ListFields(
    "Resource types",
    Field("resourceTypeId", Kind.ID, value.resource_type_id, also=("id",)),
    Field("resourceType", Kind.TEXT, value.resource_type, also=("name",)),
    Field("description", Kind.TEXT, value.description),
    Field(
        "productBlocks",
        Kind.TEXT,
        block.name,
        also=("productBlock",),
        within=_by(
            value.resource_type_id, (has_value.resource_type_id, has_value.product_block_id), block.product_block_id
        ),
        sorts=False,
    ),
)
_WORKFLOW_BY_PRODUCT = _by(
    workflow.workflow_id, (has_workflow.workflow_id, has_workflow.product_id), product.product_id
)
WORKFLOW_FIELDS = ListFields(
    "Workflows",
    Field("workflowId", Kind.ID, workflow.workflow_id, also=("id",)),
    Field("name", Kind.TEXT, workflow.name, also=("workflow", "workflowName")),
    Field("description", Kind.TEXT, workflow.description),
    Field("target", Kind.WORD, workflow.target, words=tuple(Target)),
    Field("isTask", Kind.FLAG, workflow.is_task),
    Field("createdAt", Kind.MOMENT, workflow.created_at),
    Field("productTag", Kind.TEXT, product.tag, also=("tag", "productsTag"), within=_WORKFLOW_BY_PRODUCT, sorts=False),
    Field("productName", Kind.TEXT, product.name, also=("product",), within=_WORKFLOW_BY_PRODUCT, sorts=False),
)
