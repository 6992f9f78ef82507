"""NetBox, the inventory and address plan of the network, with the methods that an orchestrator needs.

NetBox has no idempotency header. Objects that this module creates therefore carry a *marker*, a short hash of the
caller's `idempotency_key` in square brackets at the end of the description, and every creation first looks for its
marker (or for the unique name). So every method may run again after a crash, with the same key, and returns the earlier
result.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface, ip_network
from typing import Any, ClassVar

import dagster as dg
from pydantic import Field

from resources.errors import ExternalSystemError
from resources.settings import settings
from resources.systems.http_session import configured_url
from resources.systems.netbox_connection import NetBoxConnection
from resources.systems.netbox_records import (
    NATIVE_VLAN,
    SPEEDS,
    Cable,
    Device,
    DeviceRole,
    DeviceStatus,
    DeviceType,
    Interface,
    Json,
    L2vpn,
    LinkPrefixes,
    Loopback,
    Site,
    cable_record,
    carries,
    choice,
    choice_of_device_type,
    device_record,
    device_type_record,
    interface_record,
    l2vpn_record,
    made_for,
    marked,
    marker,
    refuse_overlap,
    remarked,
    slug,
    unmarked,
    vlan_name,
    vlan_service,
    vlan_values,
    vlans_by_number,
)
from resources.systems.netbox_texts import NETBOX_NAME

LOOPBACK_NAME = "Loopback0"


class NetBox(dg.ConfigurableResource[Any]):
    """NetBox over HTTP, at `url` or NETBOX_URL.

    Every verb is one or a few HTTP calls and may run again (see the module). It raises ExternalSystemNotConfigured when
    nothing names the address, ExternalSystemUnavailable when NetBox does not answer, and ExternalSystemError with
    NetBox's own words when it refuses.
    """

    resource_key: ClassVar[str] = "netbox"
    is_shared: ClassVar[bool] = True

    url: str = Field(default="", description="address of NetBox; NETBOX_URL when empty")
    token: str = Field(default="", description="API token; NETBOX_TOKEN when empty")
    timeout: float = Field(default=10, gt=0, description="seconds to wait for each answer")
    loopback_role: str = Field(default="loopback", description="role (slug) of the prefixes for loopback addresses")
    core_link_role: str = Field(default="core-link", description="role (slug) of the prefixes for core links")
    autonomous_system: int = Field(default=65000, description="first half of route targets")
    first_vni: int = Field(default=10001, description="lowest VNI to use")

    def observe(
        self,
        *,
        device: str | None = None,
        interface: int | None = None,
        cable: tuple[int, int] | None = None,
        prefixes: tuple[int, int] | None = None,
        l2vpn: str | None = None,
    ) -> dict[str, Any]:
        """What NetBox has for the objects of a subscription: for each that is named the record, None if it is gone.

        A device and an L2VPN are named by their names, an interface by its id, a cable by the ids of its two
        interfaces, the prefixes of a core link by theirs.
        """
        asked: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            "device": (device, self.find_device),
            "interface": (interface, self.find_interface),
            "cable": (cable, lambda ends: self.find_cable(*ends)),
            "prefixes": (prefixes, lambda ids: self.find_link_prefixes(*ids)),
            "l2vpn": (l2vpn, self.find_l2vpn),
        }
        return {kind: find(name) for kind, (name, find) in asked.items() if name is not None}

    # What there is to choose from

    def sites(self) -> list[Site]:
        """All sites, by name."""
        return [Site(one["id"], one["name"], one["slug"]) for one in self._netbox.find("dcim.sites", ordering="name")]

    def device_types(self, vendor: str | None = None) -> list[DeviceType]:
        """Device types (of one vendor, by name in any case), by vendor and model."""
        types = [device_type_record(one) for one in self._netbox.find("dcim.device_types")]
        chosen = [one for one in types if vendor is None or NETBOX_NAME.same(one.vendor, vendor)]
        return sorted(chosen, key=lambda one: (one.vendor, one.model))

    def device_roles(self) -> list[DeviceRole]:
        """All device roles, by name."""
        roles = self._netbox.find("dcim.device_roles", ordering="name")
        return [DeviceRole(one["id"], one["name"], one["slug"]) for one in roles]

    # Devices

    def devices(self, *, site: str | None = None, status: DeviceStatus | None = None) -> list[Device]:
        """Devices (of one site, by name or slug), by name."""
        filters: Json = {"ordering": "name"}
        if site is not None:
            filters["site_id"] = self._choose("dcim.sites", "site", site)["id"]
        if status is not None:
            filters["status"] = status
        return [device_record(one) for one in self._netbox.find("dcim.devices", **filters)]

    def find_device(self, name: str) -> Device | None:
        """The device of that name, or None. In any case: NetBox has no two in a site that differ in case alone."""
        found = self._netbox.find("dcim.devices", name__ie=name)
        return device_record(found[0]) if found else None

    def device(self, device_id: int) -> Device:
        """Read a device by its id; ExternalSystemError when there is none."""
        return device_record(self._netbox.get("dcim.devices", device_id))

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
        """Create a device, with the ports of its model. Vendor, model, site and role by name or slug, in any case.

        A device of that name that another key (or a person) made is an ExternalSystemError, not a success.
        """
        if found := self._netbox.find("dcim.devices", name__ie=name):
            if not carries(found[0], idempotency_key):
                raise ExternalSystemError(f"NetBox already has a device named {name!r}; choose another name.")
            return device_record(found[0])
        values = {
            "name": name,
            "device_type": choice_of_device_type(self.device_types(), vendor, model),
            "site": self._choose("dcim.sites", "site", site)["id"],
            "role": self._choose("dcim.device_roles", "device role", role)["id"],
            "status": status,
            "description": marked(description, idempotency_key),
        }
        return device_record(self._netbox.create("dcim.devices", values, idempotency_key))

    def update_device(
        self,
        device_id: int,
        *,
        name: str | None = None,
        site: str | None = None,
        role: str | None = None,
        status: DeviceStatus | None = None,
        description: str | None = None,
    ) -> Device:
        """Change a device; None leaves a value. Site and role by name or slug, in any case."""
        changes: Json = {key: value for key, value in {"name": name, "status": status}.items() if value is not None}
        if site is not None:
            changes["site"] = self._choose("dcim.sites", "site", site)["id"]
        if role is not None:
            changes["role"] = self._choose("dcim.device_roles", "device role", role)["id"]
        if description is not None:
            changes["description"] = remarked(description, self._netbox.get("dcim.devices", device_id))
        return device_record(self._netbox.change("dcim.devices", device_id, changes))

    def delete_device(self, device_id: int) -> None:
        """Delete the device with its interfaces, cables and loopback addresses; may run again."""
        self.release_loopback(device_id)
        self._netbox.delete("dcim.devices", device_id)

    # Loopback addresses

    def reserve_loopback(self, device_id: int, *, idempotency_key: str) -> Loopback:
        """Reserve the next free IPv4 and IPv6 address for the device's `Loopback0`, as its primary addresses."""
        interface_id = self._loopback_interface(device_id, idempotency_key)
        addresses = [self._loopback_address(family, interface_id, idempotency_key) for family in (4, 6)]
        ids = {f"primary_ip{family}": one["id"] for family, one in zip((4, 6), addresses, strict=True)}
        self._netbox.change("dcim.devices", device_id, ids, idempotency_key)
        ipv4, ipv6 = (ip_interface(one["address"]).ip for one in addresses)
        return Loopback(interface_id, addresses[0]["id"], IPv4Address(ipv4), addresses[1]["id"], IPv6Address(ipv6))

    def restore_loopback(
        self, device_id: int, *, ipv4: IPv4Address, ipv6: IPv6Address, idempotency_key: str
    ) -> Loopback:
        """Make exactly these the device's loopback and primary addresses; may run again.

        An address that another interface has now is an ExternalSystemError.
        """
        interface_id = self._loopback_interface(device_id, idempotency_key)
        ids = [self._restored_address(address, interface_id, idempotency_key) for address in (ipv4, ipv6)]
        self._netbox.change("dcim.devices", device_id, {"primary_ip4": ids[0], "primary_ip6": ids[1]}, idempotency_key)
        return Loopback(interface_id, ids[0], ipv4, ids[1], ipv6)

    def release_loopback(self, device_id: int) -> None:
        """Release the device's loopback addresses; may run again."""
        for interface in self._netbox.find("dcim.interfaces", device_id=device_id, name=LOOPBACK_NAME):
            for address in self._netbox.find("ipam.ip_addresses", interface_id=interface["id"]):
                self._netbox.delete("ipam.ip_addresses", address["id"])
            self._netbox.delete("dcim.interfaces", interface["id"])

    # Interfaces

    def interfaces(self, device_id: int) -> list[Interface]:
        """All physical ports of the device, in the order of the device."""
        found = self._netbox.find("dcim.interfaces", device_id=device_id, kind="physical")
        return [interface_record(one) for one in found]

    def free_interfaces(self, device_id: int, speed: int | None = None) -> list[Interface]:
        """Free ports: no cable, no VLAN, no description, not reserved. `speed` in Mbit/s."""
        filters: Json = {"device_id": device_id, "kind": "physical", "cabled": False}
        if speed is not None:
            filters["type"] = [name for name, mbits in SPEEDS.items() if mbits == speed]
            if not filters["type"]:
                return []
        found = self._netbox.find("dcim.interfaces", **filters)
        return [one for one in map(interface_record, found) if not one.reserved]

    def interface(self, interface_id: int) -> Interface:
        """Read an interface by its id; ExternalSystemError when there is none."""
        return interface_record(self._netbox.get("dcim.interfaces", interface_id))

    def find_interface(self, interface_id: int) -> Interface | None:
        """The interface of that id, or None."""
        found = self._netbox.get_or_none("dcim.interfaces", interface_id)
        return interface_record(found) if found else None

    def reserve_interface(self, interface_id: int, *, description: str, idempotency_key: str) -> Interface:
        """Reserve a free port. When another holds it, ExternalSystemError has the holder's description.

        Of two calls at the same time one gets it, if NetBox honours `If-Match` (4.6 and later, and the lab).
        """
        now = self._netbox.get("dcim.interfaces", interface_id)
        if carries(now, idempotency_key):
            return interface_record(now)
        if held := now["description"] or ("a cable" if now["cable"] else ""):
            raise ExternalSystemError(
                f"Interface {now['name']} of {now['device']['name']} is not free, it has {unmarked(held)!r}; "
                "choose another."
            )
        changes = {"description": marked(description, idempotency_key)}
        return interface_record(self._netbox.change_unless_changed("dcim.interfaces", now, changes, idempotency_key))

    def update_interface(
        self, interface_id: int, *, description: str | None = None, enabled: bool | None = None
    ) -> Interface:
        """Change an interface; None leaves a value, and the reservation stays."""
        changes: Json = {} if enabled is None else {"enabled": enabled}
        if description is not None:
            changes["description"] = remarked(description, self._netbox.get("dcim.interfaces", interface_id))
        return interface_record(self._netbox.change("dcim.interfaces", interface_id, changes))

    def release_interface(self, interface_id: int) -> None:
        """Release the port: no description, no VLANs, disabled, no cable. May run again."""
        now = self._netbox.get_or_none("dcim.interfaces", interface_id)
        if now is None:
            return
        if now["cable"]:
            self.delete_cable(now["cable"]["id"])
        free = {"description": "", "enabled": False, "mode": "", "untagged_vlan": None, "tagged_vlans": []}
        self._netbox.change("dcim.interfaces", interface_id, free)
        for vid, vlan in vlans_by_number(now).items():
            self._delete_vlan(vid, vlan, interface_id)

    # Core links

    def reserve_link_prefixes(self, *, description: str, idempotency_key: str) -> LinkPrefixes:
        """Reserve the next free /31 and /127 of the containers for core links."""
        ipv4 = self._link_prefix(4, 31, description, idempotency_key)
        ipv6 = self._link_prefix(6, 127, description, idempotency_key)
        return LinkPrefixes(ipv4["id"], IPv4Network(ipv4["prefix"]), ipv6["id"], IPv6Network(ipv6["prefix"]))

    def find_link_prefixes(self, ipv4_id: int, ipv6_id: int) -> LinkPrefixes | None:
        """Read both prefixes; None when one is gone."""
        ipv4, ipv6 = (self._netbox.get_or_none("ipam.prefixes", prefix_id) for prefix_id in (ipv4_id, ipv6_id))
        if ipv4 is None or ipv6 is None:
            return None
        return LinkPrefixes(ipv4_id, IPv4Network(ipv4["prefix"]), ipv6_id, IPv6Network(ipv6["prefix"]))

    def restore_link_prefixes(
        self, *, ipv4: IPv4Network, ipv6: IPv6Network, description: str, idempotency_key: str
    ) -> LinkPrefixes:
        """Restore both prefixes if they are gone; may run again."""
        ids = []
        for prefix in (ipv4, ipv6):
            values = {"prefix": str(prefix), "description": marked(description, idempotency_key)}
            found = self._netbox.find("ipam.prefixes", prefix=str(prefix))
            one = found[0] if found else self._netbox.create("ipam.prefixes", values, idempotency_key)
            ids.append(int(one["id"]))
        return LinkPrefixes(ids[0], ipv4, ids[1], ipv6)

    def release_link_prefixes(self, ipv4_id: int, ipv6_id: int) -> None:
        """Release both prefixes; may run again."""
        for prefix_id in (ipv4_id, ipv6_id):
            self._netbox.delete("ipam.prefixes", prefix_id)

    def create_cable(
        self, a_interface_id: int, b_interface_id: int, *, idempotency_key: str, description: str = ""
    ) -> Cable:
        """Connect two interfaces by a cable; returns the cable that connects exactly these already."""
        if found := self.find_cable(a_interface_id, b_interface_id):
            return found
        values = {
            "a_terminations": [{"object_type": "dcim.interface", "object_id": a_interface_id}],
            "b_terminations": [{"object_type": "dcim.interface", "object_id": b_interface_id}],
            "status": "connected",
            "description": marked(description, idempotency_key),
        }
        return cable_record(self._netbox.create("dcim.cables", values, idempotency_key))

    def find_cable(self, a_interface_id: int, b_interface_id: int) -> Cable | None:
        """The cable between the two, in either direction, or None."""
        cable = (self._netbox.get("dcim.interfaces", a_interface_id))["cable"]
        found = cable_record(self._netbox.get("dcim.cables", cable["id"])) if cable else None
        ends = {a_interface_id, b_interface_id}
        return found if found and {found.a_interface_id, found.b_interface_id} == ends else None

    def delete_cable(self, cable_id: int) -> None:
        """Delete the cable; may run again."""
        self._netbox.delete("dcim.cables", cable_id)

    # VLANs

    def vlans_in_use(self, interface_id: int) -> dict[int, str]:
        """The VLANs on this interface: number -> name of the service."""
        return {
            vid: vlan_service(one)
            for vid, one in vlans_by_number(self._netbox.get("dcim.interfaces", interface_id)).items()
        }

    def assign_vlans(self, interface_id: int, vlans: Iterable[int], *, service: str, idempotency_key: str) -> Interface:
        """Assign exactly these VLANs (0-4094; 0 is untagged) on the interface to the service.

        A VLAN that another service has there is an ExternalSystemError with both names.
        """
        wanted = set(vlans)
        now = self._netbox.get("dcim.interfaces", interface_id)
        present = vlans_by_number(now)
        refuse_overlap(now, wanted, service)
        kept = {vid: one for vid, one in present.items() if vid in wanted or vlan_service(one) != service}
        kept |= {vid: self._vlan(vid, service, interface_id, idempotency_key) for vid in sorted(wanted - kept.keys())}
        if kept.keys() == present.keys():
            return interface_record(now)
        after = self._netbox.change_unless_changed("dcim.interfaces", now, vlan_values(kept), idempotency_key)
        for vid in present.keys() - kept.keys():
            self._delete_vlan(vid, present[vid], interface_id)
        return interface_record(after)

    def release_vlans(self, interface_id: int, *, service: str) -> None:
        """Release all VLANs of the service on the interface; may run again."""
        if self._netbox.get_or_none("dcim.interfaces", interface_id) is not None:
            self.assign_vlans(interface_id, (), service=service, idempotency_key="")

    # Layer 2 services

    def reserve_l2vpn(self, name: str, *, idempotency_key: str) -> L2vpn:
        """Reserve the lowest free VNI and the route target `<autonomous system>:<vni>` for the service.

        Two services never get one number: NetBox refuses a second route target of one name, and the next is tried.
        """
        if found := self._netbox.find("vpn.l2vpns", name=name):
            if not carries(found[0], idempotency_key):
                raise ExternalSystemError(f"NetBox already has an L2VPN named {name!r}; choose another name.")
            return l2vpn_record(found[0])
        target, vni = self._route_target(idempotency_key)
        values = {
            "name": name,
            "slug": slug(name),
            "type": "vxlan-evpn",
            "identifier": vni,
            "import_targets": [target["id"]],
            "export_targets": [target["id"]],
            "description": marked("", idempotency_key),
        }
        return l2vpn_record(self._netbox.create("vpn.l2vpns", values, idempotency_key))

    def find_l2vpn(self, name: str) -> L2vpn | None:
        """The service of that name, or None."""
        found = self._netbox.find("vpn.l2vpns", name=name)
        return l2vpn_record(found[0]) if found else None

    def release_l2vpn(self, l2vpn_id: int) -> None:
        """Release the service's VNI and route target; may run again."""
        now = self._netbox.get_or_none("vpn.l2vpns", l2vpn_id)
        for target in now["import_targets"] if now else ():
            self._netbox.delete("ipam.route_targets", target["id"])
        self._netbox.delete("vpn.l2vpns", l2vpn_id)

    # How

    def access(self) -> tuple[str, str]:
        """The address of NetBox, and its token."""
        known = settings()
        url = configured_url("NetBox", "NETBOX", self.url or known.netbox_url)
        return url, self.token or known.netbox_token.get_secret_value()

    @property
    def _netbox(self) -> NetBoxConnection:
        return NetBoxConnection(*self.access(), self.timeout)

    def _choose(self, endpoint: str, what: str, wanted: str) -> Json:
        return choice(self._netbox.find(endpoint), what, wanted)

    def _take(self, what: str, role: str, family: int, values: Json, key: str) -> Json:
        taken = self._netbox.allocate(what, values, key, role=role, family=family, status="container")
        if taken is None:
            raise ExternalSystemError(
                f"NetBox has no IPv{family} prefix with role {role!r} and status container; add one."
            )
        return taken

    def _marked_one(self, endpoint: str, key: str, **filters: Any) -> Json | None:
        found = self._netbox.find(endpoint, description__iew=marker(key), **filters)
        return found[0] if found else None

    def _loopback_interface(self, device_id: int, key: str) -> int:
        found = self._netbox.find("dcim.interfaces", device_id=device_id, name=LOOPBACK_NAME)
        values = {"device": device_id, "name": LOOPBACK_NAME, "type": "virtual"}
        interface = found[0] if found else self._netbox.create("dcim.interfaces", values, key)
        return int(interface["id"])

    def _loopback_address(self, family: int, interface_id: int, key: str) -> Json:
        if found := self._marked_one("ipam.ip_addresses", key, family=family):
            return found
        values = {
            "assigned_object_type": "dcim.interface",
            "assigned_object_id": interface_id,
            "role": "loopback",
            "description": marked("", key),
        }
        taken = self._take("available_ips", self.loopback_role, family, values, key)
        # NetBox gives the address its container's mask; a loopback is a host.
        host = ip_network(ip_interface(taken["address"]).ip)
        return self._netbox.change("ipam.ip_addresses", taken["id"], {"address": str(host)}, key)

    def _restored_address(self, address: IPv4Address | IPv6Address, interface_id: int, key: str) -> int:
        on = {"assigned_object_type": "dcim.interface", "assigned_object_id": interface_id}
        host = str(ip_network(address))
        if not (found := self._netbox.find("ipam.ip_addresses", address=host)):
            values = {**on, "address": host, "role": "loopback", "description": marked("", key)}
            return int(self._netbox.create("ipam.ip_addresses", values, key)["id"])
        if found[0]["assigned_object_id"] not in (None, interface_id):
            raise ExternalSystemError(f"NetBox has {address} on another interface; remove it there first.")
        return int(self._netbox.change("ipam.ip_addresses", found[0]["id"], on, key)["id"])

    def _link_prefix(self, family: int, length: int, description: str, key: str) -> Json:
        if found := self._marked_one("ipam.prefixes", key, family=family):
            return found
        values = {"prefix_length": length, "description": marked(description, key)}
        return self._take("available_prefixes", self.core_link_role, family, values, key)

    def _vlan(self, vid: int, service: str, interface_id: int, key: str) -> Json:
        name = vlan_name(vid, service, interface_id)
        found = self._netbox.find("ipam.vlans", name=name)
        values = {"vid": vid or NATIVE_VLAN, "name": name, "description": service}
        return found[0] if found else self._netbox.create("ipam.vlans", values, key)

    def _delete_vlan(self, vid: int, vlan: Json, interface_id: int) -> None:
        """Delete only a VLAN made for this interface: one that a person created may be shared."""
        if made_for(interface_id, vid, vlan):
            self._netbox.delete("ipam.vlans", vlan["id"])

    def _route_target(self, key: str) -> tuple[Json, int]:
        prefix = f"{self.autonomous_system}:"
        if found := self._marked_one("ipam.route_targets", key):
            return found, int(found["name"].removeprefix(prefix))
        taken = {one["name"] for one in self._netbox.find("ipam.route_targets", name__isw=prefix)}
        for vni in range(self.first_vni, 2**24):
            if f"{prefix}{vni}" in taken:
                continue
            target = {"name": f"{prefix}{vni}", "description": marked("", key)}
            if made := self._netbox.create_unless_there("ipam.route_targets", target, key, field="name"):
                return made, vni
        raise ExternalSystemError(f"No VNI from {self.first_vni} on is free in NetBox.")
