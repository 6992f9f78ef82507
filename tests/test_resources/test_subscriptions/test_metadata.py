"""Free JSON beside a subscription."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue
from resources.errors import UnknownSubscription
from resources.subscriptions.metadata import read_metadata, write_metadata
from tests.test_resources.test_domain.samples import block, model, product, subscribe


@pytest.fixture
def subscription(session: Session) -> UUID:
    """A subscription without metadata."""
    Catalogue([product(model("NotedModel", {"node": block("Node", {})}))]).apply()
    return subscribe(catalogue_id("product", "Node"))


def test_metadata_is_empty_before_it_is_written(subscription: UUID) -> None:
    assert read_metadata(subscription) == {}


def test_writing_replaces_what_was_written(subscription: UUID) -> None:
    write_metadata(subscription, {"a": 1})
    write_metadata(subscription, {"b": [None, {"c": 2.5}]})
    assert read_metadata(subscription) == {"b": [None, {"c": 2.5}]}


def test_an_unknown_subscription_has_no_metadata_to_write(session: Session) -> None:
    with pytest.raises(UnknownSubscription):
        write_metadata(uuid4(), {})
