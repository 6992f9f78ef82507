"""The product of a ring."""

from orchestrator.core.domain.base import SubscriptionModel
from orchestrator.core.types import SubscriptionLifecycle

from products.product_blocks.ring import RingBlock, RingBlockInactive


class RingInactive(SubscriptionModel, is_base=True):
    """Of a ring that may not exist yet."""

    ring: RingBlockInactive


class Ring(RingInactive, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """Of a ring in use."""

    ring: RingBlock
