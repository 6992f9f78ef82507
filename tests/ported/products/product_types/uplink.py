"""The product of an uplink: one per speed."""

from orchestrator.core.domain.base import SubscriptionModel
from orchestrator.core.types import SubscriptionLifecycle

from products.product_blocks.uplink import UplinkBlock, UplinkBlockInactive, UplinkBlockProvisioning


class UplinkInactive(SubscriptionModel, is_base=True):
    """Of an uplink that may not exist yet."""

    speed: int
    uplink: UplinkBlockInactive


class UplinkProvisioning(UplinkInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """Of an uplink that is being built."""

    speed: int
    uplink: UplinkBlockProvisioning


class Uplink(UplinkProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """Of an uplink in use."""

    speed: int
    uplink: UplinkBlock
