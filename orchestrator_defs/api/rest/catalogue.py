"""The catalogue: read products, product blocks, resource types and workflows; edit what people may edit."""

import logging
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from orchestrator_defs.api.dependencies import DatabaseDep, UserDep
from orchestrator_defs.api.rest.catalogue_shapes import (
    DescriptionEdit,
    Product,
    ProductBlock,
    ProductEdit,
    ResourceType,
    Workflow,
)
from orchestrator_defs.api.rest.fields import Text
from orchestrator_defs.api.rest.lists import SearchQuery
from orchestrator_defs.api.security.problems import problems
from resources.catalogue import entries
from resources.searches.catalogue_fields import PRODUCT_FIELDS, WORKFLOW_FIELDS
from resources.types import Target

log = logging.getLogger(__name__)

router = APIRouter(tags=["catalogue"])

LIST, READ, EDIT = problems(400, 422, 503), problems(404, 422, 503), problems(400, 404, 422, 503)


@router.get("/products/", summary="List the products", responses=LIST)
def list_products(
    database: DatabaseDep,
    tag: Annotated[Text | None, Query(description="those with this tag", examples=["NODE"])] = None,
    product_type: Annotated[Text | None, Query(description="those of this type", examples=["Node"])] = None,
    query: SearchQuery = "",
) -> list[Product]:
    """All products by name, with their blocks, fixed inputs and workflows."""
    with database.transaction(read_only=True):
        found = entries.list_products(tag=tag, product_type=product_type, where=[PRODUCT_FIELDS.search(query)])
    return [Product.of(product) for product in found]


@router.get("/products/{product_id}", summary="Read a product", responses=READ)
def get_product(product_id: UUID, database: DatabaseDep) -> Product:
    """One product, with its blocks, fixed inputs and workflows."""
    with database.transaction(read_only=True):
        return Product.of(entries.get_product(product_id))


@router.patch("/products/{product_id}", summary="Edit a product", responses=problems(400, 404, 409, 422, 503))
def edit_product(product_id: UUID, edit: ProductEdit, database: DatabaseDep, user: UserDep) -> Product:
    """Change the description or the status; everything else comes from the code.

    The status `end of life` is refused while the product has subscriptions that are not terminated.
    """
    with database.transaction():
        found = entries.edit_product(product_id, description=edit.description, status=edit.status)
    log.info("Product %s was edited by %r.", product_id, user)
    return Product.of(found)


@router.get("/product_blocks/{product_block_id}", summary="Read a product block", responses=READ)
def get_product_block(product_block_id: UUID, database: DatabaseDep) -> ProductBlock:
    """One block, with its resource types."""
    with database.transaction(read_only=True):
        return ProductBlock.model_validate(entries.get_product_block(product_block_id))


@router.patch("/product_blocks/{product_block_id}", summary="Edit a product block", responses=EDIT)
def edit_product_block(
    product_block_id: UUID, edit: DescriptionEdit, database: DatabaseDep, user: UserDep
) -> ProductBlock:
    """Change the description; everything else comes from the code."""
    with database.transaction():
        found = entries.edit_product_block(product_block_id, description=edit.description)
    log.info("Product block %s was edited by %r.", product_block_id, user)
    return ProductBlock.model_validate(found)


@router.get("/resource_types/{resource_type_id}", summary="Read a resource type", responses=READ)
def get_resource_type(resource_type_id: UUID, database: DatabaseDep) -> ResourceType:
    """One named value of a block."""
    with database.transaction(read_only=True):
        return ResourceType.model_validate(entries.get_resource_type(resource_type_id))


@router.patch("/resource_types/{resource_type_id}", summary="Edit a resource type", responses=EDIT)
def edit_resource_type(
    resource_type_id: UUID, edit: DescriptionEdit, database: DatabaseDep, user: UserDep
) -> ResourceType:
    """Change the description; everything else comes from the code."""
    with database.transaction():
        found = entries.edit_resource_type(resource_type_id, description=edit.description)
    log.info("Resource type %s was edited by %r.", resource_type_id, user)
    return ResourceType.model_validate(found)


@router.get("/workflows/", summary="List the workflows", responses=LIST)
def list_workflows(
    database: DatabaseDep,
    target: Annotated[Target | None, Query(description="workflows with this target")] = None,
    is_task: Annotated[bool | None, Query(description="only tasks, or only workflows that are not tasks")] = None,
    query: SearchQuery = "",
) -> list[Workflow]:
    """The workflows that the code has, by name."""
    with database.transaction(read_only=True):
        found = entries.list_workflows(target=target, is_task=is_task, where=[WORKFLOW_FIELDS.search(query)])
    return [Workflow.model_validate(workflow) for workflow in found]


@router.get("/workflows/{workflow_id}", summary="Read a workflow", responses=READ)
def get_workflow(workflow_id: UUID, database: DatabaseDep) -> Workflow:
    """One workflow that the code has."""
    with database.transaction(read_only=True):
        return Workflow.model_validate(entries.get_workflow(workflow_id))


@router.patch("/workflows/{workflow_id}", summary="Edit a workflow", responses=EDIT)
def edit_workflow(workflow_id: UUID, edit: DescriptionEdit, database: DatabaseDep, user: UserDep) -> Workflow:
    """Change the description; everything else comes from the code."""
    with database.transaction():
        found = entries.edit_workflow(workflow_id, description=edit.description)
    log.info("Workflow %s was edited by %r.", workflow_id, user)
    return Workflow.model_validate(found)
