"""Products for the tests of the domain models, and the rows that a catalogue would write for them."""

from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid5

import sqlalchemy as sa
from annotated_types import Len
from pydantic import Field, computed_field

from resources.database.session import current_session
from resources.database.tables import ProductTable
from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel
from resources.types import SubscriptionLifecycle

PROVISIONING, ACTIVE = SubscriptionLifecycle.PROVISIONING, SubscriptionLifecycle.ACTIVE
TERMINATED = SubscriptionLifecycle.TERMINATED
CUSTOMER = "customer"


class DeviceBlockInactive(ProductBlockModel, product_block_name="Test Device"):
    """A device: what others are built on."""

    hostname: str | None = None


class DeviceBlock(DeviceBlockInactive, lifecycle=[ACTIVE]):
    """A device in service."""

    hostname: str


class DeviceInactive(SubscriptionModel, is_base=True):
    """A subscription to a device."""

    device: DeviceBlockInactive


class Device(DeviceInactive, lifecycle=[ACTIVE]):
    """A device in service."""

    device: DeviceBlock


class SocketBlockInactive(ProductBlockModel, product_block_name="Test Socket"):
    """A port of a device, or of nothing yet."""

    socket_name: str | None = None
    speeds: list[int] = Field(default_factory=list)
    device: DeviceBlockInactive | None = None


class SocketBlock(SocketBlockInactive, lifecycle=[ACTIVE]):
    """A port in service."""

    socket_name: str
    device: DeviceBlock


class EndpointBlockInactive(ProductBlockModel, product_block_name="Test Endpoint"):
    """One end of a circuit."""

    vlan: int | None = None
    socket: SocketBlockInactive


class EndpointBlockProvisioning(EndpointBlockInactive, lifecycle=[PROVISIONING]):
    """One end of a circuit that is being built."""

    vlan: int


class EndpointBlock(EndpointBlockProvisioning, lifecycle=[ACTIVE]):
    """One end of a circuit in service."""

    socket: SocketBlock


class CircuitBlockInactive(ProductBlockModel, product_block_name="Test Circuit"):
    """A circuit between several ends."""

    speed: int | None = None
    endpoints: Annotated[list[EndpointBlockInactive], Len(2, 10)]


class CircuitBlockProvisioning(CircuitBlockInactive, lifecycle=[PROVISIONING]):
    """A circuit that is being built."""

    speed: int
    endpoints: Annotated[list[EndpointBlockProvisioning], Len(2, 10)]  # type: ignore[assignment]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """What people call it."""
        return f"{len(self.endpoints)} ends at {self.speed} Mbit/s"


class CircuitBlock(CircuitBlockProvisioning, lifecycle=[ACTIVE]):
    """A circuit in service."""

    endpoints: Annotated[list[EndpointBlock], Len(2, 10)]  # type: ignore[assignment]


class CircuitInactive(SubscriptionModel, is_base=True):
    """A subscription to a circuit."""

    protected: bool = False
    circuit: CircuitBlockInactive


class CircuitProvisioning(CircuitInactive, lifecycle=[PROVISIONING]):
    """A circuit that is being built."""

    circuit: CircuitBlockProvisioning


class Circuit(CircuitProvisioning, lifecycle=[ACTIVE]):
    """A circuit in service."""

    circuit: CircuitBlock


def add_product(name: str, **fixed_inputs: Any) -> UUID:
    """Write the row of a product, as the catalogue would; in the current transaction."""
    product_id = uuid5(NAMESPACE_URL, name)
    current_session().execute(
        sa.insert(ProductTable).values(
            product_id=product_id, name=name, description=f"the {name}", product_type=name, tag="TEST",
            status="active", fixed_inputs=fixed_inputs,
        )
    )  # fmt: skip
    return product_id


def active_device(hostname: str = "ams1") -> Device:
    """A saved device in service."""
    device = DeviceInactive.from_product_id(add_product(f"device {hostname}"), CUSTOMER)
    device.device.hostname = hostname
    device = Device.from_other_lifecycle(device, ACTIVE)
    device.save()
    return device


def active_circuit(device: Device, ends: int = 10) -> Circuit:
    """A saved circuit in service with three blocks for each end, the device shared: 1 + 2 * ends own blocks."""
    circuit = CircuitInactive.from_product_id(add_product("circuit", protected=True), CUSTOMER)
    owner = circuit.subscription_id
    circuit.circuit.speed = 1000
    circuit.circuit.endpoints = [
        EndpointBlockInactive.new(
            owner,
            vlan=100 + end,
            socket=SocketBlockInactive.new(owner, socket_name=f"ge-0/0/{end}", speeds=[10, 1, 5], device=device.device),
        )
        for end in range(ends)
    ]
    active = Circuit.from_other_lifecycle(circuit, ACTIVE)
    active.save()
    return active
