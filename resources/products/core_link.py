"""Core link: two ports of the network joined by a cable, with addresses and a metric for IS-IS."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import computed_field

from resources import Product, ProductBlockModel, SubscriptionLifecycle, SubscriptionModel
from resources.products.port import PortBlock, PortBlockInactive, PortBlockProvisioning

DRAINED_METRIC = 16_777_214
"""The highest metric over which IS-IS still routes (RFC 5305), for a link under maintenance."""

IsisMetric = Annotated[int, Ge(1), Le(DRAINED_METRIC)]


class CorePortBlockInactive(ProductBlockModel, product_block_name="CorePort"):
    """One end of a core link. `port` is the block of the port's own subscription."""

    port: PortBlockInactive | None = None
    ipv4_address: IPv4Address | None = None
    ipv6_address: IPv6Address | None = None


class CorePortBlockProvisioning(CorePortBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """One end of a core link that is being built."""

    port: PortBlockProvisioning

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """The title of this end for people."""
        return self.port.title


class CorePortBlock(CorePortBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """One end of a core link in service."""

    port: PortBlock
    ipv4_address: IPv4Address
    ipv6_address: IPv6Address


class CoreLinkBlockInactive(ProductBlockModel, product_block_name="CoreLink"):
    """A core link that is ordered or terminated. Its ends are side A and side B, in that order."""

    ports: Annotated[list[CorePortBlockInactive], Len(2, 2)]
    isis_metric: IsisMetric | None = None
    under_maintenance: bool | None = None
    ipv4_prefix: IPv4Network | None = None
    ipv6_prefix: IPv6Network | None = None
    ims_id: int | None = None
    """Id of the cable in the inventory management system (NetBox)."""
    ipv4_prefix_ipam_id: int | None = None
    ipv6_prefix_ipam_id: int | None = None


class CoreLinkBlockProvisioning(CoreLinkBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A core link that is being built."""

    ports: Annotated[list[CorePortBlockProvisioning], Len(2, 2)]  # type: ignore[assignment]
    isis_metric: IsisMetric
    under_maintenance: bool

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """The title of the link for people."""
        return " - ".join(end.title for end in self.ports)

    @property
    def announced_metric(self) -> int:
        """The metric that the routers use: under maintenance so high that traffic takes another way."""
        return DRAINED_METRIC if self.under_maintenance else self.isis_metric


class CoreLinkBlock(CoreLinkBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A core link in service."""

    ports: Annotated[list[CorePortBlock], Len(2, 2)]  # type: ignore[assignment]
    ipv4_prefix: IPv4Network
    ipv6_prefix: IPv6Network
    ims_id: int
    ipv4_prefix_ipam_id: int
    ipv6_prefix_ipam_id: int


class CoreLinkInactive(SubscriptionModel, is_base=True):
    """A subscription to a core link that is ordered or terminated."""

    core_link: CoreLinkBlockInactive


class CoreLinkProvisioning(CoreLinkInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A subscription to a core link that is being built."""

    core_link: CoreLinkBlockProvisioning


class CoreLink(CoreLinkProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A subscription to a core link in service."""

    core_link: CoreLinkBlock


PRODUCTS: tuple[Product, ...] = (
    Product(
        name="Core link",
        tag="CORELINK",
        model=CoreLink,
        product_type="CoreLink",
        description="Link between two nodes of the network",
    ),
)
