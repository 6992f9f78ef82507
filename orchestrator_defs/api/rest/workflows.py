"""Workflows as the catalogue has them: read them, edit their descriptions."""

import logging
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from orchestrator_defs.api.dependencies import DatabaseDep, UserDep
from orchestrator_defs.api.rest.catalogue_shapes import DescriptionEdit, Workflow
from orchestrator_defs.api.security.problems import problems
from resources.catalogue import entries
from resources.types import Target

log = logging.getLogger(__name__)

router = APIRouter(prefix="/workflows", tags=["catalogue"])


@router.get("/", summary="List the workflows", responses=problems(422, 503))
def list_workflows(
    database: DatabaseDep,
    target: Annotated[Target | None, Query(description="those that do this to a subscription")] = None,
    is_task: Annotated[bool | None, Query(description="only tasks, or only what is none")] = None,
) -> list[Workflow]:
    """The workflows that the code has, by name."""
    with database.transaction(read_only=True):
        found = entries.list_workflows(target=target, is_task=is_task)
    return [Workflow.model_validate(workflow) for workflow in found]


@router.get("/{workflow_id}", summary="Read a workflow", responses=problems(404, 422, 503))
def get_workflow(workflow_id: UUID, database: DatabaseDep) -> Workflow:
    """One workflow that the code has."""
    with database.transaction(read_only=True):
        return Workflow.model_validate(entries.get_workflow(workflow_id))


@router.patch("/{workflow_id}", summary="Edit a workflow", responses=problems(400, 404, 422, 503))
def edit_workflow(workflow_id: UUID, edit: DescriptionEdit, database: DatabaseDep, user: UserDep) -> Workflow:
    """Write another description; the rest is the code's."""
    with database.transaction():
        found = entries.edit_workflow(workflow_id, description=edit.description)
    log.info("Workflow %s was edited by %r.", workflow_id, user)
    return Workflow.model_validate(found)
