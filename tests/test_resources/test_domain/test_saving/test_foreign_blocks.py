"""Blocks that belong to other subscriptions: shown, held and never written."""

from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from resources.errors import BlockInUse, InvalidBlocks
from tests.test_resources.test_domain.domain import (
    CUSTOMER,
    Circuit,
    Device,
    DeviceBlockInactive,
    active_circuit,
    active_device,
    add_product,
)
from tests.test_resources.test_domain.test_saving.holders import DeviceUserInactive, saved_holder, stored, stored_blocks


def test_what_another_owns_is_never_written(session: Session) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=2)
    foreign = circuit.circuit.endpoints[0].socket.device
    foreign.hostname = "changed by a guest"
    circuit.description = "another"

    circuit.save()

    assert Device.from_subscription(device.subscription_id).device.hostname == "ams1"


def test_reading_shows_what_the_owner_says_now(session: Session) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=2)
    device.device.hostname = "renamed"
    device.save()

    read = Circuit.from_subscription(circuit.subscription_id)

    assert read.circuit.endpoints[1].socket.device.hostname == "renamed"


def test_a_block_in_use_elsewhere_is_not_removed_and_the_user_named(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=3)
    user = DeviceUserInactive.from_product_id(add_product("user"), CUSTOMER)
    user.holder.socket = circuit.circuit.endpoints[2].socket
    user.save()
    del circuit.circuit.endpoints[2]

    with pytest.raises(BlockInUse, match=rf"is socket of Persistence Holder .* in subscription {user.subscription_id}"):
        circuit.save()

    assert stored(circuit)["version"] == 1
    assert len(stored_blocks(circuit)) == 7


def test_no_longer_holding_a_foreign_block_leaves_it_where_it_is(session: Session) -> None:
    device, holder = active_device(), saved_holder()
    holder.holder.device = device.device
    holder.save()
    holder.holder.device = None
    holder.save()

    assert device.device.in_use_by == []
    assert Device.from_subscription(device.subscription_id) == device


def test_a_block_whose_owner_was_never_saved_cannot_be_held(session: Session) -> None:
    holder = saved_holder()
    holder.holder.device = DeviceBlockInactive.new(uuid4())

    with pytest.raises(InvalidBlocks, match="save its owner first"):
        holder.save()


def test_subscriptions_that_use_each_others_blocks_can_be_read(session: Session, statements: StatementCount) -> None:
    one, other = saved_holder(), saved_holder()
    one.holder.peer = other.holder
    one.save()
    other.holder.peer = DeviceUserInactive.from_subscription(one.subscription_id).holder
    other.save()
    statements.clear()

    read = DeviceUserInactive.from_subscription(one.subscription_id)

    assert read.holder.peer is not None
    assert read.holder.peer.subscription_instance_id == other.holder.subscription_instance_id
    assert read.holder.peer.peer is None
    assert statements.count == 1
    assert read.save() is None
