"""Which subscriptions use which: read from the relations between their blocks, without models."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from resources.database.session import current_session
from resources.database.tables import (
    ProductTable,
    ProductWorkflowTable,
    SubscriptionInstanceRelationTable,
    SubscriptionInstanceTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.subscriptions.list_fields import Page
from resources.types import SubscriptionId, SubscriptionLifecycle, Target

DEPTH_LIMIT = 10


class Direction(StrEnum):
    """From a subscription to those that hold its blocks, or to those whose blocks it holds."""

    IN_USE_BY = "in_use_by"
    DEPENDS_ON = "depends_on"


@dataclass(frozen=True, slots=True)
class RelatedSubscription:
    """A neighbour; `depth` 1 is a direct one, and the shortest way counts."""

    subscription_id: SubscriptionId
    description: str
    status: SubscriptionLifecycle
    insync: bool
    product_name: str
    customer_id: str
    depth: int = 1
    reconcile_workflow: str | None = None

    def as_detail(self) -> dict[str, Any]:
        """Its form in the details of a refusal."""
        return {
            "subscription_id": str(self.subscription_id),
            "description": self.description,
            "status": self.status.value,
            "insync": self.insync,
            "product": {"name": self.product_name},
        }


@dataclass(frozen=True, slots=True)
class RelationStatus:
    """The neighbours of a subscription that matter for a change of it."""

    locked_relations: tuple[RelatedSubscription, ...]
    """Direct neighbours, either way, that are out of sync."""
    unterminated_in_use_by: tuple[RelatedSubscription, ...]
    """Direct users that are not terminated."""


def in_use_by_subscriptions(
    subscription_id: SubscriptionId,
    *,
    statuses: Collection[SubscriptionLifecycle] | None = None,
    depth: int = 1,
) -> list[RelatedSubscription]:
    """The subscriptions that hold a block of this one.

    `depth` > 1 also follows their users, up to that many steps (at most 10); circles end where they began, and the
    subscription itself is not included. `statuses` filters the answer, not the way; None means all.
    """
    return _related(subscription_id, Direction.IN_USE_BY, statuses, depth)


def depends_on_subscriptions(
    subscription_id: SubscriptionId,
    *,
    statuses: Collection[SubscriptionLifecycle] | None = None,
    depth: int = 1,
) -> list[RelatedSubscription]:
    """The subscriptions whose blocks this one holds; see `in_use_by_subscriptions`."""
    return _related(subscription_id, Direction.DEPENDS_ON, statuses, depth)


def related_page(
    subscription_id: SubscriptionId,
    direction: Direction,
    *,
    statuses: Collection[SubscriptionLifecycle] | None = None,
    depth: int = 1,
    limit: int = 20,
    offset: int = 0,
) -> Page[RelatedSubscription]:
    """A page of `in_use_by_subscriptions` or `depends_on_subscriptions`."""
    query = _neighbours(subscription_id, direction, statuses, depth)
    count = query.with_only_columns(sa.func.count(), maintain_column_froms=True)
    total = current_session().scalar(count) or 0
    if offset >= total:
        return Page([], total)
    query = query.order_by(sa.literal_column("depth"), SubscriptionTable.description, SubscriptionTable.subscription_id)
    rows = current_session().execute(query.limit(limit).offset(offset))
    return Page([_neighbour(row) for row in rows], total)


def status_relations(subscription_id: SubscriptionId) -> RelationStatus:
    """Out-of-sync neighbours and unterminated users."""
    users = in_use_by_subscriptions(subscription_id)
    around = {user.subscription_id: user for user in depends_on_subscriptions(subscription_id)}
    around |= {user.subscription_id: user for user in users}
    return RelationStatus(
        locked_relations=tuple(sorted((n for n in around.values() if not n.insync), key=_by_description)),
        unterminated_in_use_by=tuple(user for user in users if user.status is not SubscriptionLifecycle.TERMINATED),
    )


def lock_with_neighbours(subscription_ids: Collection[SubscriptionId]) -> None:
    """Lock the rows of subscriptions and of their direct neighbours until the transaction ends, in the order of ids.

    What is read of them afterwards stays true, and two callers never deadlock.
    """
    subscription_id = SubscriptionTable.subscription_id
    ids = {*subscription_ids, *current_session().scalars(_directly_related(subscription_ids))}
    # By ids that are known, since no plan for all subscriptions may depend on how many there are.
    query = sa.select(subscription_id).where(subscription_id.in_(ids)).order_by(subscription_id)
    current_session().execute(query.with_for_update(key_share=True)).all()


def _directly_related(subscription_ids: Collection[SubscriptionId]) -> sa.CompoundSelect[tuple[SubscriptionId]]:
    both = map(edges, Direction)
    return sa.union(*(sa.select(edge.c.target).where(edge.c.source.in_(subscription_ids)) for edge in both))


@cache
def reconcile_workflow() -> sa.ScalarSelect[str]:
    """A column of a query on subscriptions: the workflow that reconciles one of this product, or NULL."""
    workflow, of_product = WorkflowTable, ProductWorkflowTable
    return (
        sa.select(workflow.name)
        .join(of_product, of_product.workflow_id == workflow.workflow_id)
        .where(of_product.product_id == SubscriptionTable.product_id)
        .where(workflow.target == Target.RECONCILE.value, workflow.deleted_at.is_(None))
        .order_by(workflow.name)
        .limit(1)
        .correlate(SubscriptionTable)
        .scalar_subquery()
    )


def _by_description(related: RelatedSubscription) -> tuple[int, str, str]:
    return related.depth, related.description, str(related.subscription_id)


def _related(
    subscription_id: SubscriptionId,
    direction: Direction,
    statuses: Collection[SubscriptionLifecycle] | None,
    depth: int,
) -> list[RelatedSubscription]:
    rows = current_session().execute(_neighbours(subscription_id, direction, statuses, depth))
    return sorted(map(_neighbour, rows), key=_by_description)


def _neighbours(
    subscription_id: SubscriptionId,
    direction: Direction,
    statuses: Collection[SubscriptionLifecycle] | None,
    depth: int,
) -> sa.Select[*tuple[Any, ...]]:
    query = _all_neighbours(direction).params(start=subscription_id, depth=min(depth, DEPTH_LIMIT))
    if statuses is not None:
        query = query.where(SubscriptionTable.status.in_([SubscriptionLifecycle(status).value for status in statuses]))
    return query


@cache
def _all_neighbours(direction: Direction) -> sa.Select[*tuple[Any, ...]]:
    reached, subscription = _reached(direction), SubscriptionTable
    return (
        sa.select(
            subscription.subscription_id,
            subscription.description,
            subscription.status,
            subscription.insync,
            ProductTable.name,
            subscription.customer_id,
            reached.c.depth,
            reconcile_workflow(),
        )
        .join(reached, reached.c.subscription_id == subscription.subscription_id)
        .join(ProductTable, ProductTable.product_id == subscription.product_id)
    )


def _neighbour(row: sa.Row[*tuple[Any, ...]]) -> RelatedSubscription:
    return RelatedSubscription(row[0], row[1], SubscriptionLifecycle(row[2]), *row[3:])


def _reached(direction: Direction) -> sa.Subquery:
    """The subscriptions within `depth` steps and their distance; UNION ends circles, the depth limits the work."""
    edge = edges(direction)
    start, depth = sa.bindparam("start", type_=sa.Uuid()), sa.bindparam("depth", type_=sa.Integer())
    way = sa.select(start.label("subscription_id"), sa.literal(0).label("depth")).cte("way", recursive=True)
    onward = (sa.select(edge.c.target, way.c.depth + 1).join(way, way.c.subscription_id == edge.c.source)).where(
        way.c.depth < depth, edge.c.target != start
    )
    way = way.union(onward)
    nearest = sa.select(way.c.subscription_id, sa.func.min(way.c.depth).label("depth")).where(way.c.depth > 0)
    return nearest.group_by(way.c.subscription_id).subquery("nearest")


@cache
def edges(direction: Direction) -> sa.Subquery:
    """One row for each relation between blocks of two subscriptions, as source and target subscription."""
    user, used = aliased(SubscriptionInstanceTable), aliased(SubscriptionInstanceTable)
    relation = SubscriptionInstanceRelationTable
    source, target = (used, user) if direction is Direction.IN_USE_BY else (user, used)
    return (
        sa.select(source.subscription_id.label("source"), target.subscription_id.label("target"))
        .select_from(relation)
        .join(user, user.subscription_instance_id == relation.in_use_by_id)
        .join(used, used.subscription_instance_id == relation.depends_on_id)
        .where(user.subscription_id != used.subscription_id)
        .subquery("edge")
    )
