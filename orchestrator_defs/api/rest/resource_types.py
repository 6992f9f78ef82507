"""Resource types: read them, edit their descriptions."""

import logging
from uuid import UUID

from fastapi import APIRouter

from orchestrator_defs.api.dependencies import DatabaseDep, UserDep
from orchestrator_defs.api.rest.catalogue_shapes import DescriptionEdit, ResourceType
from orchestrator_defs.api.security.problems import problems
from resources.catalogue import entries

log = logging.getLogger(__name__)

router = APIRouter(prefix="/resource_types", tags=["catalogue"])


@router.get("/{resource_type_id}", summary="Read a resource type", responses=problems(404, 422, 503))
def get_resource_type(resource_type_id: UUID, database: DatabaseDep) -> ResourceType:
    """One named value of a block."""
    with database.transaction(read_only=True):
        return ResourceType.model_validate(entries.get_resource_type(resource_type_id))


@router.patch("/{resource_type_id}", summary="Edit a resource type", responses=problems(400, 404, 422, 503))
def edit_resource_type(
    resource_type_id: UUID, edit: DescriptionEdit, database: DatabaseDep, user: UserDep
) -> ResourceType:
    """Write another description; the rest is the code's."""
    with database.transaction():
        found = entries.edit_resource_type(resource_type_id, description=edit.description)
    log.info("Resource type %s was edited by %r.", resource_type_id, user)
    return ResourceType.model_validate(found)
