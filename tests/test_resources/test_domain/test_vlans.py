"""VLAN ranges are sets that people and JSON can write."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from resources.domain.models.vlans import HIGHEST, VlanRanges

vlans = st.sets(st.integers(0, HIGHEST), max_size=40)


class AccessPoint(BaseModel):
    vlan: VlanRanges
    spare: VlanRanges | None = None


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("2-5,100", "2-5,100"),
        (" 7 , 2 - 4,3,5 ", "2-5,7"),
        ("", ""),
        (10, "10"),
        ([12, 10, 11], "10-12"),
        ((3, 3), "3"),
        ({4, 2}, "2,4"),
        (VlanRanges("8-9"), "8-9"),
    ],
)
def test_ranges_are_merged_and_sorted_however_they_are_written(written: Any, text: str) -> None:
    assert str(VlanRanges(written)) == text


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("2-x", "'2-x' is not a VLAN id"),
        ("9-2", "runs backwards"),
        ("4095", "4095 is not a VLAN id"),
        ("-3", "'-3' is not a VLAN id"),
        (4095, "4095 is not a VLAN id"),
        (-1, "-1 is not a VLAN id"),
        ([True], "True is not a VLAN id"),
        (["2"], "'2' is not a VLAN id"),
    ],
)
def test_what_is_no_vlan_is_named(written: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        VlanRanges(written)


@given(vlans)
def test_text_read_back_is_equal(ids: set[int]) -> None:
    assert VlanRanges(str(VlanRanges(ids))) == VlanRanges(ids) == ids


@given(vlans, vlans)
def test_set_operations_are_those_of_sets_of_ids(left: set[int], right: set[int]) -> None:
    a, b = VlanRanges(left), VlanRanges(right)
    assert (a | b, a & b, a - b, a ^ b) == (left | right, left & right, left - right, left ^ right)
    assert isinstance(a | b, VlanRanges)
    assert a.isdisjoint(b) == left.isdisjoint(right)
    assert (a <= b) == (left <= right)


@given(vlans)
def test_ranges_are_as_few_as_possible_and_hold_every_id(ids: set[int]) -> None:
    ranges = VlanRanges(ids).ranges
    assert {vlan for first, last in ranges for vlan in range(first, last + 1)} == ids
    assert all(left[1] + 1 < right[0] for left, right in pairwise(ranges))


def test_equal_sets_are_one_key() -> None:
    assert {VlanRanges("2-3"): "a"}[VlanRanges([3, 2])] == "a"


@given(vlans)
def test_json_round_trip_is_equal(ids: set[int]) -> None:
    point = AccessPoint(vlan=VlanRanges(ids))
    assert AccessPoint.model_validate_json(point.model_dump_json()) == point
    assert point.model_dump(mode="json") == {"vlan": str(point.vlan), "spare": None}
    assert point.model_dump()["vlan"] is point.vlan


def test_pydantic_reports_the_field_and_the_fault() -> None:
    with pytest.raises(ValidationError, match="runs backwards") as caught:
        AccessPoint.model_validate({"vlan": "9-2"})
    assert caught.value.errors()[0]["loc"] == ("vlan",)


@pytest.mark.parametrize("value", [None, 2.5, True, {"2": 3}])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="VLANs are written as"):
        AccessPoint.model_validate({"vlan": value})


def test_the_json_schema_asks_for_the_vlan_widget() -> None:
    assert AccessPoint.model_json_schema()["properties"]["vlan"]["format"] == "vlan"
