"""Lists of subscriptions for pages: searched, filtered, sorted, cut; without models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import ProductTable, SubscriptionMetadataTable, SubscriptionTable
from resources.domain.saving.headers import HEADER_LENGTH, Headers, SubscriptionHeader, select_headers
from resources.errors import UnknownSubscription
from resources.subscriptions.customers import Customer, customer_of
from resources.subscriptions.list_fields import Column, Condition, FieldText, Page
from resources.subscriptions.search import search_condition
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from resources.types import SubscriptionId

subscription = SubscriptionTable


@dataclass(frozen=True, slots=True)
class SubscriptionLine(SubscriptionHeader):
    """A subscription in a list."""

    customer: Customer
    metadata: dict[str, Any]


NEWEST_FIRST = subscription.created_at.desc()


def list_subscriptions(
    where: Sequence[Condition] = (), order: Sequence[Column] = (), *, limit: int | None = 50, offset: int = 0
) -> list[SubscriptionLine]:
    """One page; the newest first unless ordered.

    The conditions come from SUBSCRIPTION_FIELDS and from `search_condition`. The id breaks ties, so pages neither
    overlap nor miss a row.
    """
    query = _lines().where(*where).order_by(*(order or [NEWEST_FIRST]), subscription.subscription_id)
    return [_line(row) for row in current_session().execute(query.limit(limit).offset(offset))]


def count_subscriptions(where: Sequence[Condition] = ()) -> int:
    """How many fit all conditions."""
    return current_session().scalar(sa.select(sa.func.count()).select_from(subscription).where(*where)) or 0


def find_subscriptions(
    search: str = "",
    filters: Sequence[FieldText] = (),
    sort: Sequence[FieldText] = (),
    *,
    limit: int = 20,
    offset: int = 0,
) -> Page[SubscriptionLine]:
    """The subscriptions that fit the search and all filters.

    `search` is in the language of `search_query`, filters and sort as SUBSCRIPTION_FIELDS reads them. Rows without a
    value come last. Raises InvalidQuery.
    """
    where = [search_condition(search), *SUBSCRIPTION_FIELDS.conditions(filters)]
    order = [each.nulls_last() for each in SUBSCRIPTION_FIELDS.ordering(sort)]
    total = count_subscriptions(where)
    return Page(list_subscriptions(where, order, limit=limit, offset=offset) if offset < total else [], total)


def subscription_ids(
    *, after: SubscriptionId | None, limit: int, of: sa.ColumnElement[bool] | None = None
) -> list[SubscriptionId]:
    """The next subscriptions in the order of their ids, a batch at a time. `of`: a condition on their products."""
    query = sa.select(subscription.subscription_id)
    if of is not None:
        query = query.join(ProductTable, ProductTable.product_id == subscription.product_id).where(of)
    if after is not None:
        query = query.where(subscription.subscription_id > after)
    return list(current_session().scalars(query.order_by(subscription.subscription_id).limit(limit)))


def subscription_line(subscription_id: SubscriptionId) -> SubscriptionLine:
    """Read one. Raises UnknownSubscription."""
    row = current_session().execute(_lines().where(subscription.subscription_id == subscription_id)).one_or_none()
    if row is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    return _line(row)


def _lines() -> Headers:
    beside = SubscriptionMetadataTable
    return select_headers(beside.metadata_).outerjoin(beside, beside.subscription_id == subscription.subscription_id)


def _line(row: sa.Row[*tuple[Any, ...]]) -> SubscriptionLine:
    return SubscriptionLine.of(row, customer=customer_of(row.customer_id), metadata=row[HEADER_LENGTH] or {})
