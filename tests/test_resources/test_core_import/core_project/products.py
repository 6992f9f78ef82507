"""Products that have every kind of value and of block; tests read this file with its imports changed.

Each class repeats the fields of the one above it: orchestrator-core saves only those that a class itself names.
"""

from datetime import datetime
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Network
from typing import Annotated
from uuid import UUID

from annotated_types import Len
from orchestrator.core.domain.base import ProductBlockModel, SubscriptionModel
from orchestrator.core.forms.validators import VlanRanges
from orchestrator.core.types import SI, SubscriptionLifecycle, strEnum
from pydantic import Field

ACTIVE, PROVISIONING = SubscriptionLifecycle.ACTIVE, SubscriptionLifecycle.PROVISIONING
Channels = Annotated[list[SI], Len(min_length=0, max_length=4)]
Ends = Annotated[list[SI], Len(min_length=0, max_length=8)]


class Vendor(strEnum):
    CISCO = "Cisco"
    NOKIA = "Nokia"


class Role(strEnum):
    CORE = "core"
    EDGE = "edge"


class Rack(IntEnum):
    LEFT = 1
    RIGHT = 2


class SiteBlockInactive(ProductBlockModel, product_block_name="Site"):
    city: str | None = None


class SiteBlock(SiteBlockInactive, lifecycle=[PROVISIONING, ACTIVE]):
    city: str


class NodeBlockInactive(ProductBlockModel, product_block_name="Node"):
    node_name: str | None = None
    ims_id: int | None = None
    role: Role | None = None
    rack: Rack | None = None
    loopback: IPv4Address | None = None
    prefix: IPv6Network | None = None
    commissioned: datetime | None = None
    key: UUID | None = None
    load: float | None = None
    is_monitored: bool | None = True
    aliases: list[str] = Field(default_factory=list)
    as_numbers: list[int] = Field(default_factory=list)
    site: SiteBlockInactive | None = None


class NodeBlockProvisioning(NodeBlockInactive, lifecycle=[PROVISIONING]):
    node_name: str
    ims_id: int | None = None
    role: Role | None = None
    rack: Rack | None = None
    loopback: IPv4Address | None = None
    prefix: IPv6Network | None = None
    commissioned: datetime | None = None
    key: UUID | None = None
    load: float | None = None
    is_monitored: bool | None = True
    aliases: list[str] = Field(default_factory=list)
    as_numbers: list[int] = Field(default_factory=list)
    site: SiteBlock | None = None


class NodeBlock(NodeBlockProvisioning, lifecycle=[ACTIVE]):
    node_name: str
    ims_id: int
    role: Role | None = None
    rack: Rack | None = None
    loopback: IPv4Address | None = None
    prefix: IPv6Network | None = None
    commissioned: datetime | None = None
    key: UUID | None = None
    load: float | None = None
    is_monitored: bool | None = True
    aliases: list[str] = Field(default_factory=list)
    as_numbers: list[int] = Field(default_factory=list)
    site: SiteBlock | None = None


class NodeInactive(SubscriptionModel, is_base=True):
    vendor: Vendor
    node: NodeBlockInactive


class NodeProvisioning(NodeInactive, lifecycle=[PROVISIONING]):
    vendor: Vendor
    node: NodeBlockProvisioning


class Node(NodeProvisioning, lifecycle=[ACTIVE]):
    vendor: Vendor
    node: NodeBlock


class ChannelBlockInactive(ProductBlockModel, product_block_name="Channel"):
    lane: int | None = None


class ChannelBlock(ChannelBlockInactive, lifecycle=[ACTIVE]):
    lane: int


class PortBlockInactive(ProductBlockModel, product_block_name="Port"):
    port_name: str | None = None
    vlans: VlanRanges | None = None
    node: NodeBlockInactive | None = None
    channels: Channels[ChannelBlockInactive]


class PortBlockProvisioning(PortBlockInactive, lifecycle=[PROVISIONING]):
    port_name: str
    vlans: VlanRanges | None = None
    node: NodeBlockProvisioning
    channels: Channels[ChannelBlockInactive]


class PortBlock(PortBlockProvisioning, lifecycle=[ACTIVE]):
    port_name: str
    vlans: VlanRanges | None = None
    node: NodeBlock
    channels: Channels[ChannelBlock]


class PortInactive(SubscriptionModel, is_base=True):
    speed: int
    is_tagged: bool
    port: PortBlockInactive


class PortProvisioning(PortInactive, lifecycle=[PROVISIONING]):
    speed: int
    is_tagged: bool
    port: PortBlockProvisioning


class Port(PortProvisioning, lifecycle=[ACTIVE]):
    speed: int
    is_tagged: bool
    port: PortBlock


class BandwidthBlock(ProductBlockModel, product_block_name="Bandwidth"):
    mbits: int | None = None


class PriorityBlock(ProductBlockModel, product_block_name="Priority"):
    classes: list[int] = Field(default_factory=list)


class EndBlockInactive(ProductBlockModel, product_block_name="End"):
    vlan: int | str | None = None
    port: PortBlockInactive | None = None


class EndBlock(EndBlockInactive, lifecycle=[ACTIVE]):
    vlan: int | str
    port: PortBlock


class VpnBlockInactive(ProductBlockModel, product_block_name="Vpn"):
    name_in_network: str | None = None
    ends: Ends[EndBlockInactive]
    policy: BandwidthBlock | PriorityBlock | None = None


class VpnBlock(VpnBlockInactive, lifecycle=[ACTIVE]):
    name_in_network: str
    ends: Ends[EndBlock]
    policy: BandwidthBlock | PriorityBlock | None = None


class VpnInactive(SubscriptionModel, is_base=True):
    vpn: VpnBlockInactive


class Vpn(VpnInactive, lifecycle=[ACTIVE]):
    vpn: VpnBlock


CATALOGUE = [
    ("Node Cisco", "NODE", NodeInactive, "Node", {"vendor": "Cisco"}),
    ("Node Nokia", "NODE", NodeInactive, "Node", {"vendor": "Nokia"}),
    ("Port 10G", "PORT", PortInactive, "Port", {"speed": 10_000, "is_tagged": True}),
    ("Port 1G", "PORT", PortInactive, "Port", {"speed": 1000, "is_tagged": False}),
    ("Vpn", "VPN", VpnInactive, "Vpn", {}),
]
"""Name, tag, model, type, fixed inputs of each product."""
