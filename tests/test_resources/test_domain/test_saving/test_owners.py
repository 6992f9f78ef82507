"""The owners of the blocks that a subscription uses: neither terminated nor held by another process."""

import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.database.session import StatementCount, SubscriptionDatabase, current_session
from resources.database.tables import ProcessTable, SubscriptionTable, WorkflowTable
from resources.domain.saving.authorship import Author, authored_by
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import InvalidBlocks, InvalidLifecycle, SubscriptionError, SubscriptionLocked
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import (
    CUSTOMER,
    Circuit,
    CircuitInactive,
    Device,
    DeviceInactive,
    active_circuit,
    active_device,
    add_product,
)
from tests.test_resources.test_domain.test_saving.holders import (
    DeviceUserInactive,
    saved_holder,
    stored,
    verbs,
    wait_for_a_blocked_writer,
)

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
        wait_for_a_blocked_writer(database)
    thread.join(100)

    assert [type(error) for error in refused] == [InvalidBlocks]


def test_an_owner_is_not_terminated_while_a_user_comes(database: SubscriptionDatabase) -> None:
    with database.transaction():
        device = active_device()
    with database.transaction():
        active_circuit(device)
        thread, refused = in_thread(database, lambda: DeviceInactive.from_other_lifecycle(device, TERMINATED).save())
        wait_for_a_blocked_writer(database)
    thread.join(100)

    assert [type(error) for error in refused] == [InvalidLifecycle]


def test_two_users_do_not_wait_for_each_other(database: SubscriptionDatabase) -> None:
    with database.transaction():
        device, one, other = active_device(), saved_holder(), saved_holder()
    one.holder.device = other.holder.device = device.device
    with database.transaction():
        one.save()
        thread, _ = in_thread(database, other.save)
        thread.join(100)
        assert not thread.is_alive()
