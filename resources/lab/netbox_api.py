"""The lab's side of NetBox's REST API."""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa

from resources.lab.addresses import Network, free_hosts, free_prefix, free_prefixes
from resources.lab.answers import VERSION, Answers
from resources.lab.filters import Query, filtered
from resources.lab.inventory import Inventory, Stored
from resources.lab.kinds import KINDS
from resources.lab.refusals import RefusedError, bad_field, conflict, not_found

PAGE = 50
LONGEST_PAGE = 1000


@dataclass(frozen=True)
class Asked:
    """A parsed HTTP request. `path` is what follows /api/, without slashes at its ends."""

    method: str
    path: str
    query: Query
    body: Any
    base_url: str
    if_match: str | None = None


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; no body when None."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def answer(connection: sa.Connection, asked: Asked) -> Answer:
    """Execute a request in the connection's transaction. Raises RefusedError: the caller rolls back."""
    inventory = Inventory(connection)
    if asked.method != "GET":
        inventory.lock()
    match asked.path.split("/"):
        case [""]:
            return Answer(200, {app: f"{asked.base_url}/api/{app}/" for app in ("dcim", "ipam", "vpn", "status")})
        case ["status"]:
            return Answer(200, {"netbox-version": f"{VERSION}.0", "hostname": "lab"})
        case [app, name] if f"{app}/{name}" in KINDS:
            return _many(inventory, asked, f"{app}/{name}")
        case [app, name, number] if f"{app}/{name}" in KINDS and number.isdecimal():
            return _one(inventory, asked, f"{app}/{name}", int(number))
        case ["ipam", "prefixes", number, "available-ips"] if number.isdecimal():
            return _allocate(inventory, asked, int(number), _list_hosts, _take_host)
        case ["ipam", "prefixes", number, "available-prefixes"] if number.isdecimal():
            return _allocate(inventory, asked, int(number), _list_prefixes, _take_prefix)
    raise not_found()


# One and many


def _many(inventory: Inventory, asked: Asked, kind: str) -> Answer:
    match asked.method:
        case "GET":
            return _page(inventory, asked, kind)
        case "POST":
            made = [inventory.create(kind, one) for one in _objects(asked.body)]
            return _made(inventory, asked, made)
        case "PUT" | "PATCH":
            partial = asked.method == "PATCH"
            changed = [inventory.update(kind, _id(one), one, partial=partial) for one in _objects(asked.body)]
            return Answer(200, Answers(inventory, asked.base_url).full(changed))
        case "DELETE":
            for one in _objects(asked.body):
                inventory.delete(kind, _id(one))
            return Answer(204)
    raise _no_method(asked)


def _one(inventory: Inventory, asked: Asked, kind: str, object_id: int) -> Answer:
    now = inventory.get(kind, object_id)
    if asked.method in ("PUT", "PATCH", "DELETE") and asked.if_match not in (None, "*", now.etag):
        raise RefusedError(412, {"detail": "Precondition failed: the object was changed since it was read."})
    match asked.method:
        case "GET":
            pass
        case "PUT" | "PATCH":
            now = inventory.update(kind, object_id, _object(asked.body), partial=asked.method == "PATCH")
        case "DELETE":
            inventory.delete(kind, object_id)
            return Answer(204)
        case _:
            raise _no_method(asked)
    return Answer(200, Answers(inventory, asked.base_url).full([now])[0], {"ETag": now.etag})


def _page(inventory: Inventory, asked: Asked, kind: str) -> Answer:
    found = filtered(inventory, kind, asked.query)
    limit = min(_whole(asked, "limit", PAGE) or LONGEST_PAGE, LONGEST_PAGE)
    offset = _whole(asked, "offset", 0)
    shown = found[offset : offset + limit]
    answers = Answers(inventory, asked.base_url)
    results = answers.brief(shown) if "brief" in asked.query else answers.full(shown)
    following = _link(asked, limit, offset + limit) if offset + limit < len(found) else None
    previous = _link(asked, limit, max(0, offset - limit)) if offset else None
    return Answer(200, {"count": len(found), "next": following, "previous": previous, "results": results})


def _link(asked: Asked, limit: int, offset: int) -> str:
    query = asked.query | {"limit": [str(limit)], "offset": [str(offset)]}
    return f"{asked.base_url}/api/{asked.path}/?{urlencode(query, doseq=True)}"


