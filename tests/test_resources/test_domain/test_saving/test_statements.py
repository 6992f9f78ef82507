"""How many statements it takes to read and to save a subscription."""

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from tests.test_resources.test_domain.domain import Circuit, EndpointBlock, SocketBlock, active_circuit, active_device
from tests.test_resources.test_domain.test_saving.holders import stored_blocks, verbs


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
        "SELECT s.subscription_id, s.description,",
        "WITH owners AS",
        "INSERT INTO subscription_instances",
        "INSERT INTO subscription_instance_relations",
        "DELETE FROM subscription_instance_relations",
        "DELETE FROM subscription_instances",
    ]
    assert Circuit.from_subscription(own) == circuit
