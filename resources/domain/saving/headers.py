"""The header of a subscription: what a list, a form or a tag needs without loading the model."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import defer

from resources.database.session import current_session
from resources.database.tables import ProductTable, SubscriptionTable
from resources.errors import UnknownSubscription
from resources.types import SubscriptionId


@dataclass(frozen=True, slots=True)
class SubscriptionHeader:
    """One row of subscriptions, with its product's name and type."""

    subscription_id: SubscriptionId
    product_id: UUID
    product_name: str
    product_type: str
    customer_id: str
    description: str
    version: int


def subscription_header(subscription_id: SubscriptionId, *, for_update: bool = False) -> SubscriptionHeader:
    """Read a header, in one statement; `for_update` locks the row until the transaction ends.

    Raises UnknownSubscription.
    """
    row = SubscriptionTable
    query = (
        select(row, ProductTable.name, ProductTable.product_type)
        .join(ProductTable, ProductTable.product_id == row.product_id)
        .where(row.subscription_id == subscription_id)
        .options(defer(row.document), defer(row.search))
        .execution_options(populate_existing=True)
    )
    if for_update:
        query = query.with_for_update(of=row)
    found = current_session().execute(query).first()
    if found is None:
        raise UnknownSubscription(
            f"There is no subscription {subscription_id}; `orchestrator subscriptions` lists those there are."
        )
    subscription, product_name, product_type = found
    return SubscriptionHeader(
        subscription_id=subscription.subscription_id,
        product_id=subscription.product_id,
        product_name=product_name,
        product_type=product_type,
        customer_id=subscription.customer_id,
        description=subscription.description,
        version=subscription.version,
    )
