"""The product of a site."""

from orchestrator.core.domain.base import SubscriptionModel
from orchestrator.core.types import SubscriptionLifecycle

from products.product_blocks.site import SiteBlock, SiteBlockInactive, SiteBlockProvisioning


class SiteInactive(SubscriptionModel, is_base=True):
    """Of a site that may not exist yet."""

    site: SiteBlockInactive


class SiteProvisioning(SiteInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """Of a site that is being built."""

    site: SiteBlockProvisioning


class Site(SiteProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """Of a site in use."""

    site: SiteBlock
