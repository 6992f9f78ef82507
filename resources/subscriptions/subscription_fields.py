"""The fields by which lists of subscriptions can be filtered and sorted."""

import sqlalchemy as sa

from resources.database.tables import ProductTable, SubscriptionTable
from resources.subscriptions.list_fields import Condition, Field, Kind, ListFields
from resources.subscriptions.search_words import SubscriptionWords, by_index
from resources.types import SubscriptionLifecycle

subscription, product = SubscriptionTable, ProductTable


def _of_product(condition: Condition) -> Condition:
    """Products are few: their ids become an array first, which the index on the column serves."""
    products = sa.select(product.product_id).where(condition).scalar_subquery()
    return subscription.product_id == sa.any_(sa.func.array(products))


SUBSCRIPTION_FIELDS = ListFields(
    "Subscriptions",
    Field("subscriptionId", Kind.ID, subscription.subscription_id, also=("id",)),
    Field(
        "description",
        Kind.TEXT,
        subscription.description,
        found_by=by_index,
        head=sa.func.left(subscription.description, sa.literal_column("200")),
    ),
    Field("status", Kind.WORD, subscription.status, words=tuple(SubscriptionLifecycle)),
    Field("insync", Kind.FLAG, subscription.insync, also=("in_sync",)),
    Field("customerId", Kind.TEXT, subscription.customer_id, also=("customer",), found_by=by_index),
    Field("startDate", Kind.MOMENT, subscription.start_date),
    Field("endDate", Kind.MOMENT, subscription.end_date),
    Field("createdAt", Kind.MOMENT, subscription.created_at),
    Field("note", Kind.TEXT, subscription.note, found_by=by_index),
    Field("version", Kind.NUMBER, subscription.version),
    Field("lockedBy", Kind.ID, subscription.locked_by),
    Field("productId", Kind.ID, subscription.product_id),
    Field("productName", Kind.TEXT, product.name, also=("product",), within=_of_product),
    Field("productType", Kind.TEXT, product.product_type, also=("type",), within=_of_product),
    Field("productTag", Kind.TEXT, product.tag, also=("tag",), within=_of_product),
    Field("productDescription", Kind.TEXT, product.description, within=_of_product, sorts=False),
    Field("productStatus", Kind.TEXT, product.status, within=_of_product),
    words=SubscriptionWords,
)
