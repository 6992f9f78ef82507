"""Product blocks: read them, edit their descriptions."""

import logging
from uuid import UUID

from fastapi import APIRouter

from orchestrator_defs.api.dependencies import DatabaseDep, UserDep
from orchestrator_defs.api.rest.catalogue_shapes import DescriptionEdit, ProductBlock
from orchestrator_defs.api.security.problems import problems
from resources.catalogue import entries

log = logging.getLogger(__name__)

router = APIRouter(prefix="/product_blocks", tags=["catalogue"])


@router.get("/{product_block_id}", summary="Read a product block", responses=problems(404, 422, 503))
def get_product_block(product_block_id: UUID, database: DatabaseDep) -> ProductBlock:
    """One block, with its resource types."""
    with database.transaction(read_only=True):
        return ProductBlock.model_validate(entries.get_product_block(product_block_id))


@router.patch("/{product_block_id}", summary="Edit a product block", responses=problems(400, 404, 422, 503))
def edit_product_block(
    product_block_id: UUID, edit: DescriptionEdit, database: DatabaseDep, user: UserDep
) -> ProductBlock:
    """Write another description; the rest is the code's."""
    with database.transaction():
        found = entries.edit_product_block(product_block_id, description=edit.description)
    log.info("Product block %s was edited by %r.", product_block_id, user)
    return ProductBlock.model_validate(found)
