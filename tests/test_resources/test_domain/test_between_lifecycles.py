"""A subscription in another status: what stays, what it must have, and who forbids it."""

import logging
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from pydantic import ValidationError
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import InvalidLifecycle
from tests.test_resources.test_domain.domain import (
    ACTIVE,
    CUSTOMER,
    PROVISIONING,
    TERMINATED,
    Circuit,
    CircuitInactive,
    CircuitProvisioning,
    Device,
    DeviceBlock,
    DeviceBlockInactive,
    DeviceInactive,
    SocketBlock,
    SocketBlockInactive,
    active_circuit,
    active_device,
    add_product,
)


def test_a_new_status_keeps_ids_and_values(session: Session) -> None:
    circuit = CircuitInactive.from_product_id(add_product("circuit"), CUSTOMER)
    circuit.circuit.speed = 10
    for number, end in enumerate(circuit.circuit.endpoints):
        end.vlan = number

    provisioning = CircuitProvisioning.from_other_lifecycle(circuit, PROVISIONING)

    assert type(provisioning.circuit.endpoints[0]).__name__ == "EndpointBlockProvisioning"
    assert provisioning.subscription_id == circuit.subscription_id
    assert provisioning.circuit.subscription_instance_id == circuit.circuit.subscription_instance_id
    assert [end.vlan for end in provisioning.circuit.endpoints] == [0, 1]


def test_what_the_new_status_requires_must_be_there(session: Session) -> None:
    circuit = CircuitInactive.from_product_id(add_product("circuit"), CUSTOMER)

    with pytest.raises(ValidationError, match="vlan"):
        CircuitProvisioning.from_other_lifecycle(circuit, PROVISIONING)


def test_becoming_active_sets_the_start_and_terminated_the_end(session: Session) -> None:
    device = active_device()
    assert device.start_date is not None
    assert device.end_date is None

    ended = DeviceInactive.from_other_lifecycle(device, TERMINATED)

    assert ended.start_date == device.start_date
    assert ended.end_date is not None


def test_a_start_that_is_set_stays(session: Session) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER, start_date=start)
    device.device.hostname = "x"

    assert Device.from_other_lifecycle(device, ACTIVE).start_date == start


def test_a_start_that_is_no_moment_in_utc_is_refused(session: Session) -> None:
    first = datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))
    with pytest.raises(ValidationError, match="within the years 1 to 9999 in UTC"):
        DeviceInactive.from_product_id(add_product("device"), CUSTOMER, start_date=first)


def test_the_bare_class_finds_the_one_for_the_new_status(session: Session, registry: dict[str, type]) -> None:
    device = active_device()
    registry["device ams1"] = Device

    assert type(SubscriptionModel.from_other_lifecycle(device, TERMINATED)) is DeviceInactive


def test_a_class_that_does_not_fit_the_new_status_is_refused(session: Session) -> None:
    with pytest.raises(InvalidLifecycle, match="DeviceInactive is not valid for status active"):
        DeviceInactive.from_other_lifecycle(active_device(), ACTIVE)


def test_the_old_model_stays_as_it_is(session: Session) -> None:
    device = active_device()
    before = device.model_copy(deep=True)

    ended = DeviceInactive.from_other_lifecycle(device, TERMINATED)
    ended.device.hostname = "gone"

    assert device == before


def test_a_block_in_use_forbids_termination_and_names_the_user(session: Session) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=2)

    with pytest.raises(InvalidLifecycle, match=rf"{circuit.subscription_id} \(active\)"):
        DeviceInactive.from_other_lifecycle(device, TERMINATED)

    assert DeviceInactive.from_other_lifecycle(device, TERMINATED, skip_validation=True).status == TERMINATED


class RackInactive(SubscriptionModel, is_base=True):
    """A subscription whose own device hangs below the root."""

    socket: SocketBlockInactive


class Rack(RackInactive, lifecycle=[ACTIVE]):
    """A rack in service."""

    socket: SocketBlock


def saved_rack(device: DeviceBlockInactive | None = None) -> Rack:
    rack = RackInactive.from_product_id(add_product(f"rack {uuid4()}"), CUSTOMER)
    rack.socket.socket_name = "s"
    rack.socket.device = device or DeviceBlockInactive.new(rack.subscription_id, hostname="deep")
    saved = Rack.from_other_lifecycle(rack, ACTIVE)
    saved.save()
    return saved


def test_a_block_deep_in_the_tree_is_protected_too(session: Session) -> None:
    owner = saved_rack()
    user = saved_rack(device=owner.socket.device)

    with pytest.raises(InvalidLifecycle, match=str(user.subscription_id)):
        RackInactive.from_other_lifecycle(owner, TERMINATED)


def test_a_user_in_a_status_that_allows_it_does_not_matter(session: Session) -> None:
    owner = saved_rack()
    user = saved_rack(device=owner.socket.device)
    RackInactive.from_other_lifecycle(user, TERMINATED).save()

    assert RackInactive.from_other_lifecycle(owner, TERMINATED).status == TERMINATED


def test_the_check_is_a_lock_and_a_statement_and_nothing_for_a_status_that_allows_all(
    session: Session, statements: StatementCount
) -> None:
    circuit = active_circuit(active_device())
    statements.clear()

    CircuitInactive.from_other_lifecycle(circuit, TERMINATED)
    assert statements.count == 2
    Circuit.from_other_lifecycle(circuit, ACTIVE)
    assert statements.count == 2


def test_foreign_blocks_are_converted_but_stay_foreign(session: Session) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=2)

    ended = CircuitInactive.from_other_lifecycle(circuit, TERMINATED)
    foreign = ended.circuit.endpoints[0].socket.device

    assert type(foreign) is DeviceBlockInactive
    assert foreign.owner_subscription_id == device.subscription_id


def test_a_kind_the_new_status_does_not_know_is_left_out_with_a_warning(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    class HolderBlockInactive(ProductBlockModel, product_block_name="Subscriptions Holder"):
        held: DeviceBlockInactive | SocketBlockInactive | None = None

    class HolderBlock(HolderBlockInactive, lifecycle=[ACTIVE]):
        held: DeviceBlock | None = None

    class HolderInactive(SubscriptionModel, is_base=True):
        holder: HolderBlockInactive

    class Holder(HolderInactive, lifecycle=[ACTIVE]):
        holder: HolderBlock

    subscription = HolderInactive.from_product_id(add_product("holder"), CUSTOMER)
    subscription.holder.held = SocketBlockInactive.new(subscription.subscription_id)

    with caplog.at_level(logging.WARNING):
        active = Holder.from_other_lifecycle(subscription, ACTIVE)

    assert active.holder.held is None
    assert "HolderBlock.held expects DeviceBlock, not block Test Socket" in caplog.text


def test_blocks_that_only_the_new_status_has_are_made(session: Session) -> None:
    class GrowingInactive(SubscriptionModel, is_base=True):
        device: DeviceBlockInactive

    class GrowingProvisioning(GrowingInactive, lifecycle=[PROVISIONING]):
        extra: SocketBlockInactive

    growing = GrowingInactive.from_product_id(add_product("growing"), CUSTOMER)

    grown = GrowingProvisioning.from_other_lifecycle(growing, PROVISIONING)

    assert grown.extra.owner_subscription_id == growing.subscription_id
