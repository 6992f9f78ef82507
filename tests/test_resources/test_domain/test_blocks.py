"""Blocks are made with what they must have, read in one statement, and know who uses them."""

from typing import Annotated
from uuid import UUID, uuid4

import pytest
from annotated_types import Len
from pydantic import ValidationError
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from resources.domain.blocks import ProductBlockModel
from resources.errors import InvalidBlocks, ModelDeclarationError
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import (
    ACTIVE,
    CUSTOMER,
    CircuitBlock,
    CircuitBlockInactive,
    DeviceBlock,
    DeviceBlockInactive,
    EndpointBlockInactive,
    SocketBlock,
    SocketBlockInactive,
    active_circuit,
    active_device,
)

OWNER = UUID("00000000-0000-0000-0000-000000000001")


class CableBlock(ProductBlockModel):
    """Any kind of cable: abstract."""

    length: int | None = None


class CopperBlock(CableBlock, product_block_name="Blocks Copper"):
    """A cable of copper."""


class FibreBlock(CableBlock, product_block_name="Blocks Fibre"):
    """A cable of glass."""

    wavelength: int = 1310


class PatchBlock(ProductBlockModel, product_block_name="Blocks Patch"):
    """One cable of any kind, and several of given kinds."""

    cable: CableBlock | None = None
    cables: Annotated[list[CopperBlock | FibreBlock], Len(2)]


def test_a_new_block_has_the_blocks_it_must_have() -> None:
    circuit = CircuitBlockInactive.new(OWNER)

    assert len(circuit.endpoints) == 2
    assert isinstance(circuit.endpoints[0].socket, SocketBlockInactive)
    assert circuit.endpoints[0].socket.device is None


def test_a_new_block_and_what_it_holds_are_owned_by_the_subscription() -> None:
    circuit = CircuitBlockInactive.new(OWNER)

    assert circuit.owner_subscription_id == circuit.endpoints[1].socket.owner_subscription_id == OWNER


def test_supplied_blocks_are_taken_as_they_are() -> None:
    ends = [EndpointBlockInactive.new(OWNER, vlan=1), EndpointBlockInactive.new(OWNER, vlan=2)]

    circuit = CircuitBlockInactive.new(OWNER, endpoints=ends, label="main")

    assert circuit.endpoints[1] is ends[1]
    assert circuit.label == "main"


def test_a_new_list_of_several_kinds_is_filled_with_the_last_kind() -> None:
    assert [type(cable) for cable in PatchBlock.new(OWNER).cables] == [FibreBlock, FibreBlock]


def test_a_new_block_of_several_kinds_must_be_given() -> None:
    class Either(ProductBlockModel, product_block_name="Blocks Either"):
        cable: CopperBlock | FibreBlock

    with pytest.raises(InvalidBlocks, match=r"Either\.cable may be CopperBlock or FibreBlock; say which"):
        Either.new(OWNER)

    assert isinstance(Either.new(OWNER, cable=CopperBlock.new(OWNER)).cable, CopperBlock)


def test_a_block_that_must_hold_itself_cannot_be_made() -> None:
    class Endless(ProductBlockModel, product_block_name="Blocks Endless"):
        child: "Endless"

    with pytest.raises(InvalidBlocks, match=r"would never end: Endless > Endless"):
        Endless.new(OWNER)


def test_an_abstract_block_cannot_be_made() -> None:
    with pytest.raises(InvalidBlocks, match="CableBlock is abstract"):
        CableBlock.new(OWNER)


def test_a_class_knows_its_block_name() -> None:
    assert CopperBlock.name == CopperBlock.new(OWNER).name == "Blocks Copper"
    assert CircuitBlock.name == "Test Circuit"


def test_a_missing_value_without_default_is_refused() -> None:
    with pytest.raises(ValidationError, match="hostname"):
        DeviceBlock.new(OWNER)


def test_assignment_is_validated() -> None:
    device = DeviceBlockInactive.new(OWNER)

    with pytest.raises(ValidationError):
        device.hostname = 5  # type: ignore[assignment]
    with pytest.raises(ValidationError):
        device.hostnme = "x"  # type: ignore[attr-defined]


def test_identity_and_owner_cannot_be_changed() -> None:
    device = DeviceBlockInactive.new(OWNER)

    with pytest.raises(ValidationError, match="frozen"):
        device.subscription_instance_id = uuid4()
    with pytest.raises(ValidationError, match="frozen"):
        device.owner_subscription_id = uuid4()


def test_an_unknown_value_is_refused() -> None:
    with pytest.raises(ValidationError, match="hostnme"):
        DeviceBlockInactive.new(OWNER, hostnme="x")


def test_a_block_and_all_below_it_is_read_in_one_statement(session: Session, statements: StatementCount) -> None:
    circuit = active_circuit(active_device())
    statements.clear()

    block = CircuitBlock.from_db(circuit.circuit.subscription_instance_id)

    assert block == circuit.circuit
    assert statements.count == 1


def test_a_block_is_read_as_the_class_for_its_owners_status(session: Session) -> None:
    device = active_device()

    assert type(DeviceBlockInactive.from_db(device.device.subscription_instance_id)) is DeviceBlock
    assert type(ProductBlockModel.from_db(device.device.subscription_instance_id)) is DeviceBlock


def test_a_block_can_be_read_as_of_another_status(session: Session) -> None:
    device = active_device()

    block = DeviceBlockInactive.from_db(device.device.subscription_instance_id, SubscriptionLifecycle.INITIAL)

    assert type(block) is DeviceBlockInactive


def test_another_kind_of_block_is_refused(session: Session) -> None:
    device = active_device()

    with pytest.raises(InvalidBlocks, match="The block is a Test Device, which is not a SocketBlock"):
        SocketBlock.from_db(device.device.subscription_instance_id)


def test_an_unknown_block_is_refused(session: Session) -> None:
    with pytest.raises(InvalidBlocks, match=f"There is no block {OWNER}"):
        DeviceBlock.from_db(OWNER)


def test_a_block_knows_its_users_and_what_it_uses(session: Session) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=2)
    end = circuit.circuit.endpoints[0]

    assert {used.subscription_instance_id for used in device.device.in_use_by} == {
        each.socket.subscription_instance_id for each in circuit.circuit.endpoints
    }
    [held] = end.depends_on
    assert (held.subscription_instance_id, held.attribute, held.product_block.name) == (
        end.socket.subscription_instance_id,
        "socket",
        "Test Socket",
    )
    assert held.subscription_id == circuit.subscription_id
    assert held.status == ACTIVE


def test_a_block_knows_its_subscription(session: Session) -> None:
    device = active_device()

    assert device.device.subscription.customer_id == CUSTOMER
    assert device.device.subscription.subscription_id == device.subscription_id


@pytest.mark.parametrize("taken", ["name", "label", "owner_subscription_id", "subscription_instance_id"])
def test_a_field_may_not_take_the_place_of_one_that_every_block_has(taken: str) -> None:
    with pytest.raises(ModelDeclarationError, match=f"class Odd: {taken} is taken by every model"):
        type("Odd", (ProductBlockModel,), {"__annotations__": {taken: str | None}}, product_block_name="Odd")
