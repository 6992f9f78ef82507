"""What is written of a subscription: its values, the order of its blocks, and where they stand."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.database.tables import SubscriptionInstanceRelationTable, SubscriptionInstanceTable
from resources.domain.subscription_model import SubscriptionModel
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import (
    CUSTOMER,
    Circuit,
    CircuitInactive,
    Device,
    SocketBlockInactive,
    active_circuit,
    active_device,
    add_product,
)
from tests.test_resources.test_domain.test_saving.holders import stored_blocks


def test_lists_keep_their_order_and_values_their_types(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)
    key = circuit.circuit.endpoints[0].socket.subscription_instance_id

    row = session.get_one(SubscriptionInstanceTable, key)

    assert row.values == {"socket_name": "ge-0/0/0", "speeds": [10, 1, 5]}


def test_blocks_in_a_list_keep_their_order(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=4)
    circuit.circuit.endpoints = list(reversed(circuit.circuit.endpoints))
    circuit.save()

    assert [end.vlan for end in Circuit.from_subscription(circuit.subscription_id).circuit.endpoints] == [
        103, 102, 101, 100,
    ]  # fmt: skip


class BenchInactive(SubscriptionModel, is_base=True):
    """Blocks at the root that change places."""

    sockets: list[SocketBlockInactive]
    spare: SocketBlockInactive | None = None


def saved_bench() -> BenchInactive:
    bench = BenchInactive.from_product_id(add_product("bench"), CUSTOMER)
    bench.sockets = [SocketBlockInactive.new(bench.subscription_id, socket_name=name) for name in "abc"]
    bench.save()
    return bench


def test_blocks_in_a_list_at_the_root_keep_their_order(session: Session) -> None:
    bench = saved_bench()
    bench.sockets = list(reversed(bench.sockets))
    assert bench.save() is not None

    assert [each.socket_name for each in BenchInactive.from_subscription(bench.subscription_id).sockets] == [*"cba"]


def test_a_root_block_that_changes_fields_is_found_in_the_new_one(session: Session) -> None:
    bench = saved_bench()
    bench.spare = bench.sockets.pop()
    bench.save()

    assert BenchInactive.from_subscription(bench.subscription_id) == bench


def test_labels_are_kept(session: Session) -> None:
    device = active_device()
    device.device.label = "left rack"
    device.save()

    assert Device.from_subscription(device.subscription_id).device.label == "left rack"


def test_a_removed_block_goes_with_all_that_only_it_held(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=3)
    gone = circuit.circuit.endpoints.pop()

    circuit.save()

    left = stored_blocks(circuit)
    assert len(left) == 5
    assert not left & {gone.subscription_instance_id, gone.socket.subscription_instance_id}
    holders = set(session.scalars(sa.select(SubscriptionInstanceRelationTable.in_use_by_id)))
    assert gone.subscription_instance_id not in holders


def test_a_block_that_moves_to_another_holder_stays(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=3)
    kept = circuit.circuit.endpoints[2].socket
    circuit.circuit.endpoints[0].socket = kept
    circuit.circuit.endpoints.pop()

    circuit.save()

    read = Circuit.from_subscription(circuit.subscription_id)
    assert read.circuit.endpoints[0].socket == kept
    assert read == circuit


def test_one_block_in_two_places_is_one_object_again(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)
    circuit.circuit.endpoints[0].socket = circuit.circuit.endpoints[1].socket
    circuit.save()

    read = Circuit.from_subscription(circuit.subscription_id).circuit

    assert read.endpoints[0].socket is read.endpoints[1].socket


def test_a_terminated_subscription_keeps_its_rows(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)
    ended = CircuitInactive.from_other_lifecycle(circuit, SubscriptionLifecycle.TERMINATED)
    change = ended.save()

    assert change is not None
    assert {one["path"] for one in change.difference()} == {"status", "end_date"}
    assert CircuitInactive.from_subscription(circuit.subscription_id) == ended
