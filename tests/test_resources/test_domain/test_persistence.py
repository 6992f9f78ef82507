"""Reading takes one statement, saving a constant number; nothing is lost, left over, or written without need."""

import threading
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from annotated_types import Len
from pydantic import Field, SecretStr, ValidationError
from sqlalchemy.orm import Session

from resources.database.session import StatementCount, SubscriptionDatabase, current_session
from resources.database.tables import (
    ProcessTable,
    SubscriptionInstanceRelationTable,
    SubscriptionInstanceTable,
    SubscriptionTable,
    SubscriptionVersionTable,
    WorkflowTable,
)
from resources.domain.blocks import ProductBlockModel
from resources.domain.saving.authorship import Author, authored_by
from resources.domain.saving.documents import make_document
from resources.domain.subscription_model import SavedSubscription, SubscriptionModel, saved_in_transaction
from resources.errors import (
    BlockInUse,
    InvalidBlocks,
    InvalidLifecycle,
    StaleSubscription,
    SubscriptionError,
    SubscriptionLocked,
    UnknownProduct,
    UnknownSubscription,
)
from resources.subscriptions.lists import find_subscriptions
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import (
    CUSTOMER,
    Circuit,
    CircuitInactive,
    Device,
    DeviceBlockInactive,
    DeviceInactive,
    EndpointBlock,
    SocketBlock,
    SocketBlockInactive,
    active_circuit,
    active_device,
    add_product,
)


def stored(subscription: SubscriptionModel) -> dict[str, Any]:
    """The columns of a subscription."""
    table = SubscriptionTable.__table__
    found = current_session().execute(sa.select(table).where(table.c.subscription_id == subscription.subscription_id))
    return dict(found.mappings().one())


def stored_blocks(subscription: SubscriptionModel) -> set[UUID]:
    table = SubscriptionInstanceTable
    return set(
        current_session().scalars(
            sa.select(table.subscription_instance_id).where(table.subscription_id == subscription.subscription_id)
        )
    )


def verbs(statements: StatementCount) -> list[str]:
    """What each statement did to what, in short."""
    return [" ".join(statement.split()[:3]) for statement in statements.statements]


# --- how many statements ---


@pytest.mark.parametrize("ends", [2, 10])
def test_reading_is_one_statement(session: Session, statements: StatementCount, ends: int) -> None:
    circuit = active_circuit(active_device(), ends)
    statements.clear()

    read = Circuit.from_subscription(circuit.subscription_id)

    assert read == circuit
    assert statements.count == 1


@pytest.mark.parametrize("ends", [2, 10])
def test_the_first_save_is_three_statements(session: Session, statements: StatementCount, ends: int) -> None:
    circuit = active_circuit(active_device(), ends)
    sent = verbs(statements)[-3:]

    assert sent == [
        "WITH owners AS",
        "INSERT INTO subscription_instances",
        "INSERT INTO subscription_instance_relations",
    ]
    assert len(stored_blocks(circuit)) == 1 + 2 * ends


def test_saving_what_did_not_change_sends_nothing(session: Session, statements: StatementCount) -> None:
    circuit = Circuit.from_subscription(active_circuit(active_device()).subscription_id)
    statements.clear()

    assert circuit.save() is None
    assert statements.count == 0
    assert circuit.version == 1


def test_saving_twice_sends_nothing_the_second_time(session: Session, statements: StatementCount) -> None:
    device = active_device()
    statements.clear()

    assert device.save() is None
    assert statements.count == 0


def test_a_changed_value_is_two_statements_and_writes_one_block(session: Session, statements: StatementCount) -> None:
    circuit = active_circuit(active_device())
    where = sa.text("SELECT ctid::text FROM subscription_instances")
    before = set(session.scalars(where))
    circuit.circuit.endpoints[3].vlan = 4000
    statements.clear()

    circuit.save()

    assert verbs(statements) == ["WITH owners AS", "INSERT INTO subscription_instances"]
    assert len(before - set(session.scalars(where))) == 1


