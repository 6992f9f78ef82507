"""Node: a router of the network, with its site, its model and its loopback addresses."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, TypeAlias

from pydantic import computed_field

from resources import (
    NETBOX_DESCRIPTION,
    NETBOX_DEVICE_NAME,
    NETBOX_NAME,
    Product,
    ProductBlockModel,
    SubscriptionLifecycle,
    SubscriptionModel,
)

NodeName: TypeAlias = Annotated[str, NETBOX_DEVICE_NAME]
Description: TypeAlias = Annotated[str, NETBOX_DESCRIPTION]
Name: TypeAlias = Annotated[str, NETBOX_NAME]


class Vendor(StrEnum):
    """The vendor of the node; each vendor is a product of its own."""

    CISCO = "Cisco"
    NOKIA = "Nokia"
    JUNIPER = "Juniper"


class NodeStatus(StrEnum):
    """Whether the node carries traffic, in NetBox's words."""

    PLANNED = "planned"
    STAGED = "staged"
    ACTIVE = "active"
    OFFLINE = "offline"
    DECOMMISSIONING = "decommissioning"


class NodeBlockInactive(ProductBlockModel, product_block_name="Node"):
    """A node that is ordered or terminated."""

    node_name: NodeName | None = None
    node_description: Description | None = None
    node_status: NodeStatus | None = None
    site: Name | None = None
    role: Name | None = None
    device_type: Name | None = None
    ims_id: int | None = None
    """Id of the device in the inventory management system (NetBox)."""
    ipv4_loopback: IPv4Address | None = None
    ipv6_loopback: IPv6Address | None = None


class NodeBlockProvisioning(NodeBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A node that is being built: the order is known, what other systems assign may be missing."""

    node_name: NodeName
    node_status: NodeStatus
    site: Name
    role: Name
    device_type: Name

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """The title of the node for people."""
        return f"{self.node_name} {self.site}"


class NodeBlock(NodeBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A node in service."""

    ims_id: int
    ipv4_loopback: IPv4Address
    ipv6_loopback: IPv6Address


class NodeInactive(SubscriptionModel, is_base=True):
    """A subscription to a node that is ordered or terminated."""

    vendor: Vendor
    node: NodeBlockInactive


class NodeProvisioning(NodeInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A subscription to a node that is being built."""

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
