"""The lab's inventory: creates, changes and deletes objects by NetBox's rules, in the caller's transaction."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from ipaddress import ip_interface, ip_network
from typing import Any, TypeAlias

import sqlalchemy as sa

from resources.lab.kinds import KINDS, REQUIRED, Kind, Value
from resources.lab.refusals import RefusedError, bad_field, bad_object, conflict, not_found
from resources.lab.tables import objects

Data: TypeAlias = dict[str, Any]
INTERFACE = "dcim.interface"


class Stored:
    """A stored object: references are ids, choices their values."""

    __slots__ = ("created", "data", "id", "kind", "last_updated")

    def __init__(self, row: Any) -> None:
        self.id: int = row.id
        self.kind: Kind = KINDS[row.kind]
        self.data: Data = row.data
        self.created: datetime = row.created
        self.last_updated: datetime = row.last_updated

    @property
    def etag(self) -> str:
        """An ETag, which changes with each change of the object, as in NetBox 4.6."""
        return f'"{self.last_updated.isoformat()}"'


class Inventory:
    """The objects, through one connection. A writer calls `lock` before it reads."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection

    def lock(self) -> None:
        """Let one writer at a time in until the transaction ends, so that two requests for a free address get two."""
        self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("lab inventory", 0))))

    # Reading

    def all(self, kind: str, *where: sa.ColumnElement[bool]) -> list[Stored]:
        """Objects of the kind that fit the conditions, oldest first."""
        query = sa.select(objects).where(objects.c.kind == kind, *where).order_by(objects.c.id)
        return [Stored(row) for row in self.connection.execute(query)]

    def with_values(self, kind: str, **values: Any) -> list[Stored]:
        """Objects of the kind that have these values."""
        return self.all(kind, objects.c.data.contains(values))

    def get(self, kind: str, object_id: int) -> Stored:
        """Read an object; 404 when there is none."""
        found = self.all(kind, objects.c.id == object_id)
        if not found:
            raise not_found()
        return found[0]

    def by_ids(self, ids: Iterable[int]) -> dict[int, Stored]:
        """Objects of any kind, in one statement."""
        query = sa.select(objects).where(objects.c.id.in_(set(ids)))
        return {row.id: Stored(row) for row in self.connection.execute(query)}

    # Writing

    def create(self, kind: str, given: Mapping[str, Any]) -> Stored:
        """Create an object and what belongs to it: a device has the ports of its type, a cable occupies its ends."""
        spec = KINDS[kind]
        data = self._cleaned(spec, given, partial=False)
        data |= {name: _default(value) for name, value in spec.fields.items() if name not in data}
        self._check(spec, data, None)
        made = self._insert(kind, data)
        if kind == "dcim/devices":
            self._insert_ports(made)
        if kind == "dcim/cables":
            self._plug(made)
        return made

    def update(self, kind: str, object_id: int, given: Mapping[str, Any], *, partial: bool) -> Stored:
        """Change the object by a PATCH (`partial`) or PUT."""
        spec, now = KINDS[kind], self.get(kind, object_id)
        changes = self._cleaned(spec, given, partial=partial)
        self._check(spec, now.data | changes, now)
        if kind == "dcim/cables" and changes.keys() & {"a_terminations", "b_terminations"}:
            raise bad_object("A cable's ends cannot be moved; delete it and make another.")
        return self._write(now, now.data | changes)

    def delete(self, kind: str, object_id: int) -> None:
        """Delete the object and all that depends on it; 409 when something protects it."""
        gone = self.get(kind, object_id)
        for other in KINDS.values():
            for name, value in other.fields.items():
                if value.refers == kind:
                    self._clear_references(other, name, value, gone)
        if kind == "dcim/interfaces":
            self._empty_interface(gone)
        self.connection.execute(sa.delete(objects).where(objects.c.id == gone.id))

    # Rules

    def _cleaned(self, kind: Kind, given: Mapping[str, Any], *, partial: bool) -> Data:
        faults: dict[str, list[str]] = {}
        cleaned: Data = {}
        for name, value in kind.fields.items():
            if name not in given or value.read_only:
                if value.default is REQUIRED and not partial and not value.read_only:
                    faults[name] = ["This field is required."]
                continue
            try:
                cleaned[name] = self._clean(name, value, given[name])
            except RefusedError as refusal:
                faults |= refusal.body
        if faults:
            raise RefusedError(400, faults)
        return cleaned

    def _clean(self, name: str, value: Value, given: Any) -> Any:
        if value.many:
            return [self._referred(name, value.refers, one) for one in given]
        if given is None or (given == "" and value.default is None):
            if value.default is None:
                return None
            raise bad_field(name, "This field may not be null.")
        if value.refers:
            return self._referred(name, value.refers, given)
        return _scalar(name, value, given)

    def _referred(self, name: str, kind: str, given: Any) -> int:
        if isinstance(given, dict):
            found = self.with_values(kind, **given) if "id" not in given else self.by_ids([given["id"]]).values()
            fault = f"Related object not found using the provided attributes: {given}"
        elif isinstance(given, int | str) and str(given).isdecimal():
            found = self.by_ids([int(given)]).values()
            fault = f"Related object not found using the provided numeric ID: {given}"
        else:
            raise bad_field(name, f"Related objects must be referenced by numeric ID or by dictionary, not {given!r}.")
        for one in found:
            if one.kind.path == kind:
                return one.id
        raise bad_field(name, fault)

    def _check(self, kind: Kind, data: Data, now: Stored | None) -> None:
        for fields in kind.unique:
            values = {name: data[name] for name in fields}
            if None not in values.values() and self._others(kind.path, now, kind.any_case, **values):
                raise _not_unique(kind, fields)
        if kind.path == "ipam/prefixes":
            data["prefix"] = _network_text(data["prefix"])
            if self._others(kind.path, now, prefix=data["prefix"], vrf=data["vrf"]):
                raise bad_field("prefix", f"Duplicate prefix found in global table: {data['prefix']}")
        if kind.path == "ipam/ip-addresses":
            data["address"] = _address_text(data["address"])
            self._check_address(data, now)
        if kind.path == "dcim/cables" and now is None:
            self._check_ends(data)

    def _others(self, kind: str, now: Stored | None, any_case: frozenset[str] = frozenset(), **values: Any) -> bool:
        exact = {name: value for name, value in values.items() if name not in any_case}
        cased = [
            sa.func.lower(objects.c.data[name].astext) == values[name].lower() for name in any_case & values.keys()
        ]
        found = self.all(kind, objects.c.data.contains(exact), *cased)
        return any(now is None or one.id != now.id for one in found)

    def _check_address(self, data: Data, now: Stored | None) -> None:
        host = data["address"].partition("/")[0]
        same = objects.c.data["address"].astext.startswith(f"{host}/", autoescape=True)
        for one in self.all("ipam/ip-addresses", same):
            if (now is None or one.id != now.id) and one.data["vrf"] == data["vrf"]:
                raise bad_field("address", f"Duplicate IP address found in global table: {one.data['address']}")
        if data["assigned_object_type"] == INTERFACE:
            self._referred("assigned_object_id", "dcim/interfaces", data["assigned_object_id"])

    def _check_ends(self, data: Data) -> None:
        ends = [*data["a_terminations"], *data["b_terminations"]]
        if not (data["a_terminations"] and data["b_terminations"]):
            raise bad_object("Must define A and B terminations when creating a new cable.")
        for end in ends:
            if not isinstance(end, dict) or end.get("object_type") != INTERFACE:
                raise bad_field("a_terminations", f"The lab's cables end on {INTERFACE} only, not on {end!r}.")
            interface = self.get(
                "dcim/interfaces", self._referred("a_terminations", "dcim/interfaces", end["object_id"])
            )
            if interface.data["cable"] is not None or interface.data["mark_connected"]:
                raise bad_object(f"Duplicate termination found for {INTERFACE} {interface.id}: it has a cable already.")
        if len({end["object_id"] for end in ends}) < len(ends):
            raise bad_object("A cable cannot end twice on one interface.")

    # Consequences of a change

    def _insert_ports(self, device: Stored) -> None:
        spec = KINDS["dcim/interfaces"]
        common = {name: _default(value) for name, value in spec.fields.items() if value.default is not REQUIRED}
        templates = self.with_values("dcim/interface-templates", device_type=device.data["device_type"])
        rows = [
            {
                "kind": spec.path,
                "data": common | {"device": device.id, "name": one.data["name"], "type": one.data["type"]},
            }
            for one in templates
        ]
        if rows:
            self.connection.execute(sa.insert(objects), rows)

    def _plug(self, cable: Stored) -> None:
        for end in (*cable.data["a_terminations"], *cable.data["b_terminations"]):
            interface = self.get("dcim/interfaces", end["object_id"])
            self._write(interface, interface.data | {"cable": cable.id})

    def _empty_interface(self, interface: Stored) -> None:
        if interface.data["cable"] is not None:
            self.delete("dcim/cables", interface.data["cable"])
        held = {"assigned_object_type": INTERFACE, "assigned_object_id": interface.id}
        for kind in ("ipam/ip-addresses", "vpn/l2vpn-terminations"):
            for one in self.with_values(kind, **held):
                self.delete(kind, one.id)

    def _clear_references(self, kind: Kind, name: str, value: Value, gone: Stored) -> None:
        holders = self.with_values(kind.path, **{name: [gone.id] if value.many else gone.id})
        if holders and value.when_gone == "protect":
            raise conflict(
                f"Unable to delete object. {len(holders)} dependent objects were found: "
                + ", ".join(f"{one.data[kind.label]} ({one.id})" for one in holders[:3])
            )
        for one in holders:
            if value.when_gone == "cascade":
                self.delete(kind.path, one.id)
            else:
                left = [other for other in one.data[name] if other != gone.id] if value.many else None
                self._write(one, one.data | {name: left})

    def _insert(self, kind: str, data: Data) -> Stored:
        query = sa.insert(objects).values(kind=kind, data=data).returning(objects)
        return Stored(self.connection.execute(query).one())

    def _write(self, now: Stored, data: Data) -> Stored:
        query = (
            sa.update(objects)
            .where(objects.c.id == now.id)
            .values(data=data, last_updated=sa.func.clock_timestamp())
            .returning(objects)
        )
        return Stored(self.connection.execute(query).one())


