"""Lists of subscriptions as pages show them: searched, filtered, sorted, cut; models are never loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import ProductTable, SubscriptionMetadataTable, SubscriptionTable
from resources.errors import UnknownSubscription
from resources.subscriptions.customers import Customer, customer_of
from resources.subscriptions.list_fields import Condition, Field, FieldText, Kind, ListFields
from resources.subscriptions.search import search_condition
from resources.types import ProcessId, SubscriptionId, SubscriptionLifecycle

subscription, product = SubscriptionTable, ProductTable


@dataclass(frozen=True, slots=True)
class ListedProduct:
    """The product of a listed subscription."""

    product_id: UUID
    name: str
    description: str
    product_type: str
    tag: str
    status: str
    created_at: datetime
    end_date: datetime | None


@dataclass(frozen=True, slots=True)
class SubscriptionLine:
    """A subscription as pages list it."""

    subscription_id: SubscriptionId
    description: str
    status: SubscriptionLifecycle
    insync: bool
    customer_id: str
    start_date: datetime | None
    end_date: datetime | None
    note: str | None
    version: int
    locked_by: ProcessId | None
    created_at: datetime
    product: ListedProduct
    customer: Customer
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubscriptionPage:
    """A part of a list, and how long the whole list is."""

    lines: list[SubscriptionLine]
    total: int


def _of_product(condition: Condition) -> Condition:
    """There are few products: their ids are made an array first, which the index on the column serves."""
    products = sa.select(product.product_id).where(condition).scalar_subquery()
    return subscription.product_id == sa.any_(sa.func.array(products))


SUBSCRIPTION_FIELDS = ListFields(
    "Subscriptions",
    Field("subscriptionId", Kind.ID, subscription.subscription_id, also=("id",)),
    Field("description", Kind.TEXT, subscription.description),
    Field("status", Kind.WORD, subscription.status, words=tuple(SubscriptionLifecycle)),
    Field("insync", Kind.FLAG, subscription.insync),
    Field("customerId", Kind.TEXT, subscription.customer_id, also=("customer",)),
    Field("startDate", Kind.MOMENT, subscription.start_date),
    Field("endDate", Kind.MOMENT, subscription.end_date),
    Field("createdAt", Kind.MOMENT, subscription.created_at),
    Field("note", Kind.TEXT, subscription.note),
    Field("version", Kind.NUMBER, subscription.version),
    Field("lockedBy", Kind.ID, subscription.locked_by),
    Field("productId", Kind.ID, subscription.product_id),
    Field("productName", Kind.TEXT, product.name, also=("product",), within=_of_product),
    Field("productType", Kind.TEXT, product.product_type, also=("type",), within=_of_product),
    Field("productTag", Kind.TEXT, product.tag, also=("tag",), within=_of_product),
    Field("productStatus", Kind.TEXT, product.status, within=_of_product),
)
COLUMNS = (
    subscription.subscription_id,
    subscription.description,
    subscription.status,
    subscription.insync,
    subscription.customer_id,
    subscription.start_date,
    subscription.end_date,
    subscription.note,
    subscription.version,
    subscription.locked_by,
    subscription.created_at,
    SubscriptionMetadataTable.metadata_,
    product.product_id,
    product.name,
    product.description,
    product.product_type,
    product.tag,
    product.status,
    product.created_at,
    product.end_date,
)
OWN = 11
"""How many of them are the subscription's own."""
OWN_NAMES = tuple(column.key for column in COLUMNS[:OWN])
NEWEST_FIRST = subscription.created_at.desc()


def find_subscriptions(
    search: str = "",
    filters: Sequence[FieldText] = (),
    sort: Sequence[FieldText] = (),
    *,
    limit: int = 20,
    offset: int = 0,
) -> SubscriptionPage:
    """Those that the search finds and all filters leave; the newest first unless sorted; two statements, and one
    more when words are searched for.

    `search` is in the language of `search_query`, filters and sort as SUBSCRIPTION_FIELDS reads them. What has no value
    comes last. The id breaks ties, so pages neither overlap nor miss. Raises InvalidQuery.
    """
    conditions = [search_condition(search), *SUBSCRIPTION_FIELDS.conditions(filters)]
    order = [each.nulls_last() for each in SUBSCRIPTION_FIELDS.ordering(sort)] or [NEWEST_FIRST]
    total = current_session().scalar(sa.select(sa.func.count()).select_from(subscription).where(*conditions)) or 0
    if offset >= total:
        return SubscriptionPage([], total)
    query = _lines().where(*conditions).order_by(*order, subscription.subscription_id).limit(limit).offset(offset)
    return SubscriptionPage([_line(row) for row in current_session().execute(query)], total)


def subscription_line(subscription_id: SubscriptionId) -> SubscriptionLine:
    """One of them, in one statement. Raises UnknownSubscription."""
    row = current_session().execute(_lines().where(subscription.subscription_id == subscription_id)).one_or_none()
    if row is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    return _line(row)


def _lines() -> sa.Select[*tuple[Any, ...]]:
    beside = SubscriptionMetadataTable
    return (
        sa.select(*COLUMNS)
        .select_from(subscription)
        .join(product, product.product_id == subscription.product_id)
        .outerjoin(beside, beside.subscription_id == subscription.subscription_id)
    )


def _line(row: sa.Row[*tuple[Any, ...]]) -> SubscriptionLine:
    of_subscription, metadata, of_product = row[:OWN], row[OWN], row[OWN + 1 :]
    named = dict(zip(OWN_NAMES, of_subscription, strict=True))
    named["status"] = SubscriptionLifecycle(named["status"])
    shown = ListedProduct(*of_product)
    customer = customer_of(named["customer_id"])
    return SubscriptionLine(**named, product=shown, customer=customer, metadata=metadata or {})
