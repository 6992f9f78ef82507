"""Node: a router of the network, with its place, its make and its loopback addresses."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from pydantic import computed_field

from resources import Product, ProductBlockModel, SubscriptionLifecycle, SubscriptionModel


class Vendor(StrEnum):
    """Who makes the node; each vendor is a product of its own."""

    CISCO = "Cisco"
    NOKIA = "Nokia"
    JUNIPER = "Juniper"


class NodeStatus(StrEnum):
    """Whether the node carries traffic, in the inventory's words."""

    PLANNED = "planned"
    STAGED = "staged"
    ACTIVE = "active"
    OFFLINE = "offline"
    DECOMMISSIONING = "decommissioning"


class NodeBlockInactive(ProductBlockModel, product_block_name="Node"):
    """A node of which nothing is settled yet, or any more."""

    node_name: str | None = None
    node_description: str | None = None
    node_status: NodeStatus | None = None
    site: str | None = None
    role: str | None = None
    device_type: str | None = None
    ims_id: int | None = None
    """Id of the device in the inventory management system (NetBox)."""
    ipv4_loopback: IPv4Address | None = None
    ipv6_loopback: IPv6Address | None = None


class NodeBlockProvisioning(NodeBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A node that is being put in place: what was ordered is known, what systems hand out may be missing."""

    node_name: str
    node_status: NodeStatus
    site: str
    role: str
    device_type: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """What people call the node."""
        return f"{self.node_name} {self.site}"


class NodeBlock(NodeBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A node in service."""

    ims_id: int
    ipv4_loopback: IPv4Address
    ipv6_loopback: IPv6Address


class NodeInactive(SubscriptionModel, is_base=True):
    """A subscription to a node that is ordered, or was given up."""

    vendor: Vendor
    node: NodeBlockInactive


class NodeProvisioning(NodeInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A subscription to a node that is being put in place."""

    node: NodeBlockProvisioning


class Node(NodeProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A subscription to a node in service."""

    node: NodeBlock


PRODUCTS: tuple[Product, ...] = tuple(
    Product(
        name=f"Node {vendor}",
        tag="NODE",
        model=Node,
        product_type="Node",
        description=f"Router made by {vendor}",
        fixed_inputs={"vendor": vendor},
    )
    for vendor in Vendor
)
