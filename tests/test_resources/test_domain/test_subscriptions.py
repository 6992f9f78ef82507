"""Subscriptions are made for a product, read back, and moved from status to status and product to product."""

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
    Circuit,
    CircuitInactive,
    Device,
    DeviceBlockInactive,
    DeviceInactive,
    active_circuit,
    active_device,
    add_product,
)


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

    with pytest.raises(WrongProduct, match=r"'device' is modelled by Device, which is not a CircuitInactive"):
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
    with pytest.raises(WrongProduct, match="is modelled by Device, which is not a Circuit"):
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
    registry["imported"] = Circuit
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
