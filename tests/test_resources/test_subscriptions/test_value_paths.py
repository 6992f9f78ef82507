"""Searches by typed values: what the models of the registered products declare."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from ipaddress import IPv4Interface, IPv6Address
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.errors import InvalidQuery
from resources.subscriptions.list_fields import Kind
from resources.subscriptions.lists import find_subscriptions
from resources.subscriptions.search_query import render
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from resources.subscriptions.value_paths import value_paths
from tests.test_resources.test_domain.domain import CircuitInactive, active_circuit, active_device, add_product
from tests.test_resources.test_domain.samples import block, model, registry_kept

FREELY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


class Mode(StrEnum):
    """How a line is used."""

    TAGGED = "tagged"
    LINK_MEMBER = "link member"


class Speed(IntEnum):
    """In Mbit/s."""

    G10 = 10_000


LINE = block(
    "Query Line",
    {
        "line_name": (str, "Ams1-Core uplink 50%"),
        "octets": (int, 2**63 - 1),
        "price": (Decimal, Decimal("1234567890123456789.10")),
        "loss": (float, 0.5),
        "mode": (Mode, Mode.LINK_MEMBER),
        "medium": (Literal["fibre", "copper"], "fibre"),
        "gauge": (Speed, Speed.G10),
        "lit": (bool, True),
        "since": (datetime, datetime(2024, 2, 29, 12, tzinfo=UTC)),
        "loopback": (IPv6Address, IPv6Address("fd00:10::1")),
        "uplink": (IPv4Interface, IPv4Interface("10.0.0.1/30")),
        "vlans": (list[int], [7, 100]),
        "rack": (str | None, None),
        "passphrase": (SecretStr, SecretStr("correcthorse")),
    },
)
NOTE = block("Query Note", {"passphrase": (str, "battery"), "octets": (int, 5)})
LINE_PRODUCT = model("QueryLine", {"site": str, "line": LINE, "remark": NOTE})


@pytest.fixture
def registered() -> Iterator[None]:
    """The models, registered."""
    with registry_kept():
        SUBSCRIPTION_MODEL_REGISTRY["query line"] = LINE_PRODUCT
        SUBSCRIPTION_MODEL_REGISTRY["query circuit"] = CircuitInactive
        yield


@pytest.fixture
def line(session: Session, registered: None) -> UUID:
    """A line, beside a device and a circuit."""
    active_circuit(active_device("mad1"), ends=2)
    new = LINE_PRODUCT.from_product_id(add_product("query line", site="AMS"), "acme")
    new.save()
    return new.subscription_id


def found(search: str) -> list[UUID]:
    return [one.subscription_id for one in find_subscriptions(search).lines]


@pytest.mark.parametrize(
    "search",
    [
        "line.octets>=9223372036854775807",
        "subscription.line.octets>=9223372036854775807",
        "line.octets=9223372036854775807",
        "line.octets:9223372036854775806..9223372036854775807",
        "octets:9223372036854775807",
        "-line.octets<9223372036854775807 site:ams",
        "line.price=1234567890123456789.1",
        "line.price>1234567890123456789.09",
        "line.price<1234567890123456789.11",
        "line.loss<=0.5",
        "loss:0.5",
        "line.mode:link",
        'line.mode="link member"',
        "medium=FIBRE",
        "gauge>=10000",
        "line.lit:true",
        "line.since:2024-02-29",
        "line.since>2024-02-28",
        "line.since>=2024-02-29T13:00:00+01:00",
        "line.since:2024",
        "line.loopback:fd00:10::1",
        "loopback:FD00:0010:0:0::1",
        "loopback=fd00*",
        "uplink:10.0.0.1/30",
        "uplink:10.0",
        "vlans:100",
        "line.vlans>99",
        "line.line_name:ams1-co",
        "line.lineName:upl*",
        "line_name:upl",
        'line.line_name:"core uplink"',
        'line_name="ams1-core uplink 50%"',
        "line_name=ams1*50%",
        "line.line_name:*1-core*",
        "line_name=*",
        "site=ams",
        "site:ams lit:true",
        'site:ams line.rack="" -line.lit:false',
        "passphrase:battery",
        "remark.passphrase=battery",
    ],
)
def test_a_value_is_found_by_its_type(line: UUID, search: str) -> None:
    assert found(search) == [line]


@pytest.mark.parametrize(
    "search",
    [
        "line.octets>9223372036854775807",
        "octets:9223372036854775806",
        "line.price=1234567890123456789",
        "line.lit:false",
        "line.since>2024-02-29",
        "line.since<2024-02-29",
        "loopback:fd00:10::2",
        "uplink:10.0.0.1/31",
        "vlans:10",
        "line.line_name:core-ams1",
        'line.line_name:"core upl"',
        "line_name=ams1",
        "line.rack=*",
        "site:ams -lit:true",
        "passphrase:correct*",
        "passphrase=correcthorse",
        "passphrase=*horse",
        "remark.passphrase=correcthorse",
        "correcthorse",
        "*recthor*",
    ],
)
def test_a_value_that_is_not_there_is_not_found(line: UUID, search: str) -> None:
    """Least of all a secret, also where another block has a value of that name."""
    assert line not in found(search)


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("line.octets:many", "'line.octets' is a number; 'many' is none"),
        ("lit:maybe", "'lit' is true or false"),
        ("mode:tagd", "did you mean 'tagged'?"),
        ("line.loopback>fd00::", "'line.loopback' has no order"),
        ("line.since:soon", "'soon' is not a date"),
        ("ams line.octet>5", "no field 'line.octet' (at character 5); did you mean 'line.octets'"),
        ("line.passphrase:x", "no field 'line.passphrase'"),
        ("lien_name:x", "'line_name'"),
        ("statsu:active", "did you mean 'status'"),
        ("AS65000:1", 'written in quotes, as "a:b"'),
    ],
)
def test_what_a_field_cannot_be_is_a_sentence(line: UUID, search: str, said: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        found(search)
    assert said in str(refused.value)


def test_a_path_leads_through_lists_and_other_subscriptions(registered: None, session: Session) -> None:
    circuit = active_circuit(active_device("mad1"), ends=2)
    for search in ("circuit.endpoints.vlan:101", "circuit.endpoints.socket.device.hostname=mad1", "endpoints.vlan>100"):
        assert found(search) == [circuit.subscription_id], search


def test_each_value_of_the_models_has_a_path_but_secrets(registered: None) -> None:
    known = {one.path: one.kind for one in value_paths()}
    assert known["line.octets"] is Kind.NUMBER
    assert known["circuit.endpoints.socket.device.hostname"] is Kind.TEXT
    assert known["site"] is Kind.TEXT
    assert "line.passphrase" not in known


@pytest.mark.parametrize("search", ["line.octets>5", "circuit.endpoints.vlan:101", "site=ams -lit:true", "loopback:*"])
def test_values_take_no_statement_of_their_own(line: UUID, statements: StatementCount, search: str) -> None:
    statements.clear()
    find_subscriptions(search)
    assert statements.count <= 2


@FREELY
@given(
    name=st.sampled_from(["octets", "line.price", "since", "lit", "line.mode", "loopback", "site", "vlans"]),
    sign=st.sampled_from([":", "=", ">", ">=", "<", "!=", ":1.."]),
    value=st.from_regex(r"[0-9a-z*.:/+-]{1,30}", fullmatch=True) | st.text(max_size=20),
)
def test_any_value_gives_an_answer_or_a_sentence(line: UUID, name: str, sign: str, value: str) -> None:
    try:
        found(f"{name}{sign}{value}")
    except InvalidQuery as error:
        assert str(error)


@pytest.mark.parametrize(
    ("field", "text", "query"),
    [
        ("status", "Active-Provisioning", "status=Active|status=Provisioning"),
        ("customerId", "a-b|c", "customer_id=a-b|customer_id=c"),
        ("description", "!ams1-core*", "-description=ams1-core*"),
        ("startDate", ">=2024-01-01", "start_date>=2024-01-01"),
        ("insync", "false", "insync=false"),
    ],
)
def test_a_filter_and_a_search_are_one_language(field: str, text: str, query: str) -> None:
    assert render(SUBSCRIPTION_FIELDS.field(field).read(text)) == query
