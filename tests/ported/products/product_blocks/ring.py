"""The block of a ring, with its members in it."""

from typing import Annotated

from annotated_types import Len
from orchestrator.core.domain.base import ProductBlockModel
from orchestrator.core.types import SI, SubscriptionLifecycle

from products.product_blocks.uplink import UplinkBlock, UplinkBlockInactive

Members = Annotated[list[SI], Len(min_length=2, max_length=8)]


class MemberBlockInactive(ProductBlockModel, product_block_name="Ported Member"):
    """A place in the ring that may be free."""

    vlan: int | None = None
    uplink: UplinkBlockInactive | None = None


class MemberBlock(MemberBlockInactive, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A place that is taken."""

    vlan: int
    uplink: UplinkBlock


class RingBlockInactive(ProductBlockModel, product_block_name="Ported Ring"):
    """A ring that may not exist yet."""

    members: Members[MemberBlockInactive]


class RingBlock(RingBlockInactive, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A ring in use."""

    members: Members[MemberBlock]
