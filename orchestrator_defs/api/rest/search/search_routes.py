"""Search, export and count what every list has."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from fastapi import Query as Parameter
from starlette.responses import StreamingResponse

from orchestrator_defs.api.dependencies import DatabaseDep, UserDep
from orchestrator_defs.api.rest.fields import Text
from orchestrator_defs.api.rest.search import saved_searches
from orchestrator_defs.api.rest.search.search_bodies import (
    AggregateBody,
    Group,
    Groups,
    Hits,
    Leaf,
    Paths,
    Query,
    SearchBody,
    SearchKind,
)
from orchestrator_defs.api.security.problems import problems
from resources.database.session import use_one_snapshot
from resources.searches import saved_queries
from resources.searches.aggregation import aggregate
from resources.searches.entities import ENTITIES
from resources.searches.export import Format, export
from resources.searches.hits import find

router = APIRouter(prefix="/search", tags=["search"])
router.include_router(saved_searches.router)

REFUSALS = problems(400, 403, 422, 503)
RUN_REFUSALS = problems(400, 403, 404, 422, 503)
CursorDep = Annotated[Text | None, Parameter(max_length=4000, description="`next_page_cursor` of the page before")]
LimitDep = Annotated[int | None, Parameter(ge=1, le=1000, description="by default 10, or that of the page before")]
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/json": {"example": [{"subscription.description": "Node ams1"}]},
        }
    },
    **REFUSALS,
}
MEDIA = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
ORDERED = ["eq", "neq", "lt", "lte", "gt", "gte", "between", "exists"]
OPERATORS: Mapping[str, list[str]] = {
    "string": ["eq", "neq", "like", "exists"],
    "number": ORDERED,
    "datetime": ORDERED,
    "boolean": ["eq", "neq", "exists"],
    "component": [],
}


DEFINED = {"boolean": {"operators": ["eq"], "value_schema": {"eq": {"kind": "boolean"}}}}


@router.get(
    "/definitions",
    summary="List the operators of filters",
    responses={200: {"content": {"application/json": {"example": DEFINED}}}, **problems(403)},
)
async def list_definitions() -> dict[str, dict[str, Any]]:
    """For each type of a value its operators, and what each takes."""
    return {
        kind: {"operators": operators, "value_schema": {one: _takes(kind, one) for one in operators}}
        for kind, operators in OPERATORS.items()
    }


def _takes(kind: str, operator: str) -> dict[str, Any]:
    if operator == "between":
        return {"kind": "object", "fields": {end: {"kind": kind} for end in ("start", "end")}}
    return {"kind": "none" if operator == "exists" else kind}


@router.get("/paths", summary="List what filters may name", responses=problems(403, 422))
def list_paths(
    q: Annotated[Text, Parameter(max_length=200, description="a part of the path")] = "",
    prefix: Annotated[Text, Parameter(max_length=200, description="the beginning of the path")] = "",
    entity_type: Literal["SUBSCRIPTION", "PROCESS", "PRODUCT", "WORKFLOW"] = "SUBSCRIPTION",
    limit: Annotated[int, Parameter(ge=1, le=100)] = 10,
) -> Paths:
    """Values by name, the shortest first; components are the blocks above them."""
    entity = next(one for one in ENTITIES.values() if one.kind.upper() == entity_type)
    leaves: dict[str, Leaf] = {}
    components: dict[str, Leaf] = {}
    for path, kind in entity.paths():
        _, *above, name = path.split(".")
        if path.startswith(prefix) and q.lower() in path.lower():
            leaf = leaves.setdefault(name, Leaf(name=name, ui_types=[], paths=[]))
            leaf.ui_types = list(dict.fromkeys([*leaf.ui_types, kind]))
            leaf.paths.append(path)
        for one in above:
            if q.lower() in one.lower():
                components.setdefault(one, Leaf(name=one, ui_types=["component"], paths=[]))
    nearest = sorted(leaves.values(), key=lambda leaf: (q.lower() not in leaf.name.lower(), len(leaf.name)))
    return Paths(leaves=nearest[:limit], components=list(components.values())[:limit])


@router.post("/{kind}", summary="Search", responses=REFUSALS)
def search_entries(
    kind: SearchKind,
    body: SearchBody,
    database: DatabaseDep,
    cursor: CursorDep = None,
) -> Hits:
    """A page of what fits the query and the filters, as current as the database."""
    with database.transaction(read_only=True):
        use_one_snapshot()
        return Hits.of(find(body.search(kind), body.limit, cursor), body)


@router.post("/{kind}/export", summary="Export what a search finds", response_class=StreamingResponse, responses=FILE)
def export_entries(kind: SearchKind, body: Query, database: DatabaseDep, format: Format = "csv") -> StreamingResponse:
    """A file of all that fits, with `response_columns` or all columns; it is streamed."""
    return file_of(export(database, body.search(kind), format), kind, format)


def file_of(parts: Iterator[str], name: str, form: Format) -> StreamingResponse:
    """A streamed file."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"', "Cache-Control": "no-store"}
    return StreamingResponse(parts, media_type=MEDIA[form], headers=headers)


# --- by the id of a saved search ---


@router.get("/queries/{query_id}/run", summary="Run a saved search", responses=RUN_REFUSALS)
def run_query(
    query_id: UUID, database: DatabaseDep, user: UserDep, cursor: CursorDep = None, limit: LimitDep = None
) -> Hits:
    """A page of what it finds now."""
    with database.transaction(read_only=True):
        use_one_snapshot()
        kept = saved_queries.get_query(query_id, user)
        body = Query(**kept.parameters)
        return Hits.of(find(body.search(kept.kind), limit, cursor), body)


@router.get(
    "/queries/{query_id}/export",
    summary="Export what a saved search finds",
    response_class=StreamingResponse,
    responses={**FILE, **RUN_REFUSALS},
)
def export_query(query_id: UUID, database: DatabaseDep, user: UserDep, format: Format = "csv") -> StreamingResponse:
    """A file of all that it finds now."""
    with database.transaction(read_only=True):
        kept = saved_queries.get_query(query_id, user)
    search = saved_queries.search_of(kept.kind, kept.parameters)
    return file_of(export(database, search, format), kept.kind, format)


@router.post("/{kind}/aggregate", summary="Count and sum what a search finds", responses=REFUSALS)
def aggregate_entries(kind: SearchKind, body: AggregateBody, database: DatabaseDep) -> Groups:
    """One row for each group. An entry is in each group of which it has a value; periods are in UTC."""
    periods = [(one.field, one.period) for one in body.temporal_group_by]
    with database.transaction(read_only=True):
        groups = aggregate(body.search(kind), body.measures, body.group_by, periods, limit=body.limit)
    return Groups(
        results=[Group(**{key: _exact(one) for key, one in group.items()}) for group in groups], total=len(groups)
    )


def _exact(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _written(one) if isinstance(one, Decimal) else one for name, one in values.items()}


def _written(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
