"""Sets of VLAN ids, written as `2-5,100`: merged, sorted, immutable."""

import re
from collections.abc import Iterable, Iterator, Set
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

UNTAGGED = 0
"""Untagged traffic, on a port that carries one service."""

LOWEST, HIGHEST = UNTAGGED, 4094
"""802.1Q reserves 4095."""

_RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


class VlanRanges(Set[int]):
    """An immutable set of VLAN ids.

    Made from text (`"2-5,100"`), from one id, from ids, or from another set of ranges. Its text and its JSON are the
    shortest list of ranges. It has all operations of a set, so two of them overlap when `a & b` is not empty.
    Raises ValueError for an id outside 0..4094, a range that runs backwards, and text that is not a list of ranges.
    """

    __slots__ = ("_ids",)

    def __init__(self, vlans: "str | int | Iterable[int]" = ()) -> None:
        if isinstance(vlans, str):
            vlans = _ids_in_text(vlans)
        elif isinstance(vlans, int):
            vlans = (vlans,)
        self._ids: tuple[int, ...] = tuple(sorted({_checked(vlan) for vlan in vlans}))

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The fewest (first, last) pairs that hold every id, in order, both ends included."""
        pairs: list[tuple[int, int]] = []
        for vlan in self._ids:
            if pairs and vlan == pairs[-1][1] + 1:
                pairs[-1] = (pairs[-1][0], vlan)
            else:
                pairs.append((vlan, vlan))
        return tuple(pairs)

    def __contains__(self, vlan: object) -> bool:
        return vlan in self._ids

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __hash__(self) -> int:
        return self._hash()

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)

    def __repr__(self) -> str:
        return f"VlanRanges({str(self)!r})"

    @classmethod
    def _validate(cls, value: Any) -> "VlanRanges":
        if isinstance(value, cls):
            return value
        if isinstance(value, str | int | Set | list | tuple) and not isinstance(value, bool):
            return cls(value)
        raise ValueError("VLANs are written as ids and ranges of ids, such as 2-5,100")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema(when_used="json-unless-none")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # Web clients show their VLAN widget for the format "vlan".
        return {"type": "string", "format": "vlan", "pattern": r"^\s*(\d+(-\d+)?\s*(,\s*\d+(-\d+)?\s*)*)?$"}


def _ids_in_text(text: str) -> Iterator[int]:
    """The ids of a text such as `2-5,100`; empty text has none."""
    for part in filter(str.strip, text.split(",")) if text.strip() else ():
        if not (match := _RANGE.fullmatch(part)):
            raise ValueError(f"{part.strip()!r} is not a VLAN id or a range of them; write them such as 2-5,100")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range {first}-{last} runs backwards; write {last}-{first}")
        yield from range(_checked(first), _checked(last) + 1)


def _checked(vlan: int) -> int:
    if isinstance(vlan, bool) or not isinstance(vlan, int):
        raise ValueError(f"{vlan!r} is not a VLAN id; an id is a whole number")
    if not LOWEST <= vlan <= HIGHEST:
        raise ValueError(f"{vlan} is not a VLAN id; ids run from {LOWEST} (untagged) to {HIGHEST}")
    return vlan
