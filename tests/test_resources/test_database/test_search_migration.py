"""What was kept before searches knew fields is found after the migration."""

from uuid import UUID

import sqlalchemy as sa

from resources.database import schema
from resources.database.session import SubscriptionDatabase
from resources.subscriptions.customer_descriptions import create_customer_description
from resources.subscriptions.lists import find_subscriptions
from resources.subscriptions.metadata import write_metadata
from resources.subscriptions.search_index import rebuild
from tests.test_resources.test_domain.domain import active_circuit, active_device

BEFORE = "0005"
METADATA = {
    "no name!": {"secret": "**********", "tags": ["Spare", None, True, {"by": "Ørsted", "parts": [{"kind": "fan"}]}]},
    "no field": "text",
    "empty": [],
    "k" * 300: "kept",
    "rack": "R7, row 12",
    "long": "x" * 300 + " Straße",
}


def found(database: SubscriptionDatabase, search: str) -> list[UUID]:
    with database.transaction():
        return [line.subscription_id for line in find_subscriptions(search).lines]


def test_what_was_there_is_found_as_what_comes(database: SubscriptionDatabase) -> None:
    with database.transaction() as session:
        made = [active_device(f"ams{number}").subscription_id for number in range(3)]
        create_customer_description(made[1], "acme", "Zeppelin")
        write_metadata(made[2], {"rack": "R7"})
        session.execute(sa.text("UPDATE subscriptions SET search = NULL"))
    schema.downgrade(database, BEFORE)
    schema.upgrade(database)
    assert set(found(database, "hostname:ams")) == set(made)
    assert (found(database, "zeppelin"), found(database, "rack:r7")) == ([made[1]], [made[2]])


def test_the_words_are_those_that_the_present_code_makes(database: SubscriptionDatabase) -> None:
    with database.transaction() as session:
        device = active_device("Ams1.example.org")
        circuit = active_circuit(device, ends=2)
        circuit.description, circuit.note = "Circuit 'A' \\ to: B", None
        circuit.save()
        create_customer_description(circuit.subscription_id, "acme", "Zeppelin; the big one")
        write_metadata(device.subscription_id, METADATA)
        write_metadata(circuit.subscription_id, {"more": " ".join(f"{n:04x}" for n in range(20_000))})
        values = {"old": "{}", "id": active_device("unfinished").subscription_id}
        session.execute(sa.text("UPDATE subscriptions SET document = :old WHERE subscription_id = :id"), values)
    schema.downgrade(database, BEFORE)
    schema.upgrade(database)
    with database.transaction() as session:  # what has no document yet is found by nothing
        session.execute(sa.text("DELETE FROM subscriptions WHERE document = '{}'"))

    assert rebuild(database).corrected == 0
