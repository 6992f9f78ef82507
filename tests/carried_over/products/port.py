"""Port: blocks in a block, the block of the node, a fixed input, a set of VLANs."""

from typing import Annotated

from annotated_types import Len
from carried_over.products.node import NodeBlock, NodeBlockInactive, NodeBlockProvisioning
from orchestrator.core.domain.base import ProductBlockModel, SubscriptionModel
from orchestrator.core.forms.validators import VlanRanges
from orchestrator.core.types import SI, SubscriptionLifecycle

ListOfChannels = Annotated[list[SI], Len(min_length=1, max_length=4)]


class ChannelBlockInactive(ProductBlockModel, product_block_name="Carried Channel"):
    lane: int | None = None


class ChannelBlock(ChannelBlockInactive, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    lane: int


class PortBlockInactive(ProductBlockModel, product_block_name="Carried Port"):
    port_name: str | None = None
    vlans: VlanRanges | None = None
    node: NodeBlockInactive | None = None
    channels: ListOfChannels[ChannelBlockInactive]


class PortBlockProvisioning(PortBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    port_name: str
    node: NodeBlockProvisioning
    channels: ListOfChannels[ChannelBlockInactive]


class PortBlock(PortBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    port_name: str
    vlans: VlanRanges
    node: NodeBlock
    channels: ListOfChannels[ChannelBlock]


class PortInactive(SubscriptionModel, is_base=True):
    speed: int
    port: PortBlockInactive


class PortProvisioning(PortInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    speed: int
    port: PortBlockProvisioning


class Port(PortProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    speed: int
    port: PortBlock
