"""Field types that know of customers, products and subscriptions."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import Field, ValidationError
from pydantic_forms.core.shared import page_schema
from sqlalchemy.orm import Session

from ops.steps.form_fields import CustomerId, ProductId, SubscriptionId, customer_contact_list, product_id
from ops.steps.forms import SubmitFormPage
from resources.domain.models.vlans import VlanRanges
from tests.test_resources.test_domain.domain import add_product

JANE = {"name": "Jane", "email": "jane@example.org"}


def page_of(annotation: Any) -> Any:
    """A page with one field."""

    class Page(SubmitFormPage):
        field: annotation

    return Page


def schema_of(annotation: Any) -> dict[str, Any]:
    """The JSON schema of the field, its title apart."""
    schema: dict[str, Any] = page_schema(page_of(annotation))["properties"]["field"]
    schema.pop("title")
    return schema


def taken(annotation: Any, given: Any) -> Any:
    """What the field makes of an input."""
    return page_of(annotation)(field=given).field


def test_a_customer_is_picked() -> None:
    assert schema_of(CustomerId) == {"type": "string", "format": "customerId", "minLength": 1, "maxLength": 255}


def test_a_subscription_is_picked() -> None:
    assert schema_of(SubscriptionId) == {"type": "string", "format": "subscriptionId"}


def test_a_subscription_has_a_uuid() -> None:
    with pytest.raises(ValidationError, match="valid UUID"):
        taken(SubscriptionId, "ams1")


def test_a_product_is_picked() -> None:
    assert schema_of(ProductId) == {"type": "string", "format": "productId"}


def test_a_product_that_exists_is_taken(session: Session) -> None:
    product = add_product("device")
    assert taken(ProductId, str(product)) == product


@pytest.mark.parametrize("annotation", [ProductId, product_id(), product_id([UUID(int=5)])])
def test_a_product_that_does_not_exist_is_not_found(session: Session, annotation: Any) -> None:
    with pytest.raises(ValidationError, match="Product not found"):
        taken(annotation, UUID(int=5))


def test_a_product_that_is_not_in_the_list_is_refused(session: Session) -> None:
    allowed, other = add_product("device"), add_product("circuit")
    with pytest.raises(ValidationError, match=f"Input should be one of {allowed}"):
        taken(product_id([allowed]), other)


def test_a_product_in_the_list_is_taken(session: Session) -> None:
    allowed = add_product("device")
    assert taken(product_id([allowed]), str(allowed)) == allowed


def test_an_empty_list_allows_no_product(session: Session) -> None:
    with pytest.raises(ValidationError, match="Input should be one of"):
        taken(product_id([]), add_product("device"))


def test_a_client_is_told_the_list_of_products() -> None:
    one = uuid4()
    assert schema_of(product_id([one]))["uniforms"] == {"productIds": [str(one)]}


def test_contacts_that_were_left_empty_are_not_counted() -> None:
    contacts = taken(customer_contact_list(max_items=1), [{}, None, {"name": "", "email": ""}, JANE])
    assert [contact.name for contact in contacts] == ["Jane"]


def test_too_few_contacts_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        taken(customer_contact_list(min_items=1), [{"name": "", "email": ""}])


def test_too_many_contacts_are_refused() -> None:
    with pytest.raises(ValidationError, match="at most 1 item"):
        taken(customer_contact_list(max_items=1), [JANE, JANE])


def test_a_client_is_told_whose_contacts_to_offer() -> None:
    schema = schema_of(customer_contact_list("acme", "partner", 1, 3))
    assert (schema["customerId"], schema["customerKey"]) == ("acme", "partner")
    assert (schema["minItems"], schema["maxItems"]) == (1, 3)


def test_without_a_customer_only_the_field_is_told() -> None:
    schema = schema_of(customer_contact_list())
    assert schema["customerKey"] == "customer_id"
    assert "customerId" not in schema


def test_vlans_are_a_field() -> None:
    assert taken(VlanRanges, "5,2-3") == VlanRanges([2, 3, 5])


def test_a_client_is_told_that_it_is_vlans() -> None:
    schema = schema_of(VlanRanges)
    assert (schema["type"], schema["format"]) == ("string", "vlan")


def test_a_default_of_vlans_is_shown_as_text() -> None:
    class Page(SubmitFormPage):
        vlan: VlanRanges = Field(default_factory=lambda: VlanRanges("2-5"))

    assert page_schema(Page)["properties"]["vlan"]["default"] == "2-5"


def test_a_default_of_vlans_is_taken_back_as_it_is_shown() -> None:
    class Page(SubmitFormPage):
        vlan: VlanRanges = VlanRanges("2-5")

    assert Page(vlan=page_schema(Page)["properties"]["vlan"]["default"]).vlan == VlanRanges("2-5")
