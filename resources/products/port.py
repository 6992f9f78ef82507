"""Port: an interface of a node in use, for customers or for the network's own links."""

from enum import IntEnum, StrEnum
from typing import Annotated, TypeAlias

from pydantic import computed_field

from resources import NETBOX_INTERFACE_NAME, Product, ProductBlockModel, SubscriptionLifecycle, SubscriptionModel
from resources.products.node import Description, NodeBlock, NodeBlockInactive, NodeBlockProvisioning

PortName: TypeAlias = Annotated[str, NETBOX_INTERFACE_NAME]


class PortSpeed(IntEnum):
    """Speed in Mbit/s; each speed is a product of its own."""

    G10 = 10_000
    G100 = 100_000
    G400 = 400_000

    @property
    def label(self) -> str:
        """The speed as people write it: 10G."""
        return f"{self // 1000}G"


class PortMode(StrEnum):
    """The use of a port: services with VLAN tags, one service without, or a link of the network itself."""

    TAGGED = "tagged"
    UNTAGGED = "untagged"
    LINK_MEMBER = "link member"


class PortBlockInactive(ProductBlockModel, product_block_name="Port"):
    """A port that is ordered or terminated. `node` is the block of the node's own subscription."""

    node: NodeBlockInactive | None = None
    port_name: PortName | None = None
    port_description: Description | None = None
    port_mode: PortMode | None = None
    auto_negotiation: bool | None = None
    lldp: bool | None = None
    enabled: bool | None = None
    ims_id: int | None = None
    """Id of the interface in the inventory management system (NetBox)."""


class PortBlockProvisioning(PortBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A port that is being built."""

    node: NodeBlockProvisioning
    port_name: PortName
    port_mode: PortMode
    auto_negotiation: bool
    lldp: bool
    enabled: bool

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """The title of the port for people."""
        return f"{self.node.node_name} {self.port_name}"


class PortBlock(PortBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A port in service."""

    node: NodeBlock
    ims_id: int


class PortInactive(SubscriptionModel, is_base=True):
    """A subscription to a port that is ordered or terminated."""

    speed: PortSpeed
    port: PortBlockInactive


class PortProvisioning(PortInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A subscription to a port that is being built."""

    port: PortBlockProvisioning


class Port(PortProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A subscription to a port in service."""

    port: PortBlock


PRODUCTS: tuple[Product, ...] = tuple(
    Product(
        name=f"Port {speed.label}",
        tag="PORT",
        model=Port,
        product_type="Port",
        description=f"Interface of {speed.label}bit/s on a node",
        fixed_inputs={"speed": speed},
    )
    for speed in PortSpeed
)
