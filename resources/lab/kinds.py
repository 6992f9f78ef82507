"""The kinds of NetBox's objects that the lab knows: their fields, and how these depend on each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Value:
    """A field. `refers` is the kind of another object, `many` of several; `when_gone`: the effect of its deletion.

    Only the lab sets a read-only field. `longest` is in characters; 0 is no limit.
    """

    type: type = str
    default: Any = REQUIRED
    refers: str = ""
    many: bool = False
    choices: tuple[str, ...] = ()
    when_gone: Literal["protect", "cascade", "clear"] = "protect"
    read_only: bool = False
    longest: int = 0
    pattern: str = ""
    lowest: int | None = None
    highest: int | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object. `unique`: sets of fields, `any_case`: those of them in which case makes no difference;
    `brief`: the fields of a reference to it; `label`: for people.
    """

    path: str
    fields: Mapping[str, Value]
    unique: tuple[tuple[str, ...], ...] = ()
    brief: tuple[str, ...] = ("name", "description")
    label: str = "name"
    any_case: frozenset[str] = frozenset()

    @property
    def word(self) -> str:
        """Its name in messages, as `device type`."""
        return (
            self.path.partition("/")[2].replace("-", " ").removesuffix("es" if self.path.endswith("prefixes") else "s")
        )


NAME = Value(longest=100)
SLUG = Value(longest=100, pattern="[-a-zA-Z0-9_]+")
TEXT = Value(default="", longest=200)
LONG_TEXT = Value(default="")
FLAG = Value(type=bool, default=False)
GENERIC = {"assigned_object_type": Value(default=None), "assigned_object_id": Value(type=int, default=None)}
STATUS = ("active", "planned", "reserved", "deprecated", "container", "staged", "offline", "decommissioning", "retired")

INTERFACE_TYPES = (
    "virtual",
    "bridge",
    "lag",
    "100base-tx",
    "1000base-t",
    "1000base-x-sfp",
    "10gbase-t",
    "10gbase-x-sfpp",
    "25gbase-x-sfp28",
    "40gbase-x-qsfpp",
    "100gbase-x-qsfp28",
    "400gbase-x-qsfpdd",
    "400gbase-x-osfp",
    "other",
)
VIRTUAL_TYPES = ("virtual", "bridge", "lag")

_SLUG = ("name", "slug", "description")


def _choice(*choices: str, default: Any = REQUIRED) -> Value:
    return Value(choices=choices, default=default)


def _optional(kind: str) -> Value:
    return Value(refers=kind, default=None, when_gone="clear")


def _several(kind: str) -> Value:
    return Value(refers=kind, many=True, default=(), when_gone="clear")


def _named(path: str, **more: Value) -> Kind:
    fields = {"name": NAME, "slug": SLUG, **more, "description": TEXT}
    return Kind(path, fields, unique=(("name",), ("slug",)), brief=_SLUG)


