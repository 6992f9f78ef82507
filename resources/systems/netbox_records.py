"""NetBox's objects as typed records, with the markers of the orchestrator."""

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface
from typing import Any, Literal, TypeAlias

from resources.errors import ExternalSystemError
from resources.systems.netbox_texts import (
    MARKER,
    NETBOX_DESCRIPTION,
    NETBOX_DEVICE_NAME,
    NETBOX_INTERFACE_NAME,
    NETBOX_NAME,
)

Json: TypeAlias = dict[str, Any]
DeviceStatus: TypeAlias = Literal["planned", "staged", "active", "offline", "decommissioning"]


@dataclass(frozen=True, slots=True)
class Site:
    """A site with devices."""

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
    """The role of a device."""

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


SPEEDS = {
    "100base-tx": 100,
    "1000base-t": 1_000,
    "1000base-x-sfp": 1_000,
    "10gbase-t": 10_000,
    "10gbase-x-sfpp": 10_000,
    "25gbase-x-sfp28": 25_000,
    "40gbase-x-qsfpp": 40_000,
    "100gbase-x-qsfp28": 100_000,
    "400gbase-x-qsfpdd": 400_000,
    "400gbase-x-osfp": 400_000,
}
"""Type of a port -> Mbit/s; NetBox's port templates have a type and no speed."""

NATIVE_VLAN = 1
"""NetBox has no VLAN 0: untagged traffic is its interface's untagged VLAN, of this number."""

_MARKER = re.compile(rf"\s*{MARKER}\Z")


# Markers


def marker(key: str) -> str:
    return f"[{hashlib.sha256(key.encode()).hexdigest()[:16]}]"


def marked(text: str, key: str) -> str:
    return f"{NETBOX_DESCRIPTION.normal(text)} {marker(key)}".strip()


def unmarked(text: str) -> str:
    """The description of an object, in its normal form."""
    return NETBOX_DESCRIPTION.normal(text)


def remarked(text: str, now: Json) -> str:
    """The text with the object's present marker, if it has one."""
    found = _MARKER.search(now["description"])
    return f"{NETBOX_DESCRIPTION.normal(text)} {found.group().strip() if found else ''}".strip()


def carries(found: Json, key: str) -> bool:
    return str(found["description"]).endswith(marker(key))


# NetBox's JSON as records


def device_type_record(one: Json) -> DeviceType:
    return DeviceType(one["id"], one["manufacturer"]["name"], one["model"], one["slug"])


def device_record(one: Json) -> Device:
    ipv4, ipv6 = (ip_interface(ip["address"]).ip if ip else None for ip in (one["primary_ip4"], one["primary_ip6"]))
    return Device(
        id=one["id"],
        name=NETBOX_DEVICE_NAME.normal(one["name"]),
        vendor=one["device_type"]["manufacturer"]["name"],
        model=one["device_type"]["model"],
        site=one["site"]["name"],
        role=one["role"]["name"],
        status=one["status"]["value"],
        description=unmarked(one["description"]),
        ipv4_loopback=IPv4Address(ipv4) if ipv4 else None,
        ipv6_loopback=IPv6Address(ipv6) if ipv6 else None,
    )


def interface_record(one: Json) -> Interface:
    return Interface(
        id=one["id"],
        device=NETBOX_DEVICE_NAME.normal(one["device"]["name"]),
        name=NETBOX_INTERFACE_NAME.normal(one["name"]),
        speed=one["speed"] // 1000 if one["speed"] else SPEEDS.get(one["type"]["value"], 0),
        enabled=one["enabled"],
        description=unmarked(one["description"]),
        reserved=bool(one["description"] or one["cable"] or one["mark_connected"] or vlans_by_number(one)),
        cable_id=one["cable"]["id"] if one["cable"] else None,
        vlans=tuple(sorted(vlans_by_number(one))),
    )


def cable_record(one: Json) -> Cable:
    a, b = (one[f"{side}_terminations"][0]["object_id"] for side in "ab")
    return Cable(one["id"], a, b, one["status"]["value"], unmarked(one["description"]))


def l2vpn_record(one: Json) -> L2vpn:
    targets = one["import_targets"]
    return L2vpn(one["id"], one["name"], one["identifier"], targets[0]["name"] if targets else "")


# What a person has named


def choice(offered: list[Json], what: str, wanted: str) -> Json:
    """The object of this name or slug, in any case. Raises ExternalSystemError with the names that there are."""
    for one in offered:
        if NETBOX_NAME.same(wanted, one["name"]) or NETBOX_NAME.same(wanted, one["slug"]):
            return one
    names = ", ".join(sorted(one["name"] for one in offered)) or "none"
    raise ExternalSystemError(f"NetBox has no {what} {wanted!r}; it has: {names}.")


def choice_of_device_type(offered: list[DeviceType], vendor: str, model: str) -> int:
    """The id of a vendor's device type. Raises ExternalSystemError with those that there are."""
    for one in offered:
        is_model = NETBOX_NAME.same(model, one.model) or NETBOX_NAME.same(model, one.slug)
        if is_model and NETBOX_NAME.same(vendor, one.vendor):
            return one.id
    names = ", ".join(f"{one.vendor} {one.model}" for one in offered) or "none"
    raise ExternalSystemError(f"NetBox has no device type {vendor} {model}; it has: {names}.")


# VLANs: one VLAN object in NetBox for each (interface, service, number), so that each has one owner


def vlan_name(vid: int, service: str, interface_id: int) -> str:
    # NetBox allows 64 characters; a longer name keeps its beginning for people and a hash for uniqueness.
    tail = f":{interface_id}:{vid}"
    room = 64 - len(tail)
    digest = hashlib.sha256(service.encode()).hexdigest()[:8]
    return (service if len(service) <= room else f"{service[: room - 9]}-{digest}") + tail


def made_for(interface_id: int, vid: int, vlan: Json) -> bool:
    """Whether `vlan_name` made the name of this VLAN object for this interface."""
    return str(vlan["name"]).endswith(f":{interface_id}:{vid}")


def vlans_by_number(interface: Json) -> dict[int, Json]:
    tagged = {one["vid"]: one for one in interface["tagged_vlans"]}
    return tagged | ({0: interface["untagged_vlan"]} if interface["untagged_vlan"] else {})


def refuse_overlap(interface: Json, wanted: set[int], service: str) -> None:
    """Raise ExternalSystemError when another service has one of these VLANs on the interface."""
    others = {vid: vlan_service(one) for vid, one in vlans_by_number(interface).items()}
    for vid in sorted(wanted):
        if others.get(vid, service) != service:
            raise ExternalSystemError(
                f"VLAN {vid} on {interface['name']} of {interface['device']['name']} belongs to {others[vid]}; "
                f"{service} needs another."
            )


def vlan_service(vlan: Json) -> str:
    """The service of a VLAN object; brief objects have its description."""
    return str(vlan["description"])


def vlan_values(vlans: dict[int, Json]) -> Json:
    tagged = [one["id"] for vid, one in vlans.items() if vid]
    return {
        "mode": "tagged" if tagged else "access" if vlans else "",
        "tagged_vlans": tagged,
        "untagged_vlan": vlans[0]["id"] if 0 in vlans else None,
    }


def slug(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")
    return f"{words[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
