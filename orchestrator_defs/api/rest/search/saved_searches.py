"""Searches that people keep: save, list, run, delete."""

from uuid import UUID

from fastapi import APIRouter, Response

from orchestrator_defs.api.dependencies import DatabaseDep, UserDep
from orchestrator_defs.api.rest.lists import PartDep, list_answers
from orchestrator_defs.api.rest.search.search_bodies import Saved, SavedBody
from orchestrator_defs.api.security.problems import problems
from resources.searches import saved_queries

router = APIRouter(prefix="/queries")

REFUSALS = problems(403, 404, 422, 503)


@router.post("", status_code=201, summary="Save a search", responses=problems(400, 403, 422, 503))
def save_query(body: SavedBody, database: DatabaseDep, user: UserDep) -> Saved:
    """It must be one that can be asked now."""
    with database.transaction():
        body.parameters.search(body.kind).check()
        values = body.parameters.model_dump(mode="json", exclude_defaults=True)
        return Saved.model_validate(
            saved_queries.save_query(body.name, body.kind, values, is_shared=body.is_shared, user=user)
        )


@router.get("", summary="List saved searches", responses=list_answers("queries", 400, 403, 422))
def list_queries(response: Response, database: DatabaseDep, part: PartDep, user: UserDep) -> list[Saved]:
    """Yours and those that are shared, by name."""
    with database.transaction(read_only=True):
        found, total = saved_queries.list_queries(user, limit=part.limit, offset=part.first)
    part.note(response, "queries", found, total)
    return [Saved.model_validate(one) for one in found]


@router.get("/{query_id}", summary="Read a saved search", responses=REFUSALS)
def get_query(query_id: UUID, database: DatabaseDep, user: UserDep) -> Saved:
    """`parameters` is the body for `POST /search/{kind}`, its export and its aggregate."""
    with database.transaction(read_only=True):
        return Saved.model_validate(saved_queries.get_query(query_id, user))


@router.delete("/{query_id}", status_code=204, summary="Delete a saved search", responses=REFUSALS)
def delete_query(query_id: UUID, database: DatabaseDep, user: UserDep) -> None:
    """Yours, or as an admin any that is shared."""
    with database.transaction():
        saved_queries.delete_query(query_id, user)
