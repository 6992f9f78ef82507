"""Finds the next free address or prefix of the address plan."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network


def free_hosts(container: Network, taken: Iterable[int], *, whole: bool = False) -> Iterator[str]:
    """Free addresses with the container's mask, lowest first. `whole`: with its first and last address."""
    first, last = int(container.network_address), int(container.broadcast_address)
    if not whole and container.num_addresses > 2:
        first += 1
        last -= 1 if container.version == 4 else 0
    occupied = set(taken)
    for number in range(first, last + 1):
        if number not in occupied:
            yield f"{container.network_address + (number - int(container.network_address))}/{container.prefixlen}"


def free_prefix(container: Network, taken: Iterable[Network], length: int) -> Network | None:
    """The lowest prefix of that length in the container that overlaps none of `taken`, or None."""
    if not container.prefixlen <= length <= container.max_prefixlen:
        return None
    size = 1 << (container.max_prefixlen - length)
    start, end = int(container.network_address), int(container.broadcast_address) + 1
    for first, past in sorted((int(one.network_address), int(one.broadcast_address) + 1) for one in taken):
        if start + size <= first:
            break
        if past > start:
            start = -(-past // size) * size
    return _network(container, start, length) if start + size <= end else None


def free_prefixes(container: Network, taken: Iterable[Network]) -> list[Network]:
    """All free addresses as the fewest prefixes."""
    free: list[Network] = [container]
    for one in taken:
        free = [rest for room in free for rest in _without(room, one)]
    return sorted(free, key=lambda room: int(room.network_address))


def _without(room: Network, one: Network) -> list[Network]:
    if not room.overlaps(one):
        return [room]
    if room.prefixlen >= one.prefixlen:
        return []
    halves: list[Network] = list(room.subnets())
    return [rest for half in halves for rest in _without(half, one)]


def _network(like: Network, number: int, length: int) -> Network:
    return ip_network((number.to_bytes(like.max_prefixlen // 8), length))
