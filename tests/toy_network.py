"""A product with all its workflows, for tests of the engine: a device whose reality is a mapping."""

from typing import Any
from uuid import UUID

from pydantic import Field, SecretStr

from ops.steps.forms import FormGenerator, SubmitFormPage
from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import (
    create_workflow,
    modify_workflow,
    reconcile_workflow,
    terminate_workflow,
    validate_workflow,
)
from orchestrator_defs.testing import Testbed
from resources.catalogue.catalogue import Product
from resources.errors import DriftFound
from resources.types import State
from tests.test_resources.test_domain.domain import Device, DeviceInactive

DEVICE = Product("Test Device", "DEV", DeviceInactive, "Device", "a device")
OTHER = Product("Other Thing", "OTHER", DeviceInactive, "Other", "no device")


class World:
    """What is really configured, by host name; and which steps are set to fail."""

    def __init__(self) -> None:
        self.hostnames: dict[str, str] = {}
        self.broken: set[str] = set()
        self.calls: list[str] = []

    def call(self, name: str) -> None:
        """Note a call, which fails if it is broken."""
        self.calls.append(name)
        if name in self.broken:
            raise RuntimeError(f"{name} is broken")


def add_device(bed: Testbed, world: World | None = None, hostname: str = "ams1") -> UUID:
    """A device in service, as its create workflow leaves it; the id of its subscription."""
    device: Device = bed.add("Test Device", description=f"Device {hostname}", device={"hostname": hostname})
    if world is not None:
        world.hostnames[str(device.subscription_id)] = hostname
    return device.subscription_id


def device_workflows(world: World) -> tuple[Any, ...]:
    """The five workflows of the device."""

    class Names(SubmitFormPage):
        hostname: str = Field(min_length=2, max_length=20, pattern="^[a-z0-9]+$")
        customer_id: str = "customer"
        password: SecretStr = SecretStr("default")

    @step("Construct subscription")
    def construct(product: UUID, customer_id: str, hostname: str) -> State:
        subscription = DeviceInactive.from_product_id(product, customer_id)
        subscription.device.hostname = hostname
        subscription.description = f"Device {hostname}"
        return {"subscription": subscription, "subscription_id": subscription.subscription_id}

    @step("Configure device")
    def configure(subscription: DeviceInactive) -> None:
        world.call("configure")
        world.hostnames[str(subscription.subscription_id)] = subscription.device.hostname or ""

    @step("Rename")
    def rename(subscription: Device, hostname: str) -> State:
        world.call("rename")
        subscription.device.hostname = hostname
        subscription.description = f"Device {hostname}"
        return {"subscription": subscription}

    @step("Compare")
    def compare(subscription: Device) -> None:
        world.call("compare")
        actual = world.hostnames.get(str(subscription.subscription_id))
        if actual != subscription.device.hostname:
            difference = {"path": "device.hostname", "expected": subscription.device.hostname, "actual": actual}
            raise DriftFound(f"{subscription.description} differs.", details=[difference])

    @step("Remove device")
    def remove(subscription: Device) -> None:
        world.call("remove")
        world.hostnames.pop(str(subscription.subscription_id), None)

    def rename_form(subscription: Device) -> FormGenerator:
        class NewName(SubmitFormPage):
            hostname: str = subscription.device.hostname

        page = yield NewName
        filled: State = page.model_dump()
        return filled

    @create_workflow("Create device", initial_input_form=Names, product_type="Device")
    def create_device() -> Any:
        return begin >> construct >> configure

    @modify_workflow("Rename device", initial_input_form=rename_form, product_type="Device")
    def modify_device() -> Any:
        return begin >> rename >> configure

    @validate_workflow("Validate device", product_type="Device")
    def validate_device() -> Any:
        return begin >> compare

    @reconcile_workflow("Reconcile device", product_type="Device")
    def reconcile_device() -> Any:
        return begin >> configure

    @terminate_workflow("Terminate device", product_type="Device")
    def terminate_device() -> Any:
        return begin >> remove

    return create_device, modify_device, validate_device, reconcile_device, terminate_device
