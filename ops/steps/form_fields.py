"""Field types of forms for customers, products and subscriptions.

All others come from `pydantic_forms.validators`: Accept, Button, ButtonsConfig, Callout, callout, Choice, choice_list,
ContactPerson, ContactPersonName, DisplaySubscription, Divider, Hidden, Label, Layout, ListOfOne, ListOfTwo, LongText,
Markdown, markdown, MigrationSummary, migration_summary, read_only_field, read_only_list, Timestamp, timestamp and
unique_conlist. Sets of VLANs are `VlanRanges` of `resources`, in a form as in a block; give their default by
`default_factory`, because pydantic shows a plain one as the list of its ids. Plain types of Python and pydantic work as
fields.
"""

from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from annotated_types import Len
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_forms.validators import ContactPerson
from pydantic_forms.validators.helpers import remove_empty_items

from resources.declaring import declares
from resources.errors import UnknownProduct
from resources.subscriptions.queries import find_product

CustomerId: TypeAlias = Annotated[str, Field(min_length=1, max_length=255, json_schema_extra={"format": "customerId"})]
"""The customer of a subscription; web clients show their customer picker. The id is not checked."""

SubscriptionId: TypeAlias = Annotated[UUID, Field(json_schema_extra={"format": "subscriptionId"})]
"""A subscription; web clients show their subscription picker. The id is not checked."""


def _existing(product_id: UUID) -> UUID:
    try:
        find_product(product_id)
    except UnknownProduct:
        raise PydanticCustomError("product_id", "Product not found") from None
    return product_id


ProductId: TypeAlias = Annotated[UUID, AfterValidator(_existing), Field(json_schema_extra={"format": "productId"})]
"""An existing product, checked in a transaction; web clients show their product picker."""


@declares
def product_id(product_ids: Iterable[UUID] | None = None) -> Any:
    """The type of a product's id that must be one of these; None: of any existing product."""
    if product_ids is None:
        return ProductId
    allowed = tuple(product_ids)
    names = [str(each) for each in allowed]

    def one_of(chosen: UUID) -> UUID:
        if chosen not in allowed:
            raise PydanticCustomError("enum", "Input should be one of {expected}", {"expected": ", ".join(names)})
        return chosen

    extra: Any = {"format": "productId", "uniforms": {"productIds": names}}
    return Annotated[UUID, AfterValidator(one_of), AfterValidator(_existing), Field(json_schema_extra=extra)]


@declares
def customer_contact_list(
    customer_id: str | None = None,
    customer_key: str | None = "customer_id",
    min_items: int | None = None,
    max_items: int | None = None,
) -> Any:
    """The type of a list of contact persons of a customer; empty items are removed before counting.

    Web clients offer the contacts of `customer_id`, or else of the customer in the form's field `customer_key`.
    """
    extra: Any = {"customerId": customer_id, "customerKey": customer_key}
    return Annotated[
        list[ContactPerson],
        Len(min_items or 0, max_items),
        BeforeValidator(remove_empty_items),
        Field(json_schema_extra={key: value for key, value in extra.items() if value}),
    ]
