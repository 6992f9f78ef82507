"""Free room in the lab's address plan."""

from ipaddress import ip_network
from itertools import islice

import pytest

from resources.lab.addresses import free_hosts, free_prefix, free_prefixes


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([], "10.0.0.0/31"),
        (["10.0.0.0/31"], "10.0.0.2/31"),
        (["10.0.0.2/31"], "10.0.0.0/31"),
        (["10.0.0.0/30", "10.0.0.6/31"], "10.0.0.4/31"),
        (["10.0.0.1/32"], "10.0.0.2/31"),
        (["10.0.0.0/29", "10.0.0.0/31"], "10.0.0.8/31"),
        (["10.0.0.0/28"], None),
    ],
)
def test_the_lowest_free_prefix_touches_nothing_taken(taken: list[str], expected: str | None) -> None:
    found = free_prefix(ip_network("10.0.0.0/28"), map(ip_network, taken), 31)
    assert found == (expected and ip_network(expected))


def test_a_prefix_longer_than_its_family_or_shorter_than_its_container_is_not_there() -> None:
    container = ip_network("fd00::/64")
    assert free_prefix(container, [], 129) is None
    assert free_prefix(container, [], 63) is None
    assert str(free_prefix(container, [], 127)) == "fd00::/127"


def test_hosts_leave_out_network_broadcast_and_what_is_taken() -> None:
    taken = [int(ip_network("10.0.0.1/32").network_address)]
    assert list(free_hosts(ip_network("10.0.0.0/29"), taken)) == [f"10.0.0.{last}/29" for last in (2, 3, 4, 5, 6)]


def test_a_pool_gives_out_all_its_addresses() -> None:
    assert list(free_hosts(ip_network("10.0.0.0/31"), [], whole=True)) == ["10.0.0.0/31", "10.0.0.1/31"]


def test_a_link_gives_out_both_its_addresses() -> None:
    assert list(free_hosts(ip_network("10.0.0.0/31"), [])) == ["10.0.0.0/31", "10.0.0.1/31"]


def test_ipv6_leaves_out_the_first_address_alone() -> None:
    assert list(islice(free_hosts(ip_network("fd00::/126"), []), 4)) == ["fd00::1/126", "fd00::2/126", "fd00::3/126"]


def test_all_free_room_is_the_fewest_prefixes() -> None:
    found = free_prefixes(ip_network("10.0.0.0/28"), [ip_network("10.0.0.4/31")])
    assert list(map(str, found)) == ["10.0.0.0/30", "10.0.0.6/31", "10.0.0.8/29"]