def _default(value: Value) -> Any:
    return list(value.default) if value.many else value.default


def _scalar(name: str, value: Value, given: Any) -> Any:
    if value.choices and given not in value.choices:
        raise bad_field(name, f"{given} is not a valid choice.")
    if value.type is bool and not isinstance(given, bool):
        raise bad_field(name, "Must be a valid boolean.")
    if value.type is list and not isinstance(given, list):
        raise bad_field(name, f'Expected a list of items but got type "{type(given).__name__}".')
    if value.type is int:
        return _integer(name, value, given)
    if value.type is str:
        return _text(name, value, given)
    return given


def _integer(name: str, value: Value, given: Any) -> int:
    try:
        number = int(given)
    except (TypeError, ValueError):
        raise bad_field(name, "A valid integer is required.") from None
    if value.lowest is not None and number < value.lowest:
        raise bad_field(name, f"Ensure this value is greater than or equal to {value.lowest}.")
    if value.highest is not None and number > value.highest:
        raise bad_field(name, f"Ensure this value is less than or equal to {value.highest}.")
    return number


def _text(name: str, value: Value, given: Any) -> str:
    if not isinstance(given, str):
        raise bad_field(name, "Not a valid string.")
    if "\0" in given:
        raise bad_field(name, "Null characters are not allowed.")
    text: str = given.strip()
    if not text and value.default is REQUIRED:
        raise bad_field(name, "This field may not be blank.")
    if value.longest and len(text) > value.longest:
        raise bad_field(name, f"Ensure this field has no more than {value.longest} characters.")
    if value.pattern and not re.fullmatch(value.pattern, text):
        raise bad_field(name, "Enter a valid slug of letters, numbers, underscores or hyphens.")
    return text


def _not_unique(kind: Kind, fields: tuple[str, ...]) -> RefusedError:
    if len(fields) == 1:
        return bad_field(fields[0], f"{kind.word} with this {fields[0]} already exists.")
    return bad_object(f"The fields {', '.join(fields)} must make a unique set.")


def _network_text(given: str) -> str:
    try:
        return str(ip_network(given))
    except ValueError:
        pass
    try:
        meant = ip_network(given, strict=False)
    except ValueError:
        raise bad_field("prefix", f"Invalid IP address format: {given}") from None
    raise bad_field("prefix", f"{given} is not a valid prefix. Did you mean {meant}?")


def _address_text(given: str) -> str:
    try:
        return ip_interface(given).with_prefixlen
    except ValueError:
        raise bad_field("address", f"Invalid IP address format: {given}") from None
