"""Look-ups: what somebody means is found by id, by the beginning of one, or by name."""

from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Session

from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue
from resources.database.tables import SubscriptionTable
from resources.domain.saving import search_text
from resources.errors import SubscriptionError, UnknownProduct, UnknownSubscription
from resources.subscriptions.queries import (
    find_product,
    find_subscription,
    find_subscription_id,
    find_subscription_named,
)
from tests.test_resources.test_domain.samples import block, model, product, subscribe

MODEL = model("ListedModel", {"node": block("Node", {})})
NODE, PORT = catalogue_id("product", "Node Cisco"), catalogue_id("product", "Port")


@pytest.fixture(autouse=True)
def catalogue(session: Session) -> None:
    """Two products."""
    port = product(MODEL, name="Port", product_type="Port", tag="PORT")
    Catalogue([product(MODEL, name="Node Cisco"), port]).apply()


def searchable(session: Session, description: str, text: str) -> None:
    identifier = subscribe(NODE, description)
    vector = sa.cast(search_text.vector([("note", text)]), TSVECTOR)
    session.execute(sa.update(SubscriptionTable).filter_by(subscription_id=identifier).values(search=vector))


# --- by id ---


@pytest.mark.parametrize("prefix", ["abcd", "ABCD1234", "abcd1234-0000-4000-8000-000000000001", "abcd1234-00"])
def test_a_subscription_is_found_by_the_beginning_of_its_id(prefix: str) -> None:
    identifier = UUID("abcd1234-0000-4000-8000-000000000001")
    subscribe(NODE, "wanted", subscription_id=identifier)
    subscribe(NODE, "other", subscription_id=UUID("abce1234-0000-4000-8000-000000000001"))
    assert find_subscription(prefix).subscription_id == find_subscription_id(prefix) == identifier


def test_an_ambiguous_beginning_is_refused_with_the_candidates() -> None:
    for last in (1, 2):
        subscribe(NODE, f"number {last}", subscription_id=UUID(int=0xABCD1234_0000_4000_8000_000000000000 + last))
    with pytest.raises(SubscriptionError, match=r"(?s)more of it.*number 1.*number 2"):
        find_subscription("abcd")


@pytest.mark.parametrize("prefix", ["abc", "ams1", "", "zzzzzzzz", "a" * 33])
def test_what_is_no_id_is_refused_with_what_would_be(prefix: str) -> None:
    with pytest.raises(UnknownSubscription, match="at least 4"):
        find_subscription(prefix)


def test_an_id_that_nobody_has_is_said_to_be_unknown() -> None:
    with pytest.raises(UnknownSubscription, match="There is no subscription abcd"):
        find_subscription("abcd")
    with pytest.raises(UnknownSubscription, match="There is no subscription abcd1234"):
        find_subscription_id("abcd1234-0000-4000-8000-000000000009")


# --- by name ---


@pytest.mark.parametrize("name", ["abcd1234", "Node ams1", "ams1", "AMS1", " ams1 ", "core-rou", "core ams"])
def test_a_subscription_is_found_by_what_people_call_it(session: Session, name: str) -> None:
    identifier = UUID("abcd1234-0000-4000-8000-000000000001")
    subscribe(NODE, "Node ams1", subscription_id=identifier)
    vector = sa.cast(search_text.vector([("note", "node ams1 cisco core_router")]), TSVECTOR)
    session.execute(sa.update(SubscriptionTable).filter_by(subscription_id=identifier).values(search=vector))
    searchable(session, "Node ams10", "node ams10 nokia")
    assert find_subscription_named(name).subscription_id == identifier


def test_a_name_that_looks_like_an_id_is_a_name() -> None:
    identifier = subscribe(NODE, "Node face1", subscription_id=UUID("abcd1234-0000-4000-8000-000000000001"))
    assert find_subscription_named("face1").subscription_id == identifier


def test_a_terminated_subscription_gives_its_name_to_the_living() -> None:
    subscribe(NODE, "Node ams1", status="terminated")
    living = subscribe(NODE, "Node ams1")
    assert find_subscription_named("ams1").subscription_id == living


def test_a_name_of_several_is_refused_with_the_candidates() -> None:
    for description in ("Node ams1", "Port ams1"):
        subscribe(NODE, description)
    with pytest.raises(SubscriptionError, match=r"(?s)'ams1' may be more than one.*Node ams1.*Port ams1"):
        find_subscription_named("ams1")


@pytest.mark.parametrize("name", ["", "%", "_", "nobody", "'", str(PORT)])
def test_a_name_that_nobody_has_is_said_to_be_unknown(name: str) -> None:
    subscribe(NODE, "Node ams1")
    with pytest.raises(UnknownSubscription, match="There is no subscription"):
        find_subscription_named(name)


# --- products ---


@pytest.mark.parametrize("name_or_id", ["Node Cisco", NODE, str(NODE)])
def test_a_product_is_found_by_name_and_by_id(name_or_id: str | UUID) -> None:
    assert find_product(name_or_id).product_id == NODE


def test_an_unknown_product_is_refused_with_those_called_alike() -> None:
    with pytest.raises(UnknownProduct, match="did you mean 'Node Cisco'"):
        find_product("node cysco")


@pytest.mark.parametrize("wanted", ["node", "Node C", "NODE CISCO"])
def test_an_unknown_product_is_refused_with_those_that_begin_so(wanted: str) -> None:
    with pytest.raises(UnknownProduct, match="did you mean 'Node Cisco'"):
        find_product(wanted)


@pytest.mark.parametrize("wanted", ["Nonsense", "", "Router"])
def test_a_product_like_no_other_is_refused_with_those_there_are(wanted: str) -> None:
    with pytest.raises(UnknownProduct, match="there are 'Node Cisco', 'Port'"):
        find_product(wanted)
