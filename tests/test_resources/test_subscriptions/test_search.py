"""What searches find."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Session

from resources.database.tables import ProductTable, SubscriptionTable
from resources.domain.saving.search_text import vector, words_of
from resources.errors import InvalidQuery
from resources.subscriptions.customer_descriptions import (
    create_customer_description,
    delete_customer_description,
    update_customer_description,
)
from resources.subscriptions.lists import find_subscriptions
from resources.subscriptions.metadata import write_metadata
from resources.subscriptions.search_query import UNKEEPABLE, quote
from tests.test_resources.test_domain.domain import Device, active_circuit, active_device

HOURS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)


def found(search: str) -> list[UUID]:
    return [line.subscription_id for line in find_subscriptions(search).lines]


@pytest.fixture
def ams(session: Session) -> UUID:
    """A device with a host name of several words."""
    device = active_device("ams1-core.example.org")
    device.description = "Core router in Amsterdam"
    device.note = "Ordered by Zoë O'Brien, 50% off"
    device.start_date = datetime(2024, 5, 31, 23, 30, tzinfo=UTC)
    device.save()
    return device.subscription_id


@pytest.fixture(autouse=True)
def lon(session: Session) -> UUID:
    """Another."""
    return active_device("lon7").subscription_id


@pytest.mark.parametrize(
    "search",
    [
        "amster",
        "AMS1",
        "router core",
        "core-router",
        "ams1-co",
        "ams1-core.exa",
        "example",
        '"core router"',
        '"in amsterdam"',
        "zoë",
        "ZOË",
        "o'brien",
        "50%",
        "*mster*",
        "*s1-core*",
        "*1-core.e*",
        "*-cor*",
        "hostname:*xampl*",
        "*bri* -lon7",
        "description=*amster*",
        "description=core*dam",
        "customerId=* amsterdam",
        "hostname:ams1",
        "hostname:example",
        'hostname:"ams1 core"',
        "description:(amster router)",
        "note:(nothing|ordered)",
        "-lon7 core",
        "-hostname:lon7",
        "paris|amsterdam",
        "amsterdam -(paris|lon7)",
        "status:active amsterdam",
        "status:act hostname:ams1",
        "insync:false amsterdam",
        "in_sync:no amsterdam",
        "customer:customer type:device hostname:ams1",
        "product:(device ams1)",
        'productName:"device ams1-core.example.org"',
        "customerId:customer hostname:ams1",
        "startDate:2024",
        "subscription.start_date:2024 subscription.product.type:device",
        "start_date:2024-05",
        "start_date:2024-05-31",
        "start_date:>=2024-05-31 start_date:<2024-06-01 start_date:>2024-05-30 start_date:<=2024-05-31",
    ],
)
def test_is_found(ams: UUID, search: str) -> None:
    assert found(search) == [ams]


@pytest.mark.parametrize(
    "search",
    [
        "msterdam",
        "*s1-xcore*",
        "*1-o*",
        "*-ore*",
        "hostname:*mster*",
        "*9f3*",
        "description=amster*",
        '"core rout"',
        '"router core"',
        "hostname:amsterdam",
        "description:ams1",
        "note:active",
        "-amsterdam core",
        "-status:active",
        "insync:true",
        "status:initial",
        "start_date:2025",
        "start_date:>2024-05-31",
        "tag:amsterdam",
        '"amsterdam ordered"',
        "core &",
        "status:active nothing",
    ],
)
def test_is_not_found(ams: UUID, search: str) -> None:
    assert ams not in found(search)


def test_an_address_a_mac_and_a_url_are_values(session: Session, ams: UUID) -> None:
    """Not a field and its value, although there is a colon in them."""
    device = Device.from_subscription(ams)
    device.note = "fd00:10::1/64 of AB:cd:ef:01:02:03, see https://noc.example.org/7"
    device.save()
    for search in ("fd00:10::1", "FD00:0010:0:0::1", "fd00:10::1/64", "ab:cd:ef:01:02:03", "https://noc.example.org/7"):
        assert found(search) == [ams], search


@pytest.mark.parametrize("search", ["", "  "])
def test_a_blank_search_finds_all(ams: UUID, lon: UUID, search: str) -> None:
    assert set(found(search)) == {ams, lon}


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("insync:perhaps", "true or false"),
        ("status:unknown", "there are initial"),
        ("start_date:2024-13", "not a date"),
        ("start_date:soon", "not a date"),
        ("end_date:9999", "not a date"),
        ("start_date:2024-02-30", "not a date"),
        ("*ab*", "3 letters or digits"),
        ("x" * 600, "may have 512"),
    ],
)
def test_a_value_that_the_field_cannot_have_is_refused(session: Session, search: str, said: str) -> None:
    with pytest.raises(InvalidQuery, match=said):
        found(search)


def test_a_change_is_found_at_once(ams: UUID) -> None:
    create_customer_description(ams, "acme", "Our Übertragung")
    write_metadata(ams, {"rack": {"row": "R-12", "units": [3, 4]}})
    assert found("übertrag") == found("customer_description:our") == [ams]
    assert found("metadata:12") == found("row:r") == found("units:4") == [ams]


def test_what_was_taken_away_is_not_found_any_more(ams: UUID) -> None:
    description = create_customer_description(ams, "acme", "Ours")
    update_customer_description(description.id, "Theirs")
    write_metadata(ams, {"old": "antique"})
    write_metadata(ams, {})
    assert (found("ours"), found("theirs"), found("antique")) == ([], [ams], [])
    delete_customer_description(description.id)
    assert found("theirs") == []


def test_a_product_is_found_as_it_is_called_now(session: Session, ams: UUID) -> None:
    mine = sa.select(SubscriptionTable.product_id).filter_by(subscription_id=ams).scalar_subquery()
    session.execute(sa.update(ProductTable).where(ProductTable.product_id == mine).values(description="renamed"))
    assert found("renamed") == found("product_description:renam") == [ams]


def test_a_value_in_a_list_of_blocks_is_found_by_its_field(session: Session) -> None:
    circuit = active_circuit(active_device("mad1"), ends=2)
    assert found("socketName:ge-0/0/1 vlan:101 protected:true speeds:10") == [circuit.subscription_id]
    assert found("vlan:1000") == []


@HOURS
@given(text=st.text(max_size=40).filter(lambda text: not UNKEEPABLE.search(text)), data=st.data())
def test_every_beginning_of_every_word_finds_it(session: Session, lon: UUID, text: str, data: st.DataObject) -> None:
    keep = sa.cast(vector([("note", text)]), TSVECTOR)
    session.execute(sa.update(SubscriptionTable).filter_by(subscription_id=lon).values(search=keep))
    if words := words_of(text):
        word = data.draw(st.sampled_from(words))
        begun = word[: data.draw(st.integers(1, len(word)))]
        assert found(begun) == [lon]
        assert found(f"note:{begun}") == [lon]
        assert found(quote(text)) == found(f"note:{quote(text)}") == [lon]


@HOURS
@given(search=st.text(max_size=60) | st.text(alphabet="ab:-()|\" '\\é\x00\ud800<>=", max_size=60))
def test_no_search_is_more_than_the_database_can_read(session: Session, search: str) -> None:
    try:
        found(search)
    except InvalidQuery as error:
        assert str(error)
