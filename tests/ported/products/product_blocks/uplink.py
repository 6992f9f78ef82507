"""The block of an uplink, which stands on a site."""

from orchestrator.core.domain.base import ProductBlockModel
from orchestrator.core.types import SubscriptionLifecycle

from .site import SiteBlock, SiteBlockInactive, SiteBlockProvisioning


class UplinkBlockInactive(ProductBlockModel, product_block_name="Ported Uplink"):
    """An uplink that may not exist yet."""

    interface: str | None = None
    order_id: str | None = None
    site: SiteBlockInactive | None = None


class UplinkBlockProvisioning(UplinkBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """An uplink that is being built."""

    interface: str
    site: SiteBlockProvisioning


class UplinkBlock(UplinkBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """An uplink in use."""

    order_id: str
    site: SiteBlock
