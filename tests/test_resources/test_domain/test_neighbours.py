"""What a block says of itself and of those that hold it: as orchestrator-core's code asks, in one statement each."""

from typing import Annotated, TypeVar
from uuid import uuid4

import pytest
import sqlalchemy as sa
from annotated_types import Len
from pydantic import SecretStr
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from resources.database.tables import ProductBlockTable
from resources.domain.blocks import ProductBlockModel
from resources.domain.saving.reading import blocks_using, read_product
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import CatalogueError, InvalidBlocks, ModelDeclarationError, UnknownProductBlock
from resources.types import SI
from tests.test_resources.test_domain.domain import (
    ACTIVE,
    CUSTOMER,
    Circuit,
    active_circuit,
    active_device,
    add_product,
)


@pytest.fixture
def kinds(session: Session) -> None:
    """The rows that the catalogue would have."""
    for name in ("Test Device", "Test Socket"):
        row = {"product_block_id": uuid4(), "name": name, "description": f"a {name}", "tag": "T", "status": "active"}
        session.execute(sa.insert(ProductBlockTable).values(row))


def test_a_neighbour_has_its_subscription_and_its_kind(
    session: Session, kinds: None, statements: StatementCount
) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=2)
    statements.clear()

    user = device.device.in_use_by[0]

    assert statements.count == 1
    assert (user.subscription.status, user.subscription.product.name) == (ACTIVE, "circuit")
    assert user.subscription.subscription_id == user.subscription_id == circuit.subscription_id
    assert (user.product_block.name, user.product_block.tag) == ("Test Socket", "T")


def test_a_neighbour_has_its_values(session: Session) -> None:
    """What a workflow needs to know of the blocks that hold a block, such as the VLANs in use on a port."""
    device = active_device()
    active_circuit(device, ends=2)

    assert [user.values["speeds"] for user in device.device.in_use_by] == [[10, 1, 5]] * 2


class SafeBlock(ProductBlockModel, product_block_name="Neighbour Safe"):
    password: SecretStr
    colour: str = "red"


class BoxBlock(ProductBlockModel, product_block_name="Neighbour Box"):
    safe: SafeBlock


class Box(SubscriptionModel, is_base=True):
    box: BoxBlock


def boxed(session: Session) -> Box:
    product_id = add_product("box")
    owner = uuid4()
    made = Box(
        product=vars_of(product_id),
        customer_id=CUSTOMER,
        subscription_id=owner,
        box=BoxBlock.new(owner, safe=SafeBlock.new(owner, password=SecretStr("sesame"))),
    )
    made.save()
    return made


def vars_of(product_id):
    found = read_product(product_id)
    return {name: getattr(found, name) for name in found.__dataclass_fields__ if name != "fixed_inputs"}


def test_a_neighbour_does_not_tell_its_secrets(session: Session) -> None:
    made = boxed(session)

    [safe] = made.box.depends_on

    assert dict(safe.values) == {"colour": "red"}


def test_values_of_an_unknown_kind_are_not_told(session: Session) -> None:
    """Nobody can say which of them are secret."""
    made = boxed(session)
    session.execute(sa.text("UPDATE subscription_instances SET product_block = 'Elsewhere'"))
    [safe] = made.box.depends_on

    with pytest.raises(InvalidBlocks, match="No class of block 'Elsewhere' is loaded"):
        _ = safe.values


def test_a_block_tells_its_kind(session: Session, kinds: None) -> None:
    block = active_device().device

    assert (block.name, block.tag, block.description) == ("Test Device", "T", "a Test Device")
    assert block.product_block_id == block.product_block.product_block_id


def test_a_block_without_a_row_says_so(session: Session) -> None:
    with pytest.raises(UnknownProductBlock, match=r"no block 'Test Device'; `orchestrator catalogue plan`"):
        _ = active_device().device.tag


def test_a_field_of_a_block_comes_before_the_name_of_its_kind(session: Session) -> None:
    class NotedBlock(ProductBlockModel, product_block_name="Neighbour Noted"):
        description: str

    assert NotedBlock.new(uuid4(), description="own").description == "own"


def test_a_block_tells_its_subscription_s_product(session: Session) -> None:
    assert active_device().device.subscription.product.name == "device ams1"


def test_an_unknown_name_stays_one(session: Session) -> None:
    with pytest.raises(AttributeError, match="hostnme"):
        _ = active_device().device.hostnme  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["subscription", "in_use_by", "product_block"])
def test_a_field_cannot_hide_what_every_block_tells(name: str) -> None:
    with pytest.raises(ModelDeclarationError, match=f"{name} is taken by every model"):
        type("Hiding", (ProductBlockModel,), {"__annotations__": {name: str}}, product_block_name="Hiding")


# --- a dump is read again ---


def test_a_dump_with_computed_fields_is_read_again(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)
    dump = circuit.model_dump()

    assert dump["circuit"]["title"] == "2 ends at 1000 Mbit/s"
    assert Circuit.model_validate(dump) == circuit
    assert Circuit.model_validate(circuit.model_dump(mode="json")) == circuit


def test_what_is_no_computed_field_is_still_refused(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)

    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Circuit.model_validate(circuit.model_dump() | {"titel": "x"})


# --- lists whose block is filled in later; fixed inputs ---


Pair = Annotated[list[SI], Len(2, 2)]


def test_a_list_type_is_filled_in_with_a_block() -> None:
    class PairBlock(ProductBlockModel, product_block_name="Neighbour Pair"):
        safes: Pair[BoxBlock]

    field = PairBlock.block_fields()["safes"]
    assert isinstance(SI, TypeVar)
    assert (field.types, field.min_length, field.max_length) == ((BoxBlock,), 2, 2)


def test_a_fixed_input_is_asked_for_by_name(session: Session) -> None:
    product = read_product(add_product("port", speed=10_000))

    assert product.fixed_input_value("speed") == 10_000
    with pytest.raises(CatalogueError, match="Product 'port' has no fixed input 'sped'; it has speed"):
        product.fixed_input_value("sped")


def test_neighbours_take_one_statement_however_many_they_are(session: Session, statements: StatementCount) -> None:
    device = active_device()
    active_circuit(device, ends=10)
    statements.clear()

    assert len([user.values for user in blocks_using([device.device.subscription_instance_id])]) == 10
    assert statements.count == 1
