"""What a subscription cannot be saved with."""

import pytest
import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.orm import Session

from resources.errors import InvalidBlocks, InvalidLifecycle, NotStorable, UnknownProduct
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import CUSTOMER, DeviceInactive, active_circuit, active_device, add_product
from tests.test_resources.test_domain.test_saving.holders import saved_holder


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


@pytest.mark.parametrize("where", ["description", "hostname"])
def test_text_that_cannot_be_stored_is_refused_by_name(session: Session, where: str) -> None:
    device = active_device()
    setattr(device if where == "description" else device.device, where, "a\0b")

    with pytest.raises(NotStorable, match=f"{where} holds a NUL character"):
        device.save()
