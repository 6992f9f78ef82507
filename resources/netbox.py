"""NetBox, the inventory and address plan of the network, with the verbs that an orchestrator needs.

NetBox knows no idempotency header. What this module creates therefore carries a *marker*, a short hash of the caller's
`idempotency_key` in square brackets at the end of its description, and every creation looks for its marker (or for the
unique name) first. So every verb may run again after a crash, with the same key, and gives what it gave before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar, Literal

import dagster as dg
from pydantic import Field

DeviceStatus = Literal["planned", "staged", "active", "offline", "decommissioning"]


@dataclass(frozen=True, slots=True)
class Site:
    """A place where devices stand."""

    id: int
    name: str
    slug: str


@dataclass(frozen=True, slots=True)
class DeviceType:
    """A model of a vendor; its port templates decide which interfaces a new device gets."""

    id: int
    vendor: str
    model: str
    slug: str


@dataclass(frozen=True, slots=True)
class DeviceRole:
    """What a device is for."""

    id: int
    name: str
    slug: str


@dataclass(frozen=True, slots=True)
class Device:
    """A device; `vendor`, `model`, `site` and `role` are names, not slugs."""

    id: int
    name: str
    vendor: str
    model: str
    site: str
    role: str
    status: str
    description: str
    ipv4_loopback: IPv4Address | None
    ipv6_loopback: IPv6Address | None


@dataclass(frozen=True, slots=True)
class Interface:
    """A port of a device. `speed` is in Mbit/s, 0 when unknown; `description` is without its marker."""

    id: int
    device: str
    name: str
    speed: int
    enabled: bool
    description: str
    reserved: bool
    cable_id: int | None
    vlans: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Loopback:
    """The loopback addresses of a device."""

    interface_id: int
    ipv4_id: int
    ipv4: IPv4Address
    ipv6_id: int
    ipv6: IPv6Address


@dataclass(frozen=True, slots=True)
class LinkPrefixes:
    """The /31 and the /127 of a core link; the first host of each is side A's, the second side B's."""

    ipv4_id: int
    ipv4: IPv4Network
    ipv6_id: int
    ipv6: IPv6Network


@dataclass(frozen=True, slots=True)
class Cable:
    """A cable between two interfaces."""

    id: int
    a_interface_id: int
    b_interface_id: int
    status: str
    description: str


@dataclass(frozen=True, slots=True)
class L2vpn:
    """A layer 2 service with its VNI and its route target."""

    id: int
    name: str
    vni: int
    route_target: str


class NetBox(dg.ConfigurableResource):  # type: ignore[type-arg]
    """NetBox over HTTP; the lab's when no url is configured here or in NETBOX_URL.

    Every verb is one or a few HTTP calls, may run again (see the module), and raises ExternalSystemUnavailable when
    NetBox does not answer and ExternalSystemError with NetBox's own words when it refuses.
    """

    resource_key: ClassVar[str] = "netbox"

    url: str = Field("", description="address of NetBox; NETBOX_URL, else the lab's, when empty")
    token: str = Field("", description="API token; NETBOX_TOKEN when empty")
    timeout: float = Field(10, gt=0, description="seconds to wait for each answer")
    loopback_role: str = Field("loopback", description="role (slug) of the container prefixes for loopback addresses")
    core_link_role: str = Field("core-link", description="role (slug) of the container prefixes for core links")
    autonomous_system: int = Field(65000, description="first half of route targets")
    first_vni: int = Field(10001, description="lowest VNI to give out")

    # What there is to choose from

    def sites(self) -> list[Site]:
        """All sites, by name."""
        raise NotImplementedError

    def device_types(self, vendor: str | None = None) -> list[DeviceType]:
        """Device types (of one vendor, by its name in any case), by vendor and model."""
        raise NotImplementedError

    def device_roles(self) -> list[DeviceRole]:
        """All device roles, by name."""
        raise NotImplementedError

    # Devices

    def devices(self, *, site: str | None = None, status: DeviceStatus | None = None) -> list[Device]:
        """Devices (of one site, by name or slug), by name."""
        raise NotImplementedError

    def find_device(self, name: str) -> Device | None:
        """The device of that exact name, or None."""
        raise NotImplementedError

    def device(self, device_id: int) -> Device:
        """The device of that id; ExternalSystemError when there is none."""
        raise NotImplementedError

    def create_device(
        self,
        name: str,
        *,
        vendor: str,
        model: str,
        site: str,
        role: str,
        idempotency_key: str,
        status: DeviceStatus = "planned",
        description: str = "",
    ) -> Device:
        """The device, with the ports of its model. Vendor, model, site and role by name or slug, in any case.

        A device of that name that another key made (or a person) is an ExternalSystemError, not a success.
        """
        raise NotImplementedError

    def update_device(
        self, device_id: int, *, status: DeviceStatus | None = None, description: str | None = None
    ) -> Device:
        """The device after the change; what is None stays as it is."""
        raise NotImplementedError

    def delete_device(self, device_id: int) -> None:
        """Delete the device with its interfaces, cables and loopback addresses; one that is gone is fine."""
        raise NotImplementedError

    # Loopback addresses

    def reserve_loopback(self, device_id: int, *, idempotency_key: str) -> Loopback:
        """The next free IPv4 and IPv6 address for the device's interface `Loopback0`; also its primary addresses."""
        raise NotImplementedError

    def release_loopback(self, device_id: int) -> None:
        """Give the device's loopback addresses back; may run again."""
        raise NotImplementedError

    # Interfaces

    def interfaces(self, device_id: int) -> list[Interface]:
        """All physical ports of the device, in the order of the device."""
        raise NotImplementedError

    def free_interfaces(self, device_id: int, speed: int | None = None) -> list[Interface]:
        """Ports that nobody uses: no cable, no VLAN, no description, not reserved. `speed` in Mbit/s."""
        raise NotImplementedError

    def interface(self, interface_id: int) -> Interface:
        """The interface of that id; ExternalSystemError when there is none."""
        raise NotImplementedError

    def reserve_interface(self, interface_id: int, *, description: str, idempotency_key: str) -> Interface:
        """Take a free port. One that somebody else holds is an ExternalSystemError that names the holder's description.

        Two that ask at once: one gets it, if NetBox honours `If-Match` (4.6 and later, and the lab).
        """
        raise NotImplementedError

    def update_interface(
        self, interface_id: int, *, description: str | None = None, enabled: bool | None = None
    ) -> Interface:
        """The interface after the change; what is None stays as it is, and so does the reservation."""
        raise NotImplementedError

    def release_interface(self, interface_id: int) -> None:
        """Make the port free again: no description, no VLANs, disabled, no cable. May run again."""
        raise NotImplementedError

    # Core links

    def reserve_link_prefixes(self, *, description: str, idempotency_key: str) -> LinkPrefixes:
        """The next free /31 and /127 of the containers for core links."""
        raise NotImplementedError

    def release_link_prefixes(self, ipv4_id: int, ipv6_id: int) -> None:
        """Give both prefixes back; may run again."""
        raise NotImplementedError

    def create_cable(
        self, a_interface_id: int, b_interface_id: int, *, idempotency_key: str, description: str = ""
    ) -> Cable:
        """The cable between two interfaces; the one that is there already between just these two is the answer."""
        raise NotImplementedError

    def find_cable(self, a_interface_id: int, b_interface_id: int) -> Cable | None:
        """The cable between the two, either way round, or None."""
        raise NotImplementedError

    def delete_cable(self, cable_id: int) -> None:
        """Take the cable out; one that is gone is fine."""
        raise NotImplementedError

    # VLANs

    def vlans_in_use(self, interface_id: int) -> dict[int, str]:
        """VLAN number -> name of the service that uses it on this interface."""
        raise NotImplementedError

    def assign_vlans(self, interface_id: int, vlans: Iterable[int], *, service: str, idempotency_key: str) -> Interface:
        """Make just these VLANs (1-4094) the service's on the interface; others that it had there are released.

        One that another service has there is an ExternalSystemError that names both.
        """
        raise NotImplementedError

    def release_vlans(self, interface_id: int, *, service: str) -> None:
        """Release all VLANs of the service on the interface; may run again."""
        raise NotImplementedError

    # Layer 2 services

    def reserve_l2vpn(self, name: str, *, idempotency_key: str) -> L2vpn:
        """The service with the lowest free VNI and the route target `<autonomous system>:<vni>`."""
        raise NotImplementedError

    def find_l2vpn(self, name: str) -> L2vpn | None:
        """The service of that name, or None."""
        raise NotImplementedError

    def release_l2vpn(self, l2vpn_id: int) -> None:
        """Give the service's VNI and route target back; may run again."""
        raise NotImplementedError
