"""Versions: each change makes one, and who saves an older one is refused."""

import threading
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.database.session import StatementCount, SubscriptionDatabase, current_session
from resources.database.tables import SubscriptionTable, SubscriptionVersionTable
from resources.domain.saving.authorship import Author, authored_by
from resources.errors import BlockInUse, StaleSubscription, UnknownSubscription
from tests.test_resources.test_domain.domain import (
    CUSTOMER,
    Circuit,
    Device,
    DeviceInactive,
    active_circuit,
    active_device,
    add_product,
)
from tests.test_resources.test_domain.test_saving.holders import (
    DeviceUserInactive,
    stored,
    verbs,
    wait_for_a_blocked_writer,
)


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
                first_wrote.wait(100)
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
        second_asked.wait(100)
        wait_for_a_blocked_writer(database)
    thread.join(100)

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
        wait_for_a_blocked_writer(database)
    thread.join(100)

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
        wait_for_a_blocked_writer(database)
    thread.join(100)

    assert len(refused) == 1
    with database.transaction():
        assert Circuit.from_subscription(circuit.subscription_id) == circuit
