"""The fields by which lists of subscriptions can be filtered and sorted."""

import re
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

import sqlalchemy as sa

from resources import clock
from resources.database.fleet_tables import ValidationTable
from resources.database.tables import ProductTable, SubscriptionTable
from resources.errors import InvalidQuery
from resources.subscriptions.customers import customers
from resources.subscriptions.list_fields import Condition, Field, Kind, ListFields
from resources.subscriptions.search_words import SubscriptionWords, by_index
from resources.subscriptions.text_conditions import comparison
from resources.types import SubscriptionLifecycle, ValidationResult

subscription, product, validation = SubscriptionTable, ProductTable, ValidationTable
AGE = re.compile(r"(\d{1,9})\s*([smhdw])?", re.ASCII)
SECONDS = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800})
OLDER = MappingProxyType({"<": ">", "<=": ">=", ">": "<", ">=": "<="})
"""How moments compare when their ages do."""
OLDEST = 36_500 * SECONDS["d"]


@dataclass(frozen=True)
class AgeField(Field):
    """The age of a moment, compared as `24h` or `7d`; a number alone is seconds. The index of the moment answers."""

    def _compared(self, sign: str, text: str) -> Condition:
        found = AGE.fullmatch(text)
        if found is None or sign not in OLDER:
            raise InvalidQuery(f"{self.name!r} is compared with an age, as `{self.key}>24h` or `{self.key}<7d`.")
        age = timedelta(seconds=min(int(found[1]) * SECONDS[found[2] or "s"], OLDEST))
        return comparison(self.column, OLDER[sign], sa.literal(clock.now() - age))


def _of_validation(condition: Condition) -> Condition:
    return subscription.subscription_id.in_(sa.select(validation.subscription_id).where(condition))


age_in_seconds = sa.extract("epoch", sa.func.now() - validation.finished_at)
VALIDATION_FIELDS = (
    Field("lastValidated", Kind.MOMENT, validation.finished_at, also=("validated_at",), within=_of_validation),
    Field(
        "validationResult",
        Kind.WORD,
        validation.result,
        also=("validation",),
        within=_of_validation,
        words=tuple(ValidationResult),
    ),
    AgeField("validationAge", Kind.NUMBER, validation.finished_at, within=_of_validation, shown=age_in_seconds),
)


def _of_product(condition: Condition) -> Condition:
    """Products are few: their ids become an array first, which the index on the column serves."""
    products = sa.select(product.product_id).where(condition).scalar_subquery()
    return subscription.product_id == sa.any_(sa.func.array(products))


FULLNAME, SHORTCODE = sa.column("fullname", sa.String), sa.column("shortcode", sa.String)


def of_customer(condition: Condition) -> Condition:
    """A condition on the names of customers, who may be kept anywhere: they are sent along."""
    known = [(one.customer_id, one.fullname, one.shortcode) for one in customers().listed()]
    if not known:
        return sa.false()
    columns = (sa.column(name, sa.String) for name in ("id", FULLNAME.name, SHORTCODE.name))
    names = sa.values(*columns, name="named").data(known)
    return subscription.customer_id.in_(sa.select(names.c.id).where(condition))


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
    Field("customerFullname", Kind.TEXT, FULLNAME, within=of_customer, sorts=False),
    Field("customerShortcode", Kind.TEXT, SHORTCODE, within=of_customer, sorts=False),
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
    *VALIDATION_FIELDS,
    words=SubscriptionWords,
)
