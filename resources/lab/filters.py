"""NetBox's query parameters as conditions on the lab's objects."""

from collections.abc import Callable
from ipaddress import ip_interface, ip_network
from typing import Any, TypeAlias

import sqlalchemy as sa

from resources.lab.inventory import Inventory, Stored
from resources.lab.kinds import KINDS, VIRTUAL_TYPES, Kind
from resources.lab.refusals import bad_field
from resources.lab.tables import objects

Condition: TypeAlias = sa.ColumnElement[bool]
Query: TypeAlias = dict[str, list[str]]

NOT_FILTERS = frozenset({"limit", "offset", "ordering", "brief", "format", "fields", "exclude", "start"})
TRUE = ("true", "1", "yes")


def filtered(inventory: Inventory, kind: str, query: Query) -> list[Stored]:
    """The objects of the kind that the query selects, in its order.

    Values of one parameter are alternatives; all parameters apply. NetBox ignores an unknown parameter and so answers
    with everything; here it is a 400.
    """
    conditions: list[Condition] = []
    later: list[Callable[[Stored], bool]] = []
    for name, values in query.items():
        if name in NOT_FILTERS:
            continue
        if (check := _check(kind, name, values)) is not None:
            later.append(check)
        else:
            conditions.append(_condition(inventory, KINDS[kind], name, values))
    found = [one for one in inventory.all(kind, *conditions) if all(check(one) for check in later)]
    return _ordered(found, query.get("ordering", []))


def _condition(inventory: Inventory, kind: Kind, name: str, values: list[str]) -> Condition:
    field, _, lookup = name.partition("__")
    if field == "id" and lookup in ("", "n"):
        chosen = objects.c.id.in_([_number(name, value) for value in values])
        return sa.not_(chosen) if lookup else chosen
    if field == "q":
        return _free_text(kind, values)
    if (reference := _reference(inventory, kind, field, values)) is not None:
        return sa.not_(reference) if lookup == "n" else reference
    if field not in kind.fields:
        raise bad_field(name, "Unknown filter field")
    return _compared(kind, name, field, lookup, values)


def _compared(kind: Kind, name: str, field: str, lookup: str, values: list[str]) -> Condition:
    text = objects.c.data[field].astext
    if lookup in ("", "n"):
        alternatives = [objects.c.data.contains({field: _typed(kind, field, value)}) for value in values]
        return sa.not_(sa.or_(*alternatives)) if lookup else sa.or_(*alternatives)
    lookups: dict[str, Callable[[str], Condition]] = {
        "ic": lambda value: text.icontains(value, autoescape=True),
        "isw": lambda value: text.istartswith(value, autoescape=True),
        "iew": lambda value: text.iendswith(value, autoescape=True),
        "ie": lambda value: sa.func.lower(text) == value.lower(),
        "empty": lambda value: (sa.func.coalesce(text, "") == "") == (value.lower() in TRUE),
        "gt": lambda value: text.cast(sa.Numeric) > _number(name, value),
        "gte": lambda value: text.cast(sa.Numeric) >= _number(name, value),
        "lt": lambda value: text.cast(sa.Numeric) < _number(name, value),
        "lte": lambda value: text.cast(sa.Numeric) <= _number(name, value),
    }
    if lookup.startswith("n") and lookup[1:] in lookups:
        return sa.not_(sa.or_(*(lookups[lookup[1:]](value) for value in values)))
    if lookup not in lookups:
        raise bad_field(name, "Unknown filter field")
    return sa.or_(*(lookups[lookup](value) for value in values))


