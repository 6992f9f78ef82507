"""L2VPN: a layer 2 service that joins two to ten access points on ports, separated by VLANs."""

from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import computed_field

from resources import Product, ProductBlockModel, SubscriptionLifecycle, SubscriptionModel, VlanRanges
from resources.products.port import PortBlock, PortBlockInactive, PortBlockProvisioning

Vni = Annotated[int, Ge(1), Le(2**24 - 1)]
"""A VXLAN network identifier (RFC 7348): 24 bits."""


class SapBlockInactive(ProductBlockModel, product_block_name="SAP"):
    """A service access point. `port` is the block of the port's own subscription."""

    port: PortBlockInactive | None = None
    vlan: VlanRanges | None = None


class SapBlockProvisioning(SapBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A service access point that is being built."""

    port: PortBlockProvisioning
    vlan: VlanRanges

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """The title of the access point for people."""
        return f"{self.port.title} vlan {self.vlan}"


class SapBlock(SapBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A service access point in service."""

    port: PortBlock


class VirtualCircuitBlockInactive(ProductBlockModel, product_block_name="VirtualCircuit"):
    """A circuit that is ordered or terminated."""

    saps: Annotated[list[SapBlockInactive], Len(2, 10)]
    speed: int | None = None
    """Mbit/s."""
    speed_policer: bool | None = None
    vni: Vni | None = None
    route_target: str | None = None
    ims_id: int | None = None
    """Id of the L2VPN in the inventory management system (NetBox)."""


class VirtualCircuitBlockProvisioning(VirtualCircuitBlockInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A circuit that is being built."""

    saps: Annotated[list[SapBlockProvisioning], Len(2, 10)]  # type: ignore[assignment]
    speed: int
    speed_policer: bool

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """The title of the circuit for people."""
        return " - ".join(sap.title for sap in self.saps)


class VirtualCircuitBlock(VirtualCircuitBlockProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A circuit in service."""

    saps: Annotated[list[SapBlock], Len(2, 10)]  # type: ignore[assignment]
    vni: Vni
    route_target: str
    ims_id: int


class L2vpnInactive(SubscriptionModel, is_base=True):
    """A subscription to an L2VPN that is ordered or terminated."""

    virtual_circuit: VirtualCircuitBlockInactive

    @property
    def service_name(self) -> str:
        """The name of the service in NetBox and on devices: unique, and the same for its whole life."""
        return f"l2vpn-{self.subscription_id.hex[:12]}"


class L2vpnProvisioning(L2vpnInactive, lifecycle=[SubscriptionLifecycle.PROVISIONING]):
    """A subscription to an L2VPN that is being built."""

    virtual_circuit: VirtualCircuitBlockProvisioning


class L2vpn(L2vpnProvisioning, lifecycle=[SubscriptionLifecycle.ACTIVE]):
    """A subscription to an L2VPN in service."""

    virtual_circuit: VirtualCircuitBlock


PRODUCTS: tuple[Product, ...] = (
    Product(
        name="L2VPN",
        tag="L2VPN",
        model=L2vpn,
        product_type="L2VPN",
        description="Layer 2 service between two to ten access points",
    ),
)
