"""Lists of subscriptions for pages: searched, filtered, sorted, cut; without models."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from resources import clock
from resources.database.fleet_tables import ValidationTable
from resources.database.session import current_session
from resources.database.tables import ProductTable, SubscriptionMetadataTable, SubscriptionTable, Table
from resources.domain.saving.headers import HEADER_LENGTH, Headers, SubscriptionHeader, select_headers
from resources.errors import UnknownSubscription
from resources.subscriptions.customers import Customer, customers_of
from resources.subscriptions.list_fields import Column, Condition, FieldText, Page
from resources.subscriptions.search import search_condition
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from resources.types import SubscriptionId, ValidationResult

logger = logging.getLogger(__name__)
subscription = SubscriptionTable


@dataclass(frozen=True, slots=True)
class SubscriptionLine(SubscriptionHeader):
    """A subscription in a list."""

    customer: Customer
    metadata: dict[str, Any]
    last_validated: datetime | None
    validation_result: ValidationResult | None

    @property
    def validation_age(self) -> float | None:
        """Seconds since the newest result of a validation."""
        return None if self.last_validated is None else (clock.now() - self.last_validated).total_seconds()


NEWEST_FIRST = subscription.created_at.desc()
BESIDE = {
    ProductTable: ProductTable.product_id == subscription.product_id,
    SubscriptionMetadataTable: SubscriptionMetadataTable.subscription_id == subscription.subscription_id,
    ValidationTable: ValidationTable.subscription_id == subscription.subscription_id,
}
"""The tables beside subscriptions that conditions and orders may be of, and how they are joined."""
FOR_EACH = (ValidationTable,)
"""Those of which each subscription has a row, so that their indexes give the order."""


class SubscriptionList(list[SubscriptionLine]):
    """Subscriptions; `is_cut` if there are more than it has."""

    is_cut = False


FIRST = 50


def list_subscriptions(
    where: Sequence[Condition] = (),
    order: Sequence[Column] = (),
    *,
    limit: int | None = FIRST,
    offset: int = 0,
    **having: Any,
) -> SubscriptionList:
    """The subscriptions that fit: one page, in one statement, the newest first unless ordered. Raises InvalidQuery.

    `having` are fields with a value or several: `product_type="Port", status=["active", "provisioning"]`; also
    `product`, `tag`, `customer`, `insync`. Conditions on values come from `value_of`. The id breaks ties, so pages
    neither overlap nor miss a row. A list that is cut at `limit` says so (`is_cut`), and in the log if nobody gave one.
    """
    where, order = [*where, *SUBSCRIPTION_FIELDS.having(**having)], [*(order or [NEWEST_FIRST])]
    most = None if limit is None else limit + 1
    page = page_ids(subscription.subscription_id, where, order, limit=most, offset=offset, beside=BESIDE)
    query = _lines().join(page, page.c.subscription_id == subscription.subscription_id)
    rows = current_session().execute(query.order_by(*order, subscription.subscription_id)).all()
    found = SubscriptionList(_lines_of(rows[:limit]))
    found.is_cut = len(rows) > len(found)
    if found.is_cut and limit == FIRST and not offset:
        logger.warning("There are more subscriptions than the first %s that were asked for; give a `limit`.", limit)
    return found


def count_subscriptions(where: Sequence[Condition] = (), **having: Any) -> int:
    """How many fit all conditions; see `list_subscriptions`."""
    conditions = (*where, *SUBSCRIPTION_FIELDS.having(**having))
    return current_session().scalar(sa.select(sa.func.count()).select_from(subscription).where(*conditions)) or 0


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
    order = SUBSCRIPTION_FIELDS.ordering(sort)
    total = count_subscriptions(where)
    return Page(list_subscriptions(where, order, limit=limit, offset=offset) if offset < total else [], total)


def page_ids(
    key: Any,
    where: Sequence[Condition],
    order: Sequence[Column],
    *,
    limit: int | None,
    offset: int,
    beside: Mapping[type[Table], Condition],
) -> sa.Subquery:
    """The keys of a page, under the name of the column. The key breaks ties, so pages neither overlap nor miss.

    They are found before anything is joined, so that what the offset skips costs only its place in an index.

    `beside`: tables, and how they are joined if a condition or the order is of them.
    """
    ids = sa.select(key).where(*where)
    asked = sa.select(*order, *where).columns_clause_froms
    for table, condition in beside.items():
        if table.__table__ in asked:
            ids = ids.join(table, condition, isouter=table not in FOR_EACH)
    return ids.order_by(*order, key).limit(limit).offset(offset).subquery("page")


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
    row = current_session().execute(_ONE, {"subscription_id": subscription_id}).one_or_none()
    if row is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    return _lines_of([row])[0]


def _lines() -> Headers:
    beside, validation = SubscriptionMetadataTable, ValidationTable
    found = select_headers(beside.metadata_, validation.finished_at, validation.result)
    return found.outerjoin(beside, BESIDE[beside]).join(validation, BESIDE[validation])


_ONE = _lines().where(subscription.subscription_id == sa.bindparam("subscription_id"))


def _lines_of(rows: Sequence[sa.Row[*tuple[Any, ...]]]) -> list[SubscriptionLine]:
    customers = customers_of({row.customer_id for row in rows})
    return [_line(row, customers[row.customer_id]) for row in rows]


def _line(row: sa.Row[*tuple[Any, ...]], customer: Customer) -> SubscriptionLine:
    metadata, last, result = row[HEADER_LENGTH:]
    known = ValidationResult(result) if result else None
    return SubscriptionLine.of(
        row, customer=customer, metadata=metadata or {}, last_validated=last, validation_result=known
    )
