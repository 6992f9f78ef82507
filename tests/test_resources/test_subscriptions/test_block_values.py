"""Questions about subscriptions, in place of queries of one's own: by product, status and values of blocks."""

import logging
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from resources.domain.models.vlans import VlanRanges
from resources.errors import InvalidQuery
from resources.subscriptions.block_values import value_of
from resources.subscriptions.lists import FIRST, count_subscriptions, list_subscriptions
from tests.test_resources.test_domain.domain import (
    CUSTOMER,
    CircuitInactive,
    DeviceInactive,
    active_circuit,
    active_device,
    add_product,
)
from tests.test_resources.test_domain.samples import subscribe


@pytest.fixture
def two(session: Session) -> dict[str, Any]:
    """A device, and a circuit of 1000 Mbit/s with the VLANs 100 and 101 on it."""
    device = active_device("ams1")
    return {"device": device.subscription_id, "circuit": active_circuit(device, ends=2).subscription_id}


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (value_of("device.hostname") == "ams1", "device"),
        (value_of("device.hostname") == "ams2", None),
        (value_of("device.hostname") != "ams2", "device"),
        (value_of("device.hostname") == None, None),  # noqa: E711
        (value_of("device.hostname") != None, "device"),  # noqa: E711
        (value_of("device.hostname").in_(["bru1", "ams1"]), "device"),
        (value_of("device.hostname") > "ams", "device"),
        (value_of("circuit.speed") >= 1000, "circuit"),
        (value_of("circuit.speed") > 1000, None),
        (value_of("circuit.speed") < "9", None),
        (value_of("circuit.endpoints.vlan") == 101, "circuit"),
        (value_of("circuit.endpoints.vlan") >= 102, None),
        (value_of("circuit.endpoints.socket.device.hostname") == "ams1", "circuit"),
        (value_of("circuit.endpoints.socket.speeds") == [10, 1, 5], "circuit"),
        (value_of("circuit.endpoints.socket.speeds") == [10], None),
        (value_of("protected") == True, "circuit"),  # noqa: E712
        (value_of("circuit.vlans") == VlanRanges("2-5"), None),
    ],
)
def test_subscriptions_are_found_by_a_value(two: dict[str, Any], condition: Any, found: str | None) -> None:
    assert [line.subscription_id for line in list_subscriptions([condition])] == ([two[found]] if found else [])
    assert count_subscriptions([condition]) == (1 if found else 0)


@pytest.mark.parametrize("value", [True, None, ["a"]])
def test_only_numbers_and_text_have_an_order(value: object) -> None:
    with pytest.raises(InvalidQuery, match="'speed' is compared by >="):
        _ = value_of("circuit.speed") >= value


def test_a_path_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidQuery, match=r"'port\.speed >= 1' is no path to a value"):
        value_of("port.speed >= 1")


def test_subscriptions_are_found_by_product_and_statuses(session: Session, statements: StatementCount) -> None:
    wanted = add_product("wanted")
    fits = [subscribe(wanted, status=status) for status in ("active", "provisioning")]
    subscribe(wanted, status="terminated")
    subscribe(add_product("other"), status="active")
    statements.clear()

    found = list_subscriptions(product_type="wanted", status=("active", "provisioning"))

    assert {line.subscription_id for line in found} == set(fits)
    assert statements.count == 1


def test_a_status_that_there_is_not_is_refused(session: Session) -> None:
    with pytest.raises(InvalidQuery, match=r"'status' is one of initial, active.*, not 'live'"):
        list_subscriptions(status="live")


def test_a_list_that_is_cut_says_so(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    product_id = add_product("listed")
    for _ in range(FIRST + 1):
        DeviceInactive.from_product_id(product_id, CUSTOMER).save()

    with caplog.at_level(logging.WARNING):
        found = list_subscriptions(product="listed")

    assert (len(found), found.is_cut) == (FIRST, True)
    assert f"more subscriptions than the first {FIRST}" in caplog.text


def test_a_whole_list_says_nothing(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    DeviceInactive.from_product_id(add_product("listed"), CUSTOMER).save()

    with caplog.at_level(logging.WARNING):
        assert not list_subscriptions(product="listed").is_cut

    assert caplog.text == ""


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        (value_of("device.hostname") == "ams1", "ix_subscription_instances_values"),
        (value_of("protected") == True, "ix_subscriptions_product_id"),  # noqa: E712
        (value_of("circuit.speed") >= 1000, "ix_subscription_instances_subscription_id"),
    ],
)
def test_an_index_serves_a_question(session: Session, condition: Any, index: str) -> None:
    """Together with a product, as such questions are asked."""
    connection, sent = session.connection(), []
    connection.exec_driver_sql("TRUNCATE subscriptions CASCADE")  # a plan depends on what was there
    CircuitInactive.from_product_id(add_product("circuit"), CUSTOMER).save()
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")

    def note(*arguments: Any) -> None:
        sent.append(arguments[2:4])

    event.listen(connection, "before_cursor_execute", note)
    list_subscriptions([condition], product="circuit")
    event.remove(connection, "before_cursor_execute", note)
    [(statement, values)] = sent
    plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())
    assert index in plan, plan