def test_a_changed_header_is_one_statement(session: Session, statements: StatementCount) -> None:
    circuit = active_circuit(active_device())
    circuit.description = "another"
    statements.clear()

    circuit.save()

    assert verbs(statements) == ["WITH owners AS"]


@pytest.mark.parametrize("ends", [4, 10])
def test_changing_everything_at_once_is_six_statements(session: Session, statements: StatementCount, ends: int) -> None:
    device = active_device()
    circuit = active_circuit(device, ends)
    own = circuit.subscription_id
    endpoints = circuit.circuit.endpoints
    added = EndpointBlock.new(own, vlan=9, socket=SocketBlock.new(own, socket_name="new", device=device.device))
    circuit.circuit.endpoints = [added, *reversed(endpoints[2:])]
    for end in endpoints[2:]:
        end.vlan += 1
    circuit.description = "another"
    statements.clear()

    circuit.save()

    assert verbs(statements) == [
        "SELECT i.subscription_instance_id, i.subscription_id,",
        "WITH owners AS",
        "INSERT INTO subscription_instances",
        "INSERT INTO subscription_instance_relations",
        "DELETE FROM subscription_instance_relations",
        "DELETE FROM subscription_instances",
    ]
    assert Circuit.from_subscription(own) == circuit


# --- what is written ---


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


def test_the_document_has_own_blocks_whole_and_others_as_references(session: Session) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=2)

    document = stored(circuit)["document"]

    own = document["circuit"]["endpoints"][0]["socket"]
    assert own["name"] == "Test Socket"
    assert own["socket_name"] == "ge-0/0/0"
    assert own["device"] == {
        "subscription_instance_id": str(device.device.subscription_instance_id),
        "owner_subscription_id": str(device.subscription_id),
    }
    assert document["protected"] is True
    assert document["product"]["name"] == "circuit"
    assert document["description"] == circuit.description
    assert not {"insync", "version", "title"} & {*document, *document["circuit"]}


@pytest.mark.parametrize(
    "word",
    [
        "status:active",
        "customer_id:customer",
        "note:remember",
        "tag:TEST",
        "product_name:circuit",
        "protected:true",
        "speed:1000",
        "vlan:101",
        "socket_name:ge_0/0/1",
        "speeds:5",
    ],
)
def test_a_subscription_is_found_by_its_words(session: Session, word: str) -> None:
    circuit = active_circuit(active_device(), ends=2)
    circuit.note = "remember"
    circuit.save()

    assert circuit.subscription_id in [line.subscription_id for line in find_subscriptions(word).lines]


def test_a_text_too_long_to_search_can_still_be_saved(session: Session) -> None:
    device = active_device()
    device.device.hostname = "".join(f"word{number} " for number in range(300_000))

    device.save()

    assert Device.from_subscription(device.subscription_id) == device


# --- blocks of other subscriptions ---


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


class HolderBlock(ProductBlockModel, product_block_name="Persistence Holder"):
    """Holds what others own."""

    socket: SocketBlockInactive | None = None
    many: list[SocketBlockInactive]
    device: DeviceBlockInactive | None = None
    peer: "HolderBlock | None" = None
    peers: "list[HolderBlock]"


class DeviceUserInactive(SubscriptionModel, is_base=True):
    """A subscription that lives on others' blocks."""

    holder: HolderBlock
    second: HolderBlock | None = None


def saved_holder() -> DeviceUserInactive:
    made = DeviceUserInactive.from_product_id(add_product(f"holder {uuid4()}"), CUSTOMER)
    made.save()
    return made


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


# --- what is refused ---


def test_a_foreign_block_at_the_root_is_refused(session: Session) -> None:
    one, other = saved_holder(), saved_holder()
    one.holder = other.holder

    with pytest.raises(InvalidBlocks, match=rf"holder: block .* belongs to subscription {other.subscription_id}"):
        one.save()


def test_one_block_in_two_fields_of_the_root_is_refused(session: Session) -> None:
    holder = saved_holder()
    holder.second = holder.holder

    with pytest.raises(InvalidBlocks, match="stands in holder and in second"):
        holder.save()