def _reference(inventory: Inventory, kind: Kind, field: str, values: list[str]) -> Condition | None:
    """`site_id=4`, `site=ams` (slug, else name, of what is referred to), `device=ams1`, `vlan_id`; else None."""
    by_id = field.endswith("_id") and field.removesuffix("_id") in kind.fields
    name = field.removesuffix("_id") if by_id else field
    value = kind.fields.get(name)
    if value is None or not value.refers:
        return None
    if not by_id and not value.many and name in ("primary_ip4", "primary_ip6", "untagged_vlan", "cable"):
        by_id = True
    wanted: list[int | None] = []
    for one in values:
        if one == "null":
            wanted.append(None)
        elif by_id or value.many:
            wanted.append(_number(field, one))
        else:
            wanted += _named(inventory, value.refers, one)
    if not wanted:
        return sa.false()
    return sa.or_(*(objects.c.data.contains({name: [one] if value.many else one}) for one in wanted))


def _named(inventory: Inventory, kind: str, text: str) -> list[int]:
    fields = KINDS[kind].fields
    name = "slug" if "slug" in fields else KINDS[kind].label
    return [one.id for one in inventory.with_values(kind, **{name: text})]


def _free_text(kind: Kind, values: list[str]) -> Condition:
    columns = [objects.c.data[field].astext for field in {kind.label, "description"} if field in kind.fields]
    return sa.or_(*(column.icontains(value, autoescape=True) for column in columns for value in values))


def _check(kind: str, name: str, values: list[str]) -> Callable[[Stored], bool] | None:
    """Filters that are not about the value of one field, or None."""
    first = values[0]
    match kind, name:
        case "ipam/prefixes" | "ipam/ip-addresses", "family":
            field = "prefix" if kind == "ipam/prefixes" else "address"
            return lambda one: str(ip_interface(one.data[field]).version) in values
        case "ipam/prefixes", "within" | "within_include":
            return lambda one: _inside(first, one.data["prefix"], itself=name == "within_include")
        case "ipam/prefixes", "contains":
            return lambda one: _inside(one.data["prefix"], first, itself=True)
        case "ipam/ip-addresses", "parent":
            return lambda one: any(_inside(value, one.data["address"], itself=True) for value in values)
        case "ipam/ip-addresses", "address":
            return lambda one: one.data["address"] in values or one.data["address"].partition("/")[0] in values
        case "ipam/ip-addresses", "interface_id":
            return lambda one: str(one.data["assigned_object_id"]) in values
        case "dcim/interfaces", "cabled":
            return lambda one: (one.data["cable"] is not None) == (first.lower() in TRUE)
        case "dcim/interfaces", "kind":
            return lambda one: ("virtual" if one.data["type"] in VIRTUAL_TYPES else "physical") in values
        case "dcim/interfaces", "vlan_id":
            return lambda one: any(
                str(vlan) in values for vlan in (*one.data["tagged_vlans"], one.data["untagged_vlan"])
            )
        case "dcim/cables", "termination_a_id" | "termination_b_id":
            side = f"{name[len('termination_')]}_terminations"
            return lambda one: any(str(end["object_id"]) in values for end in one.data[side])
    return None


def _inside(outer: str, inner: str, *, itself: bool) -> bool:
    try:
        around, within = ip_network(outer, strict=False), ip_interface(inner)
    except ValueError:
        raise bad_field("prefix", f"Invalid IP network: {outer} or {inner}") from None
    if around.version != within.version:
        return False
    if "/" not in inner:
        return within.ip in around
    return within.ip in around and (around.prefixlen < within.network.prefixlen + itself)


def _ordered(found: list[Stored], ordering: list[str]) -> list[Stored]:
    for name in reversed([part for value in ordering for part in value.split(",") if part]):
        field = name.lstrip("-")
        found.sort(key=lambda one, field=field: _sortable(one, field), reverse=name.startswith("-"))  # type: ignore[misc]
    return found


def _sortable(one: Stored, field: str) -> tuple[bool, Any]:
    value = one.id if field == "id" else one.data.get(field)
    return (value is None, value if isinstance(value, int) else str(value))


def _typed(kind: Kind, field: str, value: str) -> Any:
    spec = kind.fields[field]
    if value == "null":
        return None
    if spec.type is bool:
        return value.lower() in TRUE
    return _number(field, value) if spec.type is int else value


def _number(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise bad_field(name, "Enter a number.") from None