def _made(inventory: Inventory, asked: Asked, made: list[Stored]) -> Answer:
    # Read again: later objects may have changed it.
    fresh = inventory.by_ids(one.id for one in made)
    shown = Answers(inventory, asked.base_url).full([fresh[one.id] for one in made])
    if isinstance(asked.body, list):
        return Answer(201, shown)
    return Answer(201, shown[0], {"ETag": fresh[made[0].id].etag})


# Free addresses


def _allocate(
    inventory: Inventory,
    asked: Asked,
    prefix_id: int,
    listed: Callable[[Inventory, Stored, Asked], list[dict[str, Any]]],
    take: Callable[[Inventory, Stored, dict[str, Any]], Stored],
) -> Answer:
    container = inventory.get("ipam/prefixes", prefix_id)
    match asked.method:
        case "GET":
            return Answer(200, listed(inventory, container, asked))
        case "POST":
            return _made(inventory, asked, [take(inventory, container, one) for one in _objects(asked.body)])
    raise _no_method(asked)


def _free_hosts(inventory: Inventory, container: Stored) -> Any:
    network = ip_network(container.data["prefix"])
    hosts = [
        ip_interface(one.data["address"]).ip
        for one in inventory.with_values("ipam/ip-addresses", vrf=container.data["vrf"])
    ]
    taken = (int(host) for host in hosts if host.version == network.version)
    return free_hosts(network, taken, whole=bool(container.data["is_pool"]))


def _list_hosts(inventory: Inventory, container: Stored, asked: Asked) -> list[dict[str, Any]]:
    limit = _whole(asked, "limit", PAGE)
    version = ip_network(container.data["prefix"]).version
    hosts = _free_hosts(inventory, container)
    return [{"family": version, "address": host, "vrf": None} for host, _ in zip(hosts, range(limit), strict=False)]


def _take_host(inventory: Inventory, container: Stored, given: dict[str, Any]) -> Stored:
    host = next(_free_hosts(inventory, container), None)
    if host is None:
        raise conflict("An insufficient number of IP addresses are available within the prefix")
    return inventory.create("ipam/ip-addresses", given | {"address": host, "vrf": container.data["vrf"]})


def _taken_prefixes(inventory: Inventory, container: Stored) -> list[Network]:
    network = ip_network(container.data["prefix"])
    others = inventory.with_values("ipam/prefixes", vrf=container.data["vrf"])
    taken = [ip_network(one.data["prefix"]) for one in others if one.id != container.id]
    return [one for one in taken if one.overlaps(network) and one.prefixlen > network.prefixlen]


def _list_prefixes(inventory: Inventory, container: Stored, _asked: Asked) -> list[dict[str, Any]]:
    free = free_prefixes(ip_network(container.data["prefix"]), _taken_prefixes(inventory, container))
    return [{"family": one.version, "prefix": str(one), "vrf": None} for one in free]


def _take_prefix(inventory: Inventory, container: Stored, given: dict[str, Any]) -> Stored:
    length = given.get("prefix_length")
    if not isinstance(length, int):
        raise bad_field("prefix_length", "A valid integer is required.")
    room = free_prefix(ip_network(container.data["prefix"]), _taken_prefixes(inventory, container), length)
    if room is None:
        raise conflict("Insufficient space is available to accommodate the requested prefix size(s)")
    return inventory.create("ipam/prefixes", given | {"prefix": str(room), "vrf": container.data["vrf"]})


# Parsing


def _objects(body: Any) -> list[dict[str, Any]]:
    return [_object(one) for one in (body if isinstance(body, list) else [body])]


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        kind = type(body).__name__
        raise RefusedError(400, {"non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."]})
    return body


def _id(body: dict[str, Any]) -> int:
    if not isinstance(body.get("id"), int):
        raise bad_field("id", "This field is required.")
    return int(body["id"])


def _whole(asked: Asked, name: str, default: int) -> int:
    given = asked.query.get(name, [str(default)])[0]
    if not given.isdecimal():
        raise bad_field(name, "A valid integer is required.")
    return int(given)


def _no_method(asked: Asked) -> RefusedError:
    return RefusedError(405, {"detail": f'Method "{asked.method}" not allowed.'})
