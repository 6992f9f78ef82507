"""Subscriptions: read and search them, put them in sync."""

import json
from datetime import datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from orchestrator_defs.api.dependencies import DatabaseDep, ProcessesDep, UserDep
from orchestrator_defs.api.rest.conditional import etag, is_known
from orchestrator_defs.api.rest.lists import PartDep, SearchQuery, filter_query, list_answers, sort_query
from orchestrator_defs.api.rest.subscription_shapes import (
    InSync,
    InSyncAsked,
    RelatedItem,
    StartableWorkflows,
    SubscriptionItem,
    SubscriptionWhole,
    VersionItem,
    VersionWhole,
)
from orchestrator_defs.api.security.problems import problems
from resources.database.session import SubscriptionDatabase, use_one_snapshot
from resources.processes.validations import confirm_in_sync
from resources.subscriptions.etag import view_mark
from resources.subscriptions.history import count_history, read_history, read_version
from resources.subscriptions.list_fields import Page, read_pairs
from resources.subscriptions.lists import SubscriptionLine, find_subscriptions, subscription_line
from resources.subscriptions.relations import DEPTH_LIMIT, Direction, related_page
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from resources.subscriptions.views import subscription_view
from resources.types import SubscriptionId, SubscriptionLifecycle

router = APIRouter(prefix="/subscriptions", tags=["subscriptions"])

NOUN = "subscriptions"
LARGEST_VERSION = 2**31 - 1

SortQuery: TypeAlias = Annotated[str, sort_query(SUBSCRIPTION_FIELDS, "startDate,desc")]
FilterQuery: TypeAlias = Annotated[str, filter_query(SUBSCRIPTION_FIELDS, "status,active-provisioning,insync,false")]
RelatedStatus: TypeAlias = Annotated[
    list[SubscriptionLifecycle] | None, Query(description="only those in one of these statuses")
]
Depth: TypeAlias = Annotated[int, Query(ge=1, le=DEPTH_LIMIT, description="the largest distance")]


@router.get("/", summary="List subscriptions", responses=list_answers(NOUN, 400, 403, 422))
def list_subscriptions(
    response: Response,
    database: DatabaseDep,
    part: PartDep,
    sort: SortQuery = "",
    filter_: FilterQuery = "",
    query: SearchQuery = "",
) -> list[SubscriptionItem]:
    """The newest first, unless sorted; what has no value comes last."""
    with database.transaction(read_only=True):
        use_one_snapshot()
        filters, order = read_pairs(filter_, "filter"), read_pairs(sort, "sort")
        page = find_subscriptions(query, filters, order, limit=part.limit, offset=part.first)
    part.note(response, NOUN, page.lines, page.total)
    return _items(page)


@router.get("/search", summary="Search subscriptions", responses=list_answers(NOUN, 400, 403, 422))
def search_subscriptions(
    response: Response, database: DatabaseDep, part: PartDep, query: SearchQuery = "", sort: SortQuery = ""
) -> list[SubscriptionItem]:
    """Subscriptions with all of these words in descriptions, notes, values, fixed inputs, metadata and customer
    descriptions.

    Words are split at punctuation, and case does not matter. Changes are found at once. The newest first, unless
    sorted.
    """
    with database.transaction(read_only=True):
        use_one_snapshot()
        page = find_subscriptions(query, (), read_pairs(sort, "sort"), limit=part.limit, offset=part.first)
    part.note(response, NOUN, page.lines, page.total)
    return _items(page)


@router.get(
    "/domain-model/{subscription_id}",
    summary="Read a subscription with its blocks",
    response_model=SubscriptionWhole,
    responses={
        200: {"headers": {"ETag": {"description": "changes when the answer does", "schema": {"type": "string"}}}},
        304: {"description": "it has not changed"},
        **problems(403, 404, 422),
    },
)
def read_domain_model(
    subscription_id: UUID,
    request: Request,
    database: DatabaseDep,
    filter_owner_relations: Annotated[
        bool, Query(description="leave out of `in_use_by_ids` the blocks of the same subscription")
    ] = True,
) -> Response:
    """The subscription with all its blocks, including those of other subscriptions below them.

    When the code has no model for its product, or one that does not match, the answer is the last saved document, and
    `warning` says why.
    """
    with database.transaction(read_only=True):
        use_one_snapshot()
        tag = etag(view_mark(subscription_id, filter_owner_relations=filter_owner_relations))
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if is_known(request, tag):
            return Response(status_code=304, headers=headers)
        view = subscription_view(subscription_id, filter_owner_relations=filter_owner_relations)
    return Response(
        json.dumps(view, default=_as_json, ensure_ascii=False), media_type="application/json", headers=headers
    )


