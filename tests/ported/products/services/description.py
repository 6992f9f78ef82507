"""What subscriptions are called."""

from functools import singledispatch

from orchestrator.core.domain.base import SubscriptionModel

from products.product_types.site import SiteProvisioning
from products.product_types.uplink import UplinkProvisioning


@singledispatch
def description(subscription: SubscriptionModel) -> str:
    """The description of a subscription."""
    return f"{subscription.product.name} subscription"


@description.register
def _(site: SiteProvisioning) -> str:
    return site.site.title


@description.register
def _(uplink: UplinkProvisioning) -> str:
    return f"{uplink.speed}M from {uplink.uplink.interface}"
