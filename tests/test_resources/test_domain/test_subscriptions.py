"""Subscriptions are made for a product, read back, and moved from status to status and product to product."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from ipaddress import IPv4Network
from typing import Literal
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from resources.domain.blocks import ProductBlockModel
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import (
    InvalidBlocks,
    InvalidLifecycle,
    NoTransaction,
    ProductNotInRegistry,
    UnknownProduct,
    UnknownSubscription,
    WrongProduct,
)
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import (
    ACTIVE,
    CUSTOMER,
    PROVISIONING,
    Circuit,
    CircuitInactive,
    CircuitProvisioning,
    Device,
    DeviceBlock,
    DeviceBlockInactive,
    DeviceInactive,
    SocketBlock,
    SocketBlockInactive,
    active_circuit,
    active_device,
    add_product,
)

TERMINATED = SubscriptionLifecycle.TERMINATED


class Vendor(StrEnum):
    """Who made it."""

    CISCO = "Cisco"
    NOKIA = "Nokia"


class Speed(IntEnum):
    """Mbit/s."""

    SLOW = 100
    FAST = 1000


class VariantInactive(SubscriptionModel, is_base=True):
    """A product that comes in variants."""

    vendor: Vendor
    speed: Speed
    grade: Literal["gold", "silver"] = "silver"
    redundant: bool = False
    device: DeviceBlockInactive


@pytest.fixture
def registry() -> Iterator[dict[str, type]]:
    """The registry, empty, put back after the test."""
    before = dict(SUBSCRIPTION_MODEL_REGISTRY)
    SUBSCRIPTION_MODEL_REGISTRY.clear()
    yield SUBSCRIPTION_MODEL_REGISTRY
    SUBSCRIPTION_MODEL_REGISTRY.clear()
    SUBSCRIPTION_MODEL_REGISTRY.update(before)


# --- from_product_id ---


def test_a_new_subscription_has_header_and_blocks(session: Session) -> None:
    subscription = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)

    assert subscription.status == SubscriptionLifecycle.INITIAL
    assert subscription.description == "Initial subscription of the device"
    assert subscription.product.name == "device"
    assert (subscription.insync, subscription.version, subscription.note) == (False, 1, None)
    assert subscription.device.owner_subscription_id == subscription.subscription_id


def test_making_a_subscription_reads_the_product_and_writes_nothing(
    session: Session, statements: StatementCount
) -> None:
    product_id = add_product("device")
    statements.clear()

    DeviceInactive.from_product_id(product_id, CUSTOMER)

    assert [statement.split()[0] for statement in statements.statements] == ["SELECT"]


def test_fixed_inputs_come_from_the_product(session: Session) -> None:
    product_id = add_product("variant", vendor="Nokia", speed=1000, redundant=True, unknown_to_the_class=1)

    made = VariantInactive.from_product_id(product_id, CUSTOMER)
    made.save()
    read = VariantInactive.from_subscription(made.subscription_id)

    assert (read.vendor, read.speed, read.grade, read.redundant) == (Vendor.NOKIA, Speed.FAST, "silver", True)


def test_a_fixed_input_the_product_does_not_have_is_named(session: Session) -> None:
    with pytest.raises(ValidationError, match="vendor"):
        VariantInactive.from_product_id(add_product("variant", speed=100), CUSTOMER)


def test_an_unknown_product_is_named() -> None:
    with pytest.raises(UnknownProduct, match="'nonsense' is not an id"):
        DeviceInactive.from_product_id("nonsense", CUSTOMER)


def test_a_product_that_is_not_there_is_named(session: Session) -> None:
    product_id = uuid4()
    with pytest.raises(UnknownProduct, match=str(product_id)):
        DeviceInactive.from_product_id(product_id, CUSTOMER)


def test_a_class_is_not_made_in_a_status_that_asks_for_more(session: Session) -> None:
    with pytest.raises(InvalidLifecycle, match=r"DeviceInactive is not valid for status active.* is a Device\."):
        DeviceInactive.from_product_id(add_product("device"), CUSTOMER, status=ACTIVE)


def test_nor_by_calling_the_class() -> None:
    with pytest.raises(InvalidLifecycle, match="CircuitInactive is not valid for status active"):
        CircuitInactive(status=ACTIVE)  # type: ignore[call-arg]


def test_the_bare_class_asks_the_registry(session: Session, registry: dict[str, type]) -> None:
    registry["device"] = Device

    assert type(SubscriptionModel.from_product_id(add_product("device"), CUSTOMER)) is DeviceInactive


def test_a_product_without_model_is_named_with_those_that_have_one(session: Session, registry: dict[str, type]) -> None:
    registry["circuit"] = Circuit

    with pytest.raises(ProductNotInRegistry, match=r"'device'; products with a model: circuit"):
        SubscriptionModel.from_product_id(add_product("device"), CUSTOMER)


def test_a_class_of_another_product_is_refused(session: Session, registry: dict[str, type]) -> None:
    registry["device"] = Device

    with pytest.raises(WrongProduct, match=r"'device' is modelled by Device, which is no CircuitInactive"):
        CircuitInactive.from_product_id(add_product("device"), CUSTOMER)


# --- the header ---


@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_a_blank_note_is_none(session: Session, blank: str) -> None:
    device = active_device()
    device.note = blank

    assert device.note is None


def test_dates_are_kept_in_utc(session: Session) -> None:
    device = active_device()
    device.end_date = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    device.save()

    read = Device.from_subscription(device.subscription_id)

    assert read.end_date == datetime(2030, 1, 1, 10, tzinfo=UTC)
    assert read == device


def test_a_date_without_zone_is_refused(session: Session) -> None:
    with pytest.raises(ValidationError, match="timezone"):
        active_device().end_date = datetime(2030, 1, 1)  # noqa: DTZ001


def test_equality_is_about_what_a_subscription_holds(session: Session) -> None:
    device = active_device()
    copy = device.model_copy(deep=True)
    assert copy == device

    copy.device.hostname = "other"
    assert copy != device
    assert device != "device"


def test_the_state_form_is_json_and_has_computed_fields(session: Session) -> None:
    circuit = active_circuit(active_device(), ends=2)

    state = circuit.model_dump(mode="json")

    assert state["circuit"]["title"] == "2 ends at 1000 Mbit/s"
    assert Circuit.from_subscription(state["subscription_id"]) == circuit


# --- from_subscription ---


def test_the_bare_class_reads_as_the_status_says(session: Session, registry: dict[str, type]) -> None:
    device = active_device()
    registry["device ams1"] = DeviceInactive

    assert SubscriptionModel.from_subscription(device.subscription_id) == device


def test_a_class_that_asks_for_too_little_does_not_read(session: Session) -> None:
    device = active_device()
    with pytest.raises(InvalidLifecycle, match="DeviceInactive is not valid for status active") as caught:
        DeviceInactive.from_subscription(device.subscription_id)

    assert caught.value.__notes__ == [f"This is device ams1 subscription {device.subscription_id}, version 1."]


def test_a_class_of_another_product_does_not_read(session: Session, registry: dict[str, type]) -> None:
    device = active_device()
    registry["device ams1"] = Device
    with pytest.raises(WrongProduct, match="is modelled by Device, which is no Circuit"):
        Circuit.from_subscription(device.subscription_id)


def test_an_unknown_subscription_is_named(session: Session) -> None:
    unknown = uuid4()
    with pytest.raises(UnknownSubscription, match=str(unknown)):
        Device.from_subscription(unknown)
    with pytest.raises(UnknownSubscription, match="5 is not an id"):
        Device.from_subscription(5)  # type: ignore[arg-type]


def test_reading_needs_a_transaction() -> None:
    with pytest.raises(NoTransaction):
        Device.from_subscription(uuid4())


def test_rows_that_do_not_fit_are_told_with_block_and_subscription(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    device.save()

    with pytest.raises(ValidationError, match="hostname") as caught:
        Device.from_subscription(device.subscription_id)

    assert [note.split(" ")[2] for note in caught.value.__notes__] == ["block", "device"]


def test_class_defaults_stand_in_for_missing_values(session: Session) -> None:
    class LaterBlockInactive(ProductBlockModel, product_block_name="Subscriptions Later"):
        known: str | None = None

    class LaterInactive(SubscriptionModel, is_base=True):
        block: LaterBlockInactive

    made = LaterInactive.from_product_id(add_product("later"), CUSTOMER)
    made.save()

    class GrownBlock(ProductBlockModel, product_block_name="Subscriptions Later"):
        known: str | None = None
        added: int | None = 5
        network: IPv4Network = IPv4Network("10.0.0.0/8")
        names: list[str]
        nothing: str | None

    class Grown(SubscriptionModel, is_base=True):
        block: GrownBlock

    block = Grown.from_subscription(made.subscription_id).block

    assert (block.added, block.network, block.names, block.nothing) == (5, IPv4Network("10.0.0.0/8"), [], None)


def test_none_is_kept_where_the_default_is_another(session: Session) -> None:
    class DefaultBlock(ProductBlockModel, product_block_name="Subscriptions Default"):
        value: int | None = 5

    class Default(SubscriptionModel, is_base=True):
        block: DefaultBlock

    made = Default.from_product_id(add_product("default"), CUSTOMER)
    made.block.value = None
    made.save()

    assert Default.from_subscription(made.subscription_id).block.value is None


# --- from_other_lifecycle ---


def test_a_new_status_keeps_ids_and_values(session: Session) -> None:
    circuit = CircuitInactive.from_product_id(add_product("circuit"), CUSTOMER)
    circuit.circuit.speed = 10
    for number, end in enumerate(circuit.circuit.endpoints):
        end.vlan = number

    provisioning = CircuitProvisioning.from_other_lifecycle(circuit, PROVISIONING)

    assert type(provisioning.circuit.endpoints[0]).__name__ == "EndpointBlockProvisioning"
    assert provisioning.subscription_id == circuit.subscription_id
    assert provisioning.circuit.subscription_instance_id == circuit.circuit.subscription_instance_id
    assert [end.vlan for end in provisioning.circuit.endpoints] == [0, 1]


def test_what_the_new_status_requires_must_be_there(session: Session) -> None:
    circuit = CircuitInactive.from_product_id(add_product("circuit"), CUSTOMER)

    with pytest.raises(ValidationError, match="vlan"):
        CircuitProvisioning.from_other_lifecycle(circuit, PROVISIONING)


def test_becoming_active_sets_the_start_and_terminated_the_end(session: Session) -> None:
    device = active_device()
    assert device.start_date is not None
    assert device.end_date is None

    ended = DeviceInactive.from_other_lifecycle(device, TERMINATED)

    assert ended.start_date == device.start_date
    assert ended.end_date is not None


def test_a_start_that_is_set_stays(session: Session) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER, start_date=start)
    device.device.hostname = "x"

    assert Device.from_other_lifecycle(device, ACTIVE).start_date == start


def test_the_bare_class_finds_the_one_for_the_new_status(session: Session, registry: dict[str, type]) -> None:
    device = active_device()
    registry["device ams1"] = Device

    assert type(SubscriptionModel.from_other_lifecycle(device, TERMINATED)) is DeviceInactive


def test_a_class_that_does_not_fit_the_new_status_is_refused(session: Session) -> None:
    with pytest.raises(InvalidLifecycle, match="DeviceInactive is not valid for status active"):
        DeviceInactive.from_other_lifecycle(active_device(), ACTIVE)


def test_the_old_model_stays_as_it_is(session: Session) -> None:
    device = active_device()
    before = device.model_copy(deep=True)

    ended = DeviceInactive.from_other_lifecycle(device, TERMINATED)
    ended.device.hostname = "gone"

    assert device == before


def test_a_block_in_use_forbids_termination_and_names_the_user(session: Session) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=2)

    with pytest.raises(InvalidLifecycle, match=rf"{circuit.subscription_id} \(active\)"):
        DeviceInactive.from_other_lifecycle(device, TERMINATED)

    assert DeviceInactive.from_other_lifecycle(device, TERMINATED, skip_validation=True).status == TERMINATED


class RackInactive(SubscriptionModel, is_base=True):
    """A subscription whose own device hangs below the root."""

    socket: SocketBlockInactive


class Rack(RackInactive, lifecycle=[ACTIVE]):
    """A rack in service."""

    socket: SocketBlock


def saved_rack(device: DeviceBlockInactive | None = None) -> Rack:
    rack = RackInactive.from_product_id(add_product(f"rack {uuid4()}"), CUSTOMER)
    rack.socket.socket_name = "s"
    rack.socket.device = device or DeviceBlockInactive.new(rack.subscription_id, hostname="deep")
    saved = Rack.from_other_lifecycle(rack, ACTIVE)
    saved.save()
    return saved


def test_a_block_deep_in_the_tree_is_protected_too(session: Session) -> None:
    owner = saved_rack()
    user = saved_rack(device=owner.socket.device)

    with pytest.raises(InvalidLifecycle, match=str(user.subscription_id)):
        RackInactive.from_other_lifecycle(owner, TERMINATED)


def test_a_user_in_a_status_that_allows_it_does_not_matter(session: Session) -> None:
    owner = saved_rack()
    user = saved_rack(device=owner.socket.device)
    RackInactive.from_other_lifecycle(user, TERMINATED).save()

    assert RackInactive.from_other_lifecycle(owner, TERMINATED).status == TERMINATED


def test_the_check_is_a_lock_and_a_statement_and_nothing_for_a_status_that_allows_all(
    session: Session, statements: StatementCount
) -> None:
    circuit = active_circuit(active_device())
    statements.clear()

    CircuitInactive.from_other_lifecycle(circuit, TERMINATED)
    assert statements.count == 2
    Circuit.from_other_lifecycle(circuit, ACTIVE)
    assert statements.count == 2


def test_foreign_blocks_are_converted_but_stay_foreign(session: Session) -> None:
    device = active_device()
    circuit = active_circuit(device, ends=2)

    ended = CircuitInactive.from_other_lifecycle(circuit, TERMINATED)
    foreign = ended.circuit.endpoints[0].socket.device

    assert type(foreign) is DeviceBlockInactive
    assert foreign.owner_subscription_id == device.subscription_id


def test_a_kind_the_new_status_does_not_know_is_left_out_with_a_warning(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    class HolderBlockInactive(ProductBlockModel, product_block_name="Subscriptions Holder"):
        held: DeviceBlockInactive | SocketBlockInactive | None = None

    class HolderBlock(HolderBlockInactive, lifecycle=[ACTIVE]):
        held: DeviceBlock | None = None

    class HolderInactive(SubscriptionModel, is_base=True):
        holder: HolderBlockInactive

    class Holder(HolderInactive, lifecycle=[ACTIVE]):
        holder: HolderBlock

    subscription = HolderInactive.from_product_id(add_product("holder"), CUSTOMER)
    subscription.holder.held = SocketBlockInactive.new(subscription.subscription_id)

    with caplog.at_level(logging.WARNING):
        active = Holder.from_other_lifecycle(subscription, ACTIVE)

    assert active.holder.held is None
    assert "HolderBlock.held expects DeviceBlock, not block Test Socket" in caplog.text


def test_blocks_that_only_the_new_status_has_are_made(session: Session) -> None:
    class GrowingInactive(SubscriptionModel, is_base=True):
        device: DeviceBlockInactive

    class GrowingProvisioning(GrowingInactive, lifecycle=[PROVISIONING]):
        extra: SocketBlockInactive

    growing = GrowingInactive.from_product_id(add_product("growing"), CUSTOMER)

    grown = GrowingProvisioning.from_other_lifecycle(growing, PROVISIONING)

    assert grown.extra.owner_subscription_id == growing.subscription_id


# --- from_other_product ---


def test_another_product_gives_other_fixed_inputs_to_the_same_subscription(session: Session) -> None:
    cisco, nokia = add_product("cisco", vendor="Cisco", speed=100), add_product("nokia", vendor="Nokia", speed=1000)
    old = VariantInactive.from_product_id(cisco, CUSTOMER)
    old.device.hostname = "kept"
    old.save()

    new = VariantInactive.from_other_product(old, nokia)
    change = new.save()

    read = VariantInactive.from_subscription(old.subscription_id)
    assert (read.vendor, read.product.name, read.device.hostname) == (Vendor.NOKIA, "nokia", "kept")
    assert change is not None
    assert {"product.name", "vendor"} <= {one["path"] for one in change.difference()}


def test_the_bare_class_goes_by_the_new_product(session: Session, registry: dict[str, type]) -> None:
    device = active_device()
    registry["imported"] = Rack
    registry["device ams1"] = Device
    registry["device two"] = Device

    assert type(SubscriptionModel.from_other_product(device, add_product("device two"))) is Device


def test_a_new_root_takes_the_place_of_the_old_one(session: Session) -> None:
    class ImportedBlock(ProductBlockModel, product_block_name="Subscriptions Imported"):
        raw: str | None = None

    class Imported(SubscriptionModel, is_base=True):
        device: ImportedBlock

    imported = Imported.from_product_id(add_product("imported"), CUSTOMER)
    imported.device.raw = "ams9"
    imported.save()
    product_id = add_product("device")
    root = DeviceBlockInactive.new(imported.subscription_id, hostname=imported.device.raw)

    with pytest.raises(InvalidBlocks, match=r"DeviceInactive\.device expects DeviceBlockInactive, not block"):
        DeviceInactive.from_other_product(imported, product_id)
    DeviceInactive.from_other_product(imported, product_id, ("device", root)).save()

    read = DeviceInactive.from_subscription(imported.subscription_id)
    assert read.device == root


def test_another_product_that_is_not_there_is_named(session: Session) -> None:
    with pytest.raises(UnknownProduct, match="00000000-0000-0000-0000-000000000009"):
        Device.from_other_product(active_device(), UUID(int=9))