@router.get(
    "/workflows/{subscription_id}",
    summary="List the workflows of a subscription",
    response_model=StartableWorkflows,
    response_model_exclude_none=True,
    responses=problems(403, 404, 422),
)
def read_startable_workflows(subscription_id: UUID, processes: ProcessesDep, user: UserDep) -> dict[str, Any]:
    """The workflows of its product by target; each that you may not start now has a reason."""
    return processes.starts.startable(subscription_id, user=user)


@router.get("/{subscription_id}", summary="Read the header of a subscription", responses=problems(403, 404, 422))
def read_subscription(subscription_id: UUID, database: DatabaseDep) -> SubscriptionItem:
    """The subscription as lists show it, without blocks."""
    with database.transaction(read_only=True):
        return SubscriptionItem.model_validate(subscription_line(subscription_id))


@router.put("/{subscription_id}/set_in_sync", summary="Put a subscription in sync", responses=problems(403, 404, 422))
def put_in_sync(
    subscription_id: UUID, database: DatabaseDep, user: UserDep, asked: InSyncAsked | None = None
) -> InSync:
    """Confirm that the network matches the subscription; the history keeps who did, and why. Repeating it changes
    nothing. The validations that found it out of sync are aborted.

    Refused while a process that changed it is unfinished: `detail` ends with the ids of these processes in brackets.
    """
    with database.transaction():
        is_changed = confirm_in_sync(subscription_id, user=user, reason=asked.reason if asked else None)
    return InSync(subscription_id=subscription_id, insync=True, changed=is_changed)


@router.get(
    "/{subscription_id}/in_use_by",
    summary="List the subscriptions that use a subscription",
    responses=list_answers(NOUN, 400, 403, 404, 422),
)
def list_in_use_by(
    subscription_id: UUID,
    response: Response,
    database: DatabaseDep,
    part: PartDep,
    status: RelatedStatus = None,
    depth: Depth = 1,
) -> list[RelatedItem]:
    """Subscriptions that use one of its blocks, the nearest first; with `depth` also the users of those, and so on."""
    return _related(subscription_id, Direction.IN_USE_BY, response, database, part, status, depth)


@router.get(
    "/{subscription_id}/depends_on",
    summary="List the subscriptions that a subscription uses",
    responses=list_answers(NOUN, 400, 403, 404, 422),
)
def list_depends_on(
    subscription_id: UUID,
    response: Response,
    database: DatabaseDep,
    part: PartDep,
    status: RelatedStatus = None,
    depth: Depth = 1,
) -> list[RelatedItem]:
    """Subscriptions whose blocks it uses, the nearest first; with `depth` also those that these use, and so on."""
    return _related(subscription_id, Direction.DEPENDS_ON, response, database, part, status, depth)


@router.get(
    "/{subscription_id}/versions",
    summary="Read the history of a subscription",
    responses=list_answers("versions", 400, 403, 404, 422),
)
def list_versions(subscription_id: UUID, response: Response, database: DatabaseDep, part: PartDep) -> list[VersionItem]:
    """Who changed what, when, and in which process; the newest change first."""
    with database.transaction(read_only=True):
        use_one_snapshot()
        subscription_line(subscription_id)
        total = count_history(subscription_id)
        found = read_history(subscription_id, limit=part.limit, offset=part.first)
    part.note(response, "versions", found, total)
    return [VersionItem.of(entry) for entry in found]


@router.get(
    "/{subscription_id}/versions/{version}",
    summary="Read an earlier version of a subscription",
    responses=problems(403, 404, 422),
)
def read_past_version(
    subscription_id: UUID, version: Annotated[int, Path(ge=1, le=LARGEST_VERSION)], database: DatabaseDep
) -> VersionWhole:
    """One version: who made it, what it changed, and the document of the subscription's own blocks."""
    with database.transaction(read_only=True):
        entry, document = read_version(subscription_id, version)
    return VersionWhole(**VersionItem.of(entry).model_dump(), document=document)


def _items(page: Page[SubscriptionLine]) -> list[SubscriptionItem]:
    return [SubscriptionItem.model_validate(line) for line in page.lines]


def _related(
    subscription_id: SubscriptionId,
    direction: Direction,
    response: Response,
    database: SubscriptionDatabase,
    part: PartDep,
    statuses: list[SubscriptionLifecycle] | None,
    depth: int,
) -> list[RelatedItem]:
    with database.transaction(read_only=True):
        use_one_snapshot()
        subscription_line(subscription_id)
        page = related_page(
            subscription_id, direction, statuses=statuses, depth=depth, limit=part.limit, offset=part.first
        )
    part.note(response, NOUN, page.lines, page.total)
    return [RelatedItem.of(one) for one in page.lines]


def _as_json(value: object) -> float | str:
    return value.timestamp() if isinstance(value, datetime) else str(value)
