"""Headers: subscriptions without their blocks, which lists, forms and tags read without loading models."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self, TypeAlias

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import ProductTable, SubscriptionTable
from resources.domain.saving.records import ProductRecord
from resources.errors import UnknownSubscription
from resources.types import ProcessId, SubscriptionId, SubscriptionLifecycle

Headers: TypeAlias = sa.Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class SubscriptionHeader:
    """A row of subscriptions, with its product; `locked_by` is the process that is changing it."""

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
    product: ProductRecord

    @classmethod
    def of(cls, row: Sequence[Any], **more: Any) -> Self:
        """The header of a row of `select_headers`; `more` are the fields that a subclass adds."""
        subscription_id, description, status, *rest = row[:_OWN]
        rest.append(ProductRecord(*row[_OWN:HEADER_LENGTH]))
        return cls(subscription_id, description, SubscriptionLifecycle(status), *rest, **more)


PRODUCT_COLUMNS = tuple(getattr(ProductTable, field.name) for field in fields(ProductRecord))
_OWN_COLUMNS = tuple(getattr(SubscriptionTable, field.name) for field in fields(SubscriptionHeader)[:-1])
_OWN, HEADER_LENGTH = len(_OWN_COLUMNS), len(_OWN_COLUMNS) + len(PRODUCT_COLUMNS)


def select_headers(*more: Any) -> Headers:
    """Select the columns of headers, then those of `more`."""
    return (
        sa.select(*_OWN_COLUMNS, *PRODUCT_COLUMNS, *more)
        .select_from(SubscriptionTable)
        .join(ProductTable, ProductTable.product_id == SubscriptionTable.product_id)
    )


_ONE = select_headers().where(SubscriptionTable.subscription_id == sa.bindparam("subscription_id"))
_ONE_LOCKED = _ONE.with_for_update(of=SubscriptionTable)
"""Made once: a batch reads a thousand headers a second."""


def subscription_header(subscription_id: SubscriptionId, *, for_update: bool = False) -> SubscriptionHeader:
    """Read a header; `for_update` locks the row until the transaction ends."""
    query = _ONE_LOCKED if for_update else _ONE
    row = current_session().execute(query, {"subscription_id": subscription_id}).one_or_none()
    if row is None:
        raise UnknownSubscription(
            f"There is no subscription {subscription_id}; `orchestrator subscriptions` lists all."
        )
    return SubscriptionHeader.of(row)
