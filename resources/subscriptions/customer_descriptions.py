"""Customers' descriptions of subscriptions."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR, insert

from resources.database.session import current_session
from resources.database.tables import CustomerDescriptionTable, SubscriptionTable
from resources.domain.saving.search_text import description_vector
from resources.errors import AlreadyDescribed, StaleSubscription, UnknownSubscription
from resources.types import SubscriptionId


@dataclass(frozen=True, slots=True)
class CustomerDescription:
    """A customer's description of a subscription; each pair has at most one. `version` rises with each change."""

    id: UUID
    subscription_id: SubscriptionId
    customer_id: str
    description: str
    version: int
    created_at: datetime


COLUMNS = (
    CustomerDescriptionTable.id,
    CustomerDescriptionTable.subscription_id,
    CustomerDescriptionTable.customer_id,
    CustomerDescriptionTable.description,
    CustomerDescriptionTable.version,
    CustomerDescriptionTable.created_at,
)


def create_customer_description(
    subscription_id: SubscriptionId, customer_id: str, description: str
) -> CustomerDescription:
    """Create the description of this pair. Raises AlreadyDescribed if there is one, UnknownSubscription."""
    session = current_session()
    if session.scalar(sa.select(SubscriptionTable.subscription_id).filter_by(subscription_id=subscription_id)) is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    pair = {"subscription_id": subscription_id, "customer_id": customer_id}
    values = {"id": uuid4(), **pair, "description": description, "search": _searched(description)}
    statement = insert(CustomerDescriptionTable).values(values).on_conflict_do_nothing().returning(*COLUMNS)
    row = session.execute(statement).one_or_none()
    if row is None:
        raise AlreadyDescribed(
            f"Customer '{customer_id}' has a description of subscription {subscription_id} already; update that one."
        )
    return CustomerDescription(*row)


def update_customer_description(
    identifier: UUID, description: str, *, version: int | None = None
) -> CustomerDescription | None:
    """Change a description; returns None when there is none.

    With `version`, raises StaleSubscription unless that is still the newest.
    """
    table = CustomerDescriptionTable
    update = sa.update(table).where(table.id == identifier)
    if version is not None:
        update = update.where(table.version == version)
    values = {"description": description, "search": _searched(description), "version": table.version + 1}
    changed = update.values(values).returning(*COLUMNS)
    row = current_session().execute(changed, execution_options={"synchronize_session": False}).one_or_none()
    if row is not None:
        return CustomerDescription(*row)
    if version is not None and (known := customer_description(identifier)) is not None:
        raise StaleSubscription(
            f"The customer description {identifier} was changed since it was read: it has version {known.version}, "
            f"you changed version {version}. Read it again."
        )
    return None


def delete_customer_description(identifier: UUID) -> bool:
    """Delete a description; returns whether there was one. May run twice."""
    statement = sa.delete(CustomerDescriptionTable).where(CustomerDescriptionTable.id == identifier)
    deleted = statement.returning(CustomerDescriptionTable.id)
    return current_session().execute(deleted, execution_options={"synchronize_session": False}).first() is not None


def customer_description(identifier: UUID) -> CustomerDescription | None:
    """Read a description by its id."""
    return _one(CustomerDescriptionTable.id == identifier)


def description_for_customer(subscription_id: SubscriptionId, customer_id: str) -> CustomerDescription | None:
    """Read this customer's description of this subscription."""
    table = CustomerDescriptionTable
    return _one(sa.and_(table.subscription_id == subscription_id, table.customer_id == customer_id))


def customer_descriptions(subscription_id: SubscriptionId) -> list[CustomerDescription]:
    """Read all descriptions of a subscription, by customer."""
    table = CustomerDescriptionTable
    query = sa.select(*COLUMNS).where(table.subscription_id == subscription_id).order_by(table.customer_id)
    return [CustomerDescription(*row) for row in current_session().execute(query)]


def _searched(description: str) -> sa.ColumnElement[str]:
    return sa.cast(description_vector(description), TSVECTOR)


def _one(condition: sa.ColumnElement[bool]) -> CustomerDescription | None:
    row = current_session().execute(sa.select(*COLUMNS).where(condition)).one_or_none()
    return None if row is None else CustomerDescription(*row)