_KINDS = (
    _named("dcim/sites", status=_choice(*STATUS, default="active")),
    _named("dcim/manufacturers"),
    _named("dcim/device-roles", color=Value(default="9e9e9e")),
    _named("ipam/roles"),
    Kind(
        "dcim/device-types",
        {
            "manufacturer": Value(refers="dcim/manufacturers"),
            "model": NAME,
            "slug": SLUG,
            "u_height": Value(type=int, default=1),
            "description": TEXT,
        },
        unique=(("manufacturer", "model"), ("manufacturer", "slug")),
        brief=("manufacturer", "model", "slug", "description"),
        label="model",
    ),
    Kind(
        "dcim/interface-templates",
        {
            "device_type": Value(refers="dcim/device-types", when_gone="cascade"),
            "name": NAME,
            "type": _choice(*INTERFACE_TYPES),
        },
        unique=(("device_type", "name"),),
        brief=("name",),
    ),
    Kind(
        "dcim/devices",
        {
            "name": Value(longest=64),
            "device_type": Value(refers="dcim/device-types"),
            "role": Value(refers="dcim/device-roles"),
            "site": Value(refers="dcim/sites"),
            "status": _choice(*STATUS, default="active"),
            "serial": Value(default="", longest=50),
            "primary_ip4": _optional("ipam/ip-addresses"),
            "primary_ip6": _optional("ipam/ip-addresses"),
            "description": TEXT,
            "comments": LONG_TEXT,
        },
        unique=(("site", "name"),),
        any_case=frozenset({"name"}),
    ),
    Kind(
        "dcim/interfaces",
        {
            "device": Value(refers="dcim/devices", when_gone="cascade"),
            "name": Value(longest=64),
            "label": Value(default="", longest=64),
            "type": _choice(*INTERFACE_TYPES),
            "enabled": Value(type=bool, default=True),
            "mtu": Value(type=int, default=None, lowest=1, highest=65536),
            "speed": Value(type=int, default=None, lowest=0),
            "mark_connected": FLAG,
            "mgmt_only": FLAG,
            "mode": Value(default=None, choices=("access", "tagged", "tagged-all", "q-in-q")),
            "untagged_vlan": _optional("ipam/vlans"),
            "tagged_vlans": _several("ipam/vlans"),
            "cable": Value(refers="dcim/cables", default=None, when_gone="clear", read_only=True),
            "description": TEXT,
        },
        unique=(("device", "name"),),
        brief=("device", "name", "description", "cable"),
    ),
    Kind(
        "dcim/cables",
        {
            "type": Value(default=""),
            "a_terminations": Value(type=list),
            "b_terminations": Value(type=list),
            "status": _choice("connected", "planned", "decommissioning", default="connected"),
            "label": Value(default="", longest=100),
            "description": TEXT,
            "comments": LONG_TEXT,
        },
        brief=("label", "description"),
        label="label",
    ),
    Kind(
        "ipam/vrfs",
        {"name": NAME, "rd": Value(default=None, longest=21), "description": TEXT},
        unique=(("rd",),),
    ),
    Kind(
        "ipam/prefixes",
        {
            "prefix": Value(),
            "vrf": Value(refers="ipam/vrfs", default=None),
            "role": _optional("ipam/roles"),
            "site": _optional("dcim/sites"),
            "status": _choice("container", "active", "reserved", "deprecated", default="active"),
            "is_pool": FLAG,
            "description": TEXT,
        },
        brief=("prefix", "description"),
        label="prefix",
    ),
    Kind(
        "ipam/ip-addresses",
        {
            "address": Value(),
            "vrf": Value(refers="ipam/vrfs", default=None),
            "status": _choice("active", "reserved", "deprecated", "dhcp", "slaac", default="active"),
            "role": Value(
                default=None, choices=("loopback", "secondary", "anycast", "vip", "vrrp", "hsrp", "glbp", "carp")
            ),
            **GENERIC,
            "dns_name": Value(default="", longest=255),
            "description": TEXT,
        },
        brief=("address", "description"),
        label="address",
    ),
    Kind(
        "ipam/vlans",
        {
            "vid": Value(type=int, lowest=1, highest=4094),
            "name": Value(longest=64),
            "site": _optional("dcim/sites"),
            "status": _choice("active", "reserved", "deprecated", default="active"),
            "role": _optional("ipam/roles"),
            "description": TEXT,
        },
        brief=("vid", "name", "description"),
    ),
    Kind("ipam/route-targets", {"name": Value(longest=21), "description": TEXT}, unique=(("name",),)),
    Kind(
        "vpn/l2vpns",
        {
            "name": NAME,
            "slug": SLUG,
            "type": _choice("vxlan", "vxlan-evpn", "mpls-evpn", "pbb-evpn", "vpws", "vpls", "evpn-vpws"),
            "status": _choice("active", "planned", "decommissioning", default="active"),
            "identifier": Value(type=int, default=None),
            "import_targets": _several("ipam/route-targets"),
            "export_targets": _several("ipam/route-targets"),
            "description": TEXT,
        },
        unique=(("name",), ("slug",)),
        brief=("identifier", "name", "slug", "type", "description"),
    ),
    Kind(
        "vpn/l2vpn-terminations",
        {
            "l2vpn": Value(refers="vpn/l2vpns", when_gone="cascade"),
            "assigned_object_type": Value(),
            "assigned_object_id": Value(type=int),
        },
        unique=(("assigned_object_type", "assigned_object_id"),),
        brief=("l2vpn",),
        label="assigned_object_id",
    ),
)

KINDS: dict[str, Kind] = {kind.path: kind for kind in _KINDS}
"""Path under /api/ -> kind."""
