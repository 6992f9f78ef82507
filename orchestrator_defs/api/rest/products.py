"""Products: read them, edit their description and their status."""

import logging
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from orchestrator_defs.api.dependencies import DatabaseDep, UserDep
from orchestrator_defs.api.rest.catalogue_shapes import Product, ProductEdit
from orchestrator_defs.api.rest.fields import Text
from orchestrator_defs.api.security.problems import problems
from resources.catalogue import entries

log = logging.getLogger(__name__)

router = APIRouter(prefix="/products", tags=["catalogue"])


@router.get("/", summary="List the products", responses=problems(422, 503))
def list_products(
    database: DatabaseDep,
    tag: Annotated[Text | None, Query(description="those with this tag", examples=["NODE"])] = None,
    product_type: Annotated[Text | None, Query(description="those of this type", examples=["Node"])] = None,
) -> list[Product]:
    """All products by name, with their blocks, fixed inputs and workflows."""
    with database.transaction(read_only=True):
        found = entries.list_products(tag=tag, product_type=product_type)
    return [Product.of(product) for product in found]


@router.get("/{product_id}", summary="Read a product", responses=problems(404, 422, 503))
def get_product(product_id: UUID, database: DatabaseDep) -> Product:
    """One product, with its blocks, fixed inputs and workflows."""
    with database.transaction(read_only=True):
        return Product.of(entries.get_product(product_id))


@router.patch("/{product_id}", summary="Edit a product", responses=problems(400, 404, 409, 422, 503))
def edit_product(product_id: UUID, edit: ProductEdit, database: DatabaseDep, user: UserDep) -> Product:
    """Write another description or status; the rest is the code's.

    The end of its life is refused while it has subscriptions that are not terminated.
    """
    with database.transaction():
        found = entries.edit_product(product_id, description=edit.description, status=edit.status)
    log.info("Product %s was edited by %r.", product_id, user)
    return Product.of(found)
