"""Node: block and product."""

from orchestrator.core.domain.base import ProductBlockModel, SubscriptionModel
from orchestrator.core.types import SubscriptionLifecycle, strEnum
from pydantic import computed_field


class NodeType(strEnum):
    CISCO = "Cisco"
    NOKIA = "Nokia"


class NodeBlockInactive(ProductBlockModel, product_block_name="Carried Node"):
    node_name: str | None = None
    ims_id: int | None = None


class NodeBlockProvisioning(NodeBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    node_name: str
    ims_id: int | None = None

    @computed_field
    @property
    def title(self) -> str:
        return f"node {self.node_name}"


class NodeBlock(NodeBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    node_name: str
    ims_id: int


class NodeInactive(SubscriptionModel, is_base=True):
    node_type: NodeType
    node: NodeBlockInactive


class NodeProvisioning(NodeInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    node_type: NodeType
    node: NodeBlockProvisioning


class Node(NodeProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    node_type: NodeType
    node: NodeBlock
