"""The lab's objects as the JSON that NetBox shows: references with their brief fields, choices with their labels."""

from collections.abc import Callable, Iterable
from ipaddress import ip_interface
from typing import Any, TypeAlias

from resources.lab.inventory import Inventory, Stored
from resources.lab.kinds import KINDS, Kind, Value

Json: TypeAlias = dict[str, Any]
Fields: TypeAlias = Callable[[Kind], Iterable[str]]
VERSION = "4.6"


class Answers:
    """Shows objects; reads what they refer to in one statement for each level."""

    def __init__(self, inventory: Inventory, base_url: str) -> None:
        self.inventory = inventory
        self.base_url = base_url
        self._known: dict[int, Stored] = {}

    def full(self, shown: list[Stored]) -> list[Json]:
        """Each object with all its fields."""
        self._learn(shown, lambda kind: kind.fields)
        return [self._full(one) for one in shown]

    def brief(self, shown: list[Stored]) -> list[Json]:
        """Each object as others refer to it."""
        self._learn(shown, lambda kind: kind.brief)
        return [self._brief(one) for one in shown]

    def _learn(self, shown: list[Stored], fields: Fields) -> None:
        self._known |= {one.id: one for one in shown}
        level = shown
        while (
            missing := {one for stored in level for one in _references(stored, fields(stored.kind))}
            - self._known.keys()
        ):
            found = self.inventory.by_ids(missing)
            self._known |= found
            level = list(found.values())
            fields = _brief_fields

    def _full(self, one: Stored) -> Json:
        answer = self._head(one)
        answer |= {name: self._value(value, one.data[name]) for name, value in one.kind.fields.items()}
        answer |= self._computed(one)
        answer |= {"tags": [], "custom_fields": {}}
        return answer | {"created": one.created.isoformat(), "last_updated": one.last_updated.isoformat()}

    def _brief(self, one: Stored) -> Json:
        fields = one.kind.fields
        return self._head(one) | {name: self._value(fields[name], one.data[name]) for name in one.kind.brief}

    def _head(self, one: Stored) -> Json:
        url = f"{self.base_url}/api/{one.kind.path}/{one.id}/"
        return {"id": one.id, "url": url, "display": str(one.data[one.kind.label] or one.id)}

    def _value(self, value: Value, stored: Any) -> Any:
        if value.many:
            return [self._brief(self._known[one]) for one in stored]
        if value.refers:
            return None if stored is None else self._brief(self._known[stored])
        if value.choices:
            return None if stored is None else {"value": stored, "label": str(stored).replace("-", " ").capitalize()}
        return stored

    def _computed(self, one: Stored) -> Json:
        match one.kind.path:
            case "dcim/devices":
                primary = one.data["primary_ip4"] or one.data["primary_ip6"]
                return {"primary_ip": None if primary is None else self._brief(self._known[primary])}
            case "dcim/interfaces":
                return {"_occupied": one.data["cable"] is not None or one.data["mark_connected"]}
            case "ipam/prefixes" | "ipam/ip-addresses":
                version = ip_interface(one.data[one.kind.label]).version
                return {"family": {"value": version, "label": f"IPv{version}"}}
        return {}


def _brief_fields(kind: Kind) -> Iterable[str]:
    return kind.brief


def _referred(shown: list[Stored], fields: Fields) -> set[int]:
    return {one for stored in shown for one in _references(stored, fields(stored.kind))}


def _references(one: Stored, names: Iterable[str]) -> Iterable[int]:
    for name in names:
        value, stored = KINDS[one.kind.path].fields[name], one.data[name]
        if value.many:
            yield from stored
        elif value.refers and stored is not None:
            yield stored