def test_a_block_that_holds_itself_is_refused(session: Session) -> None:
    holder = saved_holder()
    holder.holder.peers.append(holder.holder)

    with pytest.raises(InvalidBlocks, match="holds itself"):
        holder.save()


def test_two_versions_of_one_block_are_refused(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)
    copy = circuit.circuit.endpoints[1].socket.model_copy()
    copy.socket_name = "different"
    circuit.circuit.endpoints[0].socket = copy

    with pytest.raises(InvalidBlocks, match="two versions of block Test Socket"):
        circuit.save()


def test_what_was_appended_to_a_list_is_validated(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)
    circuit.circuit.endpoints[0].socket.speeds.append("fast")  # type: ignore[arg-type]

    with pytest.raises(ValidationError, match="speeds"):
        circuit.save()


def test_the_length_of_a_list_is_validated(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)
    circuit.circuit.endpoints.pop()

    with pytest.raises(ValidationError, match="at least 2"):
        circuit.save()


def test_a_status_set_by_hand_that_the_class_does_not_fit_is_refused(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    device.status = SubscriptionLifecycle.ACTIVE

    with pytest.raises(InvalidLifecycle, match="DeviceInactive is not valid for status active"):
        device.save()


def test_a_product_that_is_gone_is_named(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    session.execute(sa.text("DELETE FROM products"))

    with pytest.raises(UnknownProduct, match=str(device.subscription_id)):
        device.save()


# --- version, insync, lock ---


def test_each_saved_change_raises_the_version(session: Session) -> None:
    device = active_device()
    assert (device.version, stored(device)["version"]) == (1, 1)

    device.device.hostname = "other"
    change = device.save()

    assert change is not None
    assert (change.version, device.version, stored(device)["version"]) == (2, 2, 2)


def test_a_stale_model_is_refused_and_the_other_writer_named(session: Session) -> None:
    device = active_device()
    mine, theirs = (Device.from_subscription(device.subscription_id) for _ in range(2))
    theirs.description = "theirs"
    with authored_by(Author(user="jane")):
        theirs.save()
    mine.description = "mine"

    with pytest.raises(StaleSubscription, match=r"has version 2, saved by jane at .* read as version 1"):
        mine.save()

    assert stored(device)["description"] == "theirs"


def test_a_new_subscription_whose_id_exists_is_refused(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    twin = device.model_copy(deep=True)
    device.save()

    with pytest.raises(StaleSubscription):
        twin.save()


def test_a_subscription_whose_row_is_gone_is_refused(session: Session) -> None:
    device = active_device()
    session.execute(sa.delete(SubscriptionTable))
    device.description = "another"

    with pytest.raises(UnknownSubscription, match=f"{device.subscription_id} is gone"):
        device.save()


def test_bookkeeping_of_the_engine_is_not_overwritten(session: Session) -> None:
    device = active_device()
    session.execute(sa.update(SubscriptionTable).values(insync=True))
    device.description = "another"

    device.save()

    assert (stored(device)["insync"], device.insync) == (True, False)


def test_insync_is_written_when_the_model_changed_it(session: Session) -> None:
    device = active_device()
    device.insync = True
    device.description = "another"
    device.save()

    assert stored(device)["insync"] is True


def test_insync_alone_makes_no_version(session: Session, statements: StatementCount) -> None:
    device = active_device()
    device.insync = True
    statements.clear()

    assert device.save() is None
    assert verbs(statements) == ["UPDATE subscriptions SET"]
    assert (stored(device)["insync"], stored(device)["version"]) == (True, 1)
    statements.clear()
    assert device.save() is None
    assert statements.count == 0


def test_history_names_the_author(session: Session) -> None:
    process = uuid4()
    with authored_by(Author(user="jane", process_id=process, step_key="reserve")):
        device = active_device()

    row = session.get_one(SubscriptionVersionTable, (device.subscription_id, 1))

    assert (row.created_by, row.process_id, row.step_key) == ("jane", process, "reserve")


def test_a_writer_that_had_to_wait_is_refused(database: SubscriptionDatabase) -> None:
    with database.transaction():
        subscription_id = active_device().subscription_id
    refused: list[Exception] = []
    first_wrote, second_asked = threading.Event(), threading.Event()

    def second() -> None:
        try:
            with database.transaction():
                device = Device.from_subscription(subscription_id)
                device.description = "second"
                first_wrote.wait(20)
                second_asked.set()
                device.save()
        except StaleSubscription as error:
            refused.append(error)

    with database.transaction():
        device = Device.from_subscription(subscription_id)
        device.description = "first"
        thread = threading.Thread(target=second)
        thread.start()
        device.save()
        first_wrote.set()
        second_asked.wait(20)
        _wait_for_a_blocked_writer(database)
    thread.join(20)

    assert len(refused) == 1
    with database.transaction():
        assert Device.from_subscription(subscription_id).description == "first"


def test_a_writer_that_had_to_wait_for_bookkeeping_goes_on(database: SubscriptionDatabase) -> None:
    with database.transaction():
        subscription_id = active_device().subscription_id

    def save() -> None:
        with database.transaction():
            device = Device.from_subscription(subscription_id)
            device.description = "saved"
            device.save()

    with database.transaction() as session:
        session.execute(sa.update(SubscriptionTable).values(insync=True))
        thread = threading.Thread(target=save)
        thread.start()
        _wait_for_a_blocked_writer(database)
    thread.join(20)

    with database.transaction():
        device = Device.from_subscription(subscription_id)
        assert (device.description, device.insync, device.version) == ("saved", True, 2)


def test_a_block_that_came_into_use_meanwhile_is_not_removed(database: SubscriptionDatabase) -> None:
    with database.transaction():
        circuit = active_circuit(active_device(), ends=3)
        add_product("user")
    refused: list[Exception] = []

    def remove() -> None:
        try:
            with database.transaction():
                mine = Circuit.from_subscription(circuit.subscription_id)
                mine.circuit.endpoints.pop()
                mine.save()
        except BlockInUse as error:
            refused.append(error)

    with database.transaction():
        user = DeviceUserInactive.from_product_id(
            current_session().scalar(sa.text("SELECT product_id FROM products WHERE name = 'user'")), CUSTOMER
        )
        user.holder.socket = circuit.circuit.endpoints[2].socket
        user.save()
        thread = threading.Thread(target=remove)
        thread.start()
        _wait_for_a_blocked_writer(database)
    thread.join(20)

    assert len(refused) == 1
    with database.transaction():
        assert Circuit.from_subscription(circuit.subscription_id) == circuit


def _wait_for_a_blocked_writer(database: SubscriptionDatabase) -> None:
    blocked = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(400):
        with database.engine.connect() as connection:
            if connection.scalar(blocked):
                return
        threading.Event().wait(0.05)
    raise AssertionError("nobody waited")


# --- the owners of what is used ---

TERMINATED = SubscriptionLifecycle.TERMINATED


def in_thread(database: SubscriptionDatabase, work: Callable[[], object]) -> tuple[threading.Thread, list[Exception]]:
    """Do something in a transaction of another connection; the refusal that it ran into, once joined."""
    refused: list[Exception] = []

    def run() -> None:
        try:
            with database.transaction():
                work()
        except SubscriptionError as error:
            refused.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, refused


def lock(subscription: SubscriptionModel) -> UUID:
    """Have a process hold the subscription."""
    session, process_id, workflow_id = current_session(), uuid4(), uuid4()
    session.add(WorkflowTable(workflow_id=workflow_id, name=str(workflow_id), target="MODIFY", description=""))
    session.flush()
    session.add(ProcessTable(process_id=process_id, workflow_id=workflow_id, last_status="running", step_keys=[]))
    session.flush()
    session.execute(
        sa.update(SubscriptionTable)
        .where(SubscriptionTable.subscription_id == subscription.subscription_id)
        .values(locked_by=process_id)
    )
    return process_id


def terminated_device() -> Device:
    """A device as it was read before it was terminated."""
    device = active_device()
    DeviceInactive.from_other_lifecycle(device, TERMINATED).save()
    return device


def test_a_block_of_a_terminated_subscription_cannot_come_into_use(session: Session) -> None:
    device = terminated_device()
    with pytest.raises(InvalidBlocks, match=f"{device.subscription_id} .*terminated"):
        active_circuit(device)


def test_nor_by_a_change(session: Session) -> None:
    device, holder = terminated_device(), saved_holder()
    holder.holder.device = device.device
    with pytest.raises(InvalidBlocks, match=str(device.subscription_id)):
        holder.save()


def test_a_refused_user_writes_nothing(session: Session) -> None:
    device, holder = terminated_device(), saved_holder()
    holder.holder.device = device.device
    with pytest.raises(InvalidBlocks):
        holder.save()
    assert stored(holder)["version"] == 1


def test_a_user_that_was_initial_does_not_rise_on_a_terminated_subscription(session: Session) -> None:
    device = active_device()
    user = CircuitInactive.from_product_id(add_product("circuit", protected=True), CUSTOMER)
    user.circuit.speed = 1
    for endpoint in user.circuit.endpoints:
        endpoint.vlan = 5
        endpoint.socket.socket_name, endpoint.socket.device = "s", device.device
    user.save()
    DeviceInactive.from_other_lifecycle(device, TERMINATED).save()

    with pytest.raises(InvalidBlocks, match=str(device.subscription_id)):
        Circuit.from_other_lifecycle(user, SubscriptionLifecycle.ACTIVE).save()


def test_a_user_of_a_terminated_subscription_can_be_terminated(session: Session) -> None:
    device = active_device()
    user = saved_holder()
    user.holder.device = device.device
    user.save()
    DeviceInactive.from_other_lifecycle(device, TERMINATED).save()

    assert DeviceUserInactive.from_other_lifecycle(user, TERMINATED).save() is not None


def test_a_block_of_a_locked_subscription_cannot_come_into_use(session: Session) -> None:
    device, holder = active_device(), saved_holder()
    process_id = lock(device)
    holder.holder.device = device.device
    with pytest.raises(SubscriptionLocked, match=rf"{device.subscription_id} .*process {process_id}"):
        holder.save()


def test_the_process_that_locked_a_subscription_can_use_its_blocks(session: Session) -> None:
    device, holder = active_device(), saved_holder()
    holder.holder.device = device.device
    with authored_by(Author(process_id=lock(device))):
        assert holder.save() is not None


def test_a_block_in_use_already_stays_in_use_while_its_owner_is_locked(session: Session) -> None:
    circuit = active_circuit(device := active_device())
    lock(device)
    circuit.circuit.endpoints[0].vlan = 7
    assert circuit.save() is not None


def test_bringing_blocks_of_others_into_use_costs_no_statement(session: Session, statements: StatementCount) -> None:
    device, holder = active_device(), saved_holder()
    holder.holder.device = device.device
    statements.clear()
    holder.save()
    assert verbs(statements) == ["WITH owners AS", "INSERT INTO subscription_instance_relations"]


def test_a_user_that_comes_while_the_owner_is_terminated_is_refused(database: SubscriptionDatabase) -> None:
    with database.transaction():
        device = active_device()
    with database.transaction():
        DeviceInactive.from_other_lifecycle(device, TERMINATED).save()
        thread, refused = in_thread(database, lambda: active_circuit(device))
        _wait_for_a_blocked_writer(database)
    thread.join(20)

    assert [type(error) for error in refused] == [InvalidBlocks]


def test_an_owner_is_not_terminated_while_a_user_comes(database: SubscriptionDatabase) -> None:
    with database.transaction():
        device = active_device()
    with database.transaction():
        active_circuit(device)
        thread, refused = in_thread(database, lambda: DeviceInactive.from_other_lifecycle(device, TERMINATED).save())
        _wait_for_a_blocked_writer(database)
    thread.join(20)

    assert [type(error) for error in refused] == [InvalidLifecycle]


def test_two_users_do_not_wait_for_each_other(database: SubscriptionDatabase) -> None:
    with database.transaction():
        device, one, other = active_device(), saved_holder(), saved_holder()
    one.holder.device = other.holder.device = device.device
    with database.transaction():
        one.save()
        thread, _ = in_thread(database, other.save)
        thread.join(20)
        assert not thread.is_alive()


# --- what was saved ---


def test_a_subscription_is_new_until_it_is_saved(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    assert device.is_new
    device.save()
    assert not device.is_new


def test_a_subscription_that_was_read_is_not_new(session: Session) -> None:
    assert not Device.from_subscription(active_device().subscription_id).is_new


def test_being_new_is_no_part_of_what_is_kept(session: Session) -> None:
    device = active_device()
    assert "is_new" not in device.model_dump()
    assert "is_new" not in stored(device)["document"]


def test_a_new_status_is_as_new_as_the_old_one(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    device.device.hostname = "ams1"
    assert Device.from_other_lifecycle(device, SubscriptionLifecycle.ACTIVE).is_new


def test_a_transaction_knows_what_was_saved_in_it(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    change = device.save()
    assert saved_in_transaction() == [SavedSubscription(device.subscription_id, change)]


def test_what_was_saved_is_told_once(session: Session) -> None:
    active_device()
    saved_in_transaction()
    assert saved_in_transaction() == []


def test_a_save_of_insync_alone_is_told_without_a_change(session: Session) -> None:
    device = active_device()
    saved_in_transaction()
    device.insync = True
    device.save()
    assert saved_in_transaction() == [SavedSubscription(device.subscription_id, None)]


def test_a_save_that_wrote_nothing_is_not_told(session: Session) -> None:
    device = active_device()
    saved_in_transaction()
    device.save()
    assert saved_in_transaction() == []


def test_what_was_saved_in_another_transaction_is_not_told(database: SubscriptionDatabase) -> None:
    with database.transaction():
        active_device()
    with database.transaction():
        assert saved_in_transaction() == []


# --- secrets ---


class SafeBlock(ProductBlockModel, product_block_name="Persistence Safe"):
    """Values that nobody should see."""

    password: SecretStr | None = None
    tokens: Annotated[list[SecretStr], Len(0, 5)] = Field(default_factory=list)
    open_value: int = 1


class Safe(SubscriptionModel, is_base=True):
    """A subscription with secrets."""

    safe: SafeBlock


def saved_safe() -> Safe:
    safe = Safe.from_product_id(add_product("safe"), CUSTOMER)
    safe.safe.password = SecretStr("sesame")
    safe.safe.tokens = [SecretStr("one"), SecretStr("two")]
    safe.save()
    return safe


def test_secrets_are_kept(session: Session) -> None:
    safe = saved_safe()

    read = Safe.from_subscription(safe.subscription_id)

    assert read == safe
    assert read.safe.password is not None
    assert read.safe.password.get_secret_value() == "sesame"
    assert read.save() is None


def test_secrets_are_in_no_document_and_not_searched(session: Session) -> None:
    row = stored(saved_safe())

    assert "sesame" not in str(row["document"])
    assert "sesame" not in row["search"]
    assert "**" not in row["search"]


def test_a_changed_secret_shows_that_it_changed_and_no_more(session: Session) -> None:
    safe = saved_safe()
    safe.safe.password = SecretStr("open up")
    change = safe.save()

    assert change is not None
    assert change.difference() == [{"path": "safe.password", "before": "**********", "after": "**********"}]
    assert "open up" not in str(change)


# --- the document says what the rows say ---


def test_document_and_rows_agree_after_a_change(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=3)
    circuit.circuit.endpoints[0].vlan = 5
    circuit.save()

    read = Circuit.from_subscription(circuit.subscription_id)
    product = read.product.model_dump(mode="json")

    assert stored(circuit)["document"] == make_document(read, read.header_record(), product)


def test_a_terminated_subscription_keeps_its_rows(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)
    ended = CircuitInactive.from_other_lifecycle(circuit, SubscriptionLifecycle.TERMINATED)
    change = ended.save()

    assert change is not None
    assert {one["path"] for one in change.difference()} == {"status", "end_date"}
    assert CircuitInactive.from_subscription(circuit.subscription_id) == ended
