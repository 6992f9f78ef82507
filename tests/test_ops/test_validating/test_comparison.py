"""A comparison of what is expected with what a system has: which values differ, and how they are listed."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest

from ops.validating.comparison import compare, differences, report_drift
from resources.errors import DriftFound
from resources.systems.difference import Difference
from resources.systems.external_text import ExternalText

TITLE = ExternalText("the inventory", 10, ignores_case=True)


@dataclass
class Site:
    name: str
    rack: int | None = None


def paths(expected: dict[str, Any], found: Any, **how: Any) -> list[str]:
    return [one.path for one in differences("inventory", expected, found, **how)]


@pytest.mark.parametrize("found", [{"name": "ams", "rack": 1, "more": 2}, Site("ams", 1)])
def test_what_a_system_has_besides_does_not_matter(found: Any) -> None:
    assert paths({"name": "ams", "rack": 1}, found) == []


def test_each_other_value_is_a_difference_with_its_path() -> None:
    found = list(differences("inventory.site", {"name": "ams", "rack": 1}, Site("utr")))
    assert found == [Difference("inventory.site.name", "ams", "utr"), Difference("inventory.site.rack", 1, None)]
    assert {one.system for one in found} == {"inventory"}


def test_nothing_at_all_is_one_difference() -> None:
    assert list(differences("inventory", {"name": "ams"}, None)) == [Difference("inventory", {"name": "ams"}, None)]


def test_mappings_are_compared_key_by_key() -> None:
    expected = {"ports": {"1": {"mtu": 9000, "up": True}, "2": {"mtu": 1500}}}
    assert paths(expected, {"ports": {"1": {"mtu": 1500, "up": True, "speed": 10}}}) == [
        "inventory.ports.1.mtu",
        "inventory.ports.2",
    ]


@pytest.mark.parametrize(
    ("expected", "found"),
    [(IPv4Address("10.0.0.1"), "10.0.0.1"), ((1, 2), [1, 2]), (1, 1.0), ("a", "a"), (None, None)],
)
def test_values_that_are_one_in_json_are_the_same(expected: Any, found: Any) -> None:
    assert paths({"value": expected}, {"value": found}) == []


@pytest.mark.parametrize(("expected", "found"), [(None, ""), (0, None), ("1", 1), ([1, 2], [2, 1]), (True, "true")])
def test_other_values_are_not(expected: Any, found: Any) -> None:
    assert paths({"value": expected}, {"value": found}) == ["inventory.value"]


def test_a_text_is_compared_as_the_system_keeps_it() -> None:
    found = {"title": "CUSTOMER A", "note": "CUSTOMER A"}
    expected = {"title": "Customer A, long", "note": "Customer A, long"}
    assert paths(expected, found, texts={"title": TITLE}) == ["inventory.note"]


def test_one_call_compares_and_reports() -> None:
    with pytest.raises(DriftFound, match=r"ams differs from its subscription in 1 place: inventory.rack is 2 and"):
        compare("ams", "inventory", {"rack": 1}, {"rack": 2})
    compare("ams", "inventory", {"rack": 1}, {"rack": 1})


def test_the_details_list_what_programs_read_by_old_names_and_new() -> None:
    with pytest.raises(DriftFound) as caught:
        report_drift("ams", differences("inventory", {"rack": 1}, {"rack": 2}, severity="warning"))
    names = {"expected": 1, "actual": 2, "found": 2, "system": "inventory", "severity": "warning"}
    assert caught.value.details == [{"path": "inventory.rack", **names}]


def test_a_difference_made_without_a_system_has_the_first_part_of_its_path() -> None:
    assert (Difference("ams1.mtu", 1, 2).system, Difference("ams1.mtu", 1, 2).severity) == ("ams1", "error")
