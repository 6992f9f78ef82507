"""What customers call subscriptions."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue
from resources.errors import StaleSubscription, SubscriptionError, UnknownSubscription
from resources.subscriptions.customer_descriptions import (
    create_customer_description,
    customer_description,
    customer_descriptions,
    delete_customer_description,
    description_for_customer,
    update_customer_description,
)
from tests.test_resources.test_domain.samples import block, model, product, subscribe


@pytest.fixture
def subscription(session: Session) -> UUID:
    """A subscription to describe."""
    Catalogue([product(model("DescribedModel", {"node": block("Node", {})}))]).apply()
    return subscribe(catalogue_id("product", "Node"))


def test_a_description_is_found_by_customer(subscription: UUID) -> None:
    created = create_customer_description(subscription, "acme", "Our router")
    assert description_for_customer(subscription, "acme") == created


def test_a_second_description_of_a_pair_is_refused(subscription: UUID) -> None:
    create_customer_description(subscription, "acme", "Our router")
    with pytest.raises(SubscriptionError, match="'acme' has a description"):
        create_customer_description(subscription, "acme", "Again")


def test_two_customers_may_describe_one_subscription(subscription: UUID) -> None:
    for customer in ("b", "a"):
        create_customer_description(subscription, customer, customer)
    assert [one.customer_id for one in customer_descriptions(subscription)] == ["a", "b"]


def test_an_unknown_subscription_cannot_be_described(session: Session) -> None:
    with pytest.raises(UnknownSubscription):
        create_customer_description(uuid4(), "acme", "Our router")


def test_an_update_raises_the_version(subscription: UUID) -> None:
    created = create_customer_description(subscription, "acme", "Our router")
    updated = update_customer_description(created.id, "The router", version=1)
    assert updated is not None
    assert (updated.description, updated.version) == ("The router", 2)


def test_an_update_with_a_stale_version_is_refused(subscription: UUID) -> None:
    created = create_customer_description(subscription, "acme", "Our router")
    update_customer_description(created.id, "The router")
    with pytest.raises(StaleSubscription, match="has version 2, you changed version 1"):
        update_customer_description(created.id, "Mine", version=1)


def test_updating_what_is_not_there_says_so(session: Session) -> None:
    assert update_customer_description(uuid4(), "Nothing", version=1) is None


def test_deleting_may_run_twice(subscription: UUID) -> None:
    created = create_customer_description(subscription, "acme", "Our router")
    assert [delete_customer_description(created.id) for _ in range(2)] == [True, False]
    assert customer_description(created.id) is None
