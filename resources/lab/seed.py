"""The lab's first contents: enough to create nodes and services at once."""

from typing import Any

Row = dict[str, Any]

SITES = {
    "Amsterdam": "ams",
    "Utrecht": "utr",
    "Eindhoven": "ehv",
    "Groningen": "grq",
    "London": "lon",
    "Paris": "par",
    "Frankfurt": "fra",
    "Copenhagen": "cph",
}
ROLES = {"Provider edge": "pe", "Provider core": "p"}
MODELS = {
    "Nokia": ("7750 SR-7", "7750 SR-1", "7250 IXR-X"),
    "Cisco": ("8812", "8201", "ASR 9903"),
    "Juniper": ("PTX10004", "MX304"),
    "Arista": ("7280R3",),
}
PORT_TYPES = ("1000base-x-sfp", "10gbase-x-sfpp", "100gbase-x-qsfp28", "400gbase-x-qsfpdd")
PORTS_PER_TYPE = 12
PREFIXES = {
    "loopback": ("10.10.0.0/16", "fd00:10::/64"),
    "core-link": ("10.20.0.0/16", "fd00:20::/64"),
}


def seed_objects() -> list[Row]:
    """Rows of `lab.objects`, each after those that it refers to."""
    rows: list[Row] = []

    def add(kind: str, **data: Any) -> int:
        rows.append({"id": len(rows) + 1, "kind": kind, "data": data})
        return len(rows)

    for name, slug in SITES.items():
        add("dcim/sites", name=name, slug=slug, status="active", description="")
    for name, slug in ROLES.items():
        add("dcim/device-roles", name=name, slug=slug, color="2196f3", description="")
    for vendor, models in MODELS.items():
        manufacturer = add("dcim/manufacturers", name=vendor, slug=vendor.casefold(), description="")
        for model in models:
            slug = f"{vendor} {model}".casefold().replace(" ", "-")
            made = add(
                "dcim/device-types", manufacturer=manufacturer, model=model, slug=slug, u_height=1, description=""
            )
            for position, port_type in enumerate(_ports(), start=1):
                add("dcim/interface-templates", device_type=made, name=port_name(vendor, position), type=port_type)
    for role, prefixes in PREFIXES.items():
        purpose = add("ipam/roles", name=role.replace("-", " ").capitalize(), slug=role, description="")
        for prefix in prefixes:
            add(
                "ipam/prefixes",
                prefix=prefix,
                vrf=None,
                role=purpose,
                site=None,
                status="container",
                is_pool=False,
                description=f"Pool for each {role.replace('-', ' ')}",
            )
    return rows


def port_name(vendor: str, position: int) -> str:
    """How the vendor calls its port of this position, counted from 1."""
    number = position - 1
    speed = number // PORTS_PER_TYPE
    place = number % PORTS_PER_TYPE
    match vendor:
        case "Cisco":
            return f"{('GigabitEthernet', 'TenGigE', 'HundredGigE', 'FourHundredGigE')[speed]}0/0/0/{place}"
        case "Juniper":
            return f"{('ge', 'xe', 'et', 'et')[speed]}-0/{speed}/{place}"
        case "Arista":
            return f"Ethernet{position}"
        case _:
            return f"1/{speed + 1}/{place + 1}"


def _ports() -> list[str]:
    return [port_type for port_type in PORT_TYPES for _ in range(PORTS_PER_TYPE)]
