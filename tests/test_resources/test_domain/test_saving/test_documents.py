"""The document of a subscription says what its rows say, and is searched by its words."""

import pytest
from sqlalchemy.orm import Session

from resources.domain.saving.documents import make_document
from resources.subscriptions.lists import find_subscriptions
from tests.test_resources.test_domain.domain import Circuit, Device, active_circuit, active_device
from tests.test_resources.test_domain.test_saving.holders import stored


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
def test_a_subscription_is_found_by_its_words(session: Session, registry: dict[str, type], word: str) -> None:
    """Also by values of models that no loaded location has."""
    circuit = active_circuit(active_device(), ends=2)
    circuit.note = "remember"
    circuit.save()

    assert circuit.subscription_id in [line.subscription_id for line in find_subscriptions(word).lines]


def test_a_text_too_long_to_search_can_still_be_saved(session: Session) -> None:
    device = active_device()
    device.device.hostname = "".join(f"word{number} " for number in range(300_000))

    device.save()

    assert Device.from_subscription(device.subscription_id) == device


def test_document_and_rows_agree_after_a_change(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=3)
    circuit.circuit.endpoints[0].vlan = 5
    circuit.save()

    read = Circuit.from_subscription(circuit.subscription_id)
    product = read.product.model_dump(mode="json")

    assert stored(circuit)["document"] == make_document(read, read.header_record(), product)
