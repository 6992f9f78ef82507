"""History is written with the change, can be read as models, and two documents can be compared."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from resources.domain.saving.changes import SubscriptionChange, difference
from resources.domain.saving.reading import read_versions
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import PastIsReadOnly, UnknownSubscription
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import (
    Circuit,
    Device,
    DeviceInactive,
    EndpointBlock,
    SocketBlock,
    active_circuit,
    active_device,
)


def saved(subscription: SubscriptionModel) -> SubscriptionChange:
    change = subscription.save()
    assert change is not None
    return change


def renamed(device: Device, *names: str) -> Device:
    for name in names:
        device.device.hostname = name
        device.save()
    return device


def now(session: Session) -> datetime:
    moment: datetime = session.scalar(sa.text("SELECT clock_timestamp()"))
    return moment


# --- history ---


def test_each_change_is_a_version_and_no_change_is_none(session: Session) -> None:
    device = renamed(active_device("one"), "two", "two", "three")

    history = read_versions(device.subscription_id)

    assert [(each.version, each.document["device"]["hostname"]) for each in history] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
    ]


def test_the_past_can_be_read_by_version(session: Session) -> None:
    device = renamed(active_device("one"), "two")

    past = Device.as_of(device.subscription_id, 1)

    assert (past.device.hostname, past.version) == ("one", 1)
    assert past.product == device.product
    assert past.start_date == device.start_date


def test_the_past_can_be_read_by_time(session: Session) -> None:
    device = active_device("one")
    between = now(session)
    renamed(device, "two")

    assert Device.as_of(device.subscription_id, between).device.hostname == "one"
    assert Device.as_of(device.subscription_id, now(session)).device.hostname == "two"


def test_the_past_has_the_class_of_its_status(session: Session) -> None:
    device = active_device("one")
    ended = DeviceInactive.from_other_lifecycle(device, SubscriptionLifecycle.TERMINATED)
    ended.save()

    assert type(Device.as_of(device.subscription_id, 1)) is Device
    assert DeviceInactive.as_of(device.subscription_id, 2) == ended


def test_blocks_of_others_are_as_they_were_then_in_one_statement(session: Session, statements: StatementCount) -> None:
    device = active_device("then")
    circuit = active_circuit(device, ends=2)
    between = now(session)
    renamed(device, "now")
    statements.clear()

    by_time = Circuit.as_of(circuit.subscription_id, between)
    by_version = Circuit.as_of(circuit.subscription_id, 1)
    today = Circuit.as_of(circuit.subscription_id, now(session))

    for past, name in ((by_time, "then"), (by_version, "then"), (today, "now")):
        assert past.circuit.endpoints[0].socket.device.hostname == name
    assert statements.count == 3 + 1


def test_the_newest_version_equals_the_present(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=3)

    assert Circuit.as_of(circuit.subscription_id, 1) == Circuit.from_subscription(circuit.subscription_id)


def test_the_past_cannot_be_saved(session: Session) -> None:
    past = Device.as_of(active_device().subscription_id, 1)
    past.description = "another"

    with pytest.raises(PastIsReadOnly, match="was read in its version 1, which cannot be saved"):
        past.save()
    with pytest.raises(PastIsReadOnly):
        DeviceInactive.from_other_lifecycle(past, SubscriptionLifecycle.TERMINATED, skip_validation=True).save()


def test_a_version_that_never_was_is_named(session: Session) -> None:
    device = active_device()

    with pytest.raises(UnknownSubscription, match="has no version 7"):
        Device.as_of(device.subscription_id, 7)
    with pytest.raises(UnknownSubscription, match="has no version at 2000-01-01"):
        Device.as_of(device.subscription_id, datetime(2000, 1, 1, tzinfo=UTC))


def test_a_time_without_zone_is_refused(session: Session) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Device.as_of(active_device().subscription_id, datetime(2030, 1, 1))  # noqa: DTZ001


def test_history_goes_with_the_subscription(session: Session) -> None:
    device = active_device()
    session.execute(sa.text("DELETE FROM subscriptions"))

    assert read_versions(device.subscription_id) == []


# --- difference ---


def test_a_new_subscription_differs_in_everything(session: Session) -> None:
    device = DeviceInactive.from_product_id(active_device().product.product_id, "c")
    change = saved(device)

    assert change.before is None
    assert {"path": "customer_id", "before": None, "after": "c"} in change.difference()


def test_a_difference_is_flat_and_names_the_path(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)
    circuit.circuit.endpoints[1].socket.socket_name = "renamed"
    circuit.circuit.endpoints[1].socket.speeds.append(7)
    circuit.end_date = datetime(2030, 1, 1, tzinfo=UTC)

    assert saved(circuit).difference() == [
        {"path": "end_date", "before": None, "after": "2030-01-01T00:00:00Z"},
        {"path": "circuit.endpoints.1.socket.socket_name", "before": "ge-0/0/1", "after": "renamed"},
        {"path": "circuit.endpoints.1.socket.speeds", "before": [10, 1, 5], "after": [10, 1, 5, 7]},
    ]


def test_added_and_removed_blocks_are_told_whole(session: Session) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=3)
    own = circuit.subscription_id
    gone = circuit.circuit.endpoints.pop(0)
    added = EndpointBlock.new(own, vlan=9, socket=SocketBlock.new(own, socket_name="new", device=device.device))
    circuit.circuit.endpoints.append(added)

    first, second = saved(circuit).difference()

    assert (first["path"], first["before"], first["after"]["vlan"]) == ("circuit.endpoints.2", None, 9)
    assert (second["path"], second["after"]) == ("circuit.endpoints.0", None)
    assert second["before"]["subscription_instance_id"] == str(gone.subscription_instance_id)


def test_a_reordered_list_is_one_difference(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=3)
    before = [str(end.subscription_instance_id) for end in circuit.circuit.endpoints]
    circuit.circuit.endpoints = list(reversed(circuit.circuit.endpoints))

    assert saved(circuit).difference() == [
        {"path": "circuit.endpoints", "before": before, "after": list(reversed(before))}
    ]


def test_an_exchanged_foreign_block_shows_both_references(session: Session) -> None:
    one, other = active_device("one"), active_device("other")
    circuit = active_circuit(one, ends=2)
    circuit.circuit.endpoints[0].socket.device = other.device

    [only] = saved(circuit).difference()

    assert only["path"] == "circuit.endpoints.0.socket.device"
    assert only["before"]["owner_subscription_id"] == str(one.subscription_id)
    assert only["after"]["owner_subscription_id"] == str(other.subscription_id)


def test_any_two_versions_can_be_compared(session: Session) -> None:
    device = renamed(active_device("one"), "two", "three")
    first, _, third = read_versions(device.subscription_id)

    assert difference(first.document, third.document) == [
        {"path": "device.hostname", "before": "one", "after": "three"}
    ]
    assert difference(first.document, first.document) == []
    assert first.created_at < third.created_at < datetime.now(UTC) + timedelta(minutes=5)
