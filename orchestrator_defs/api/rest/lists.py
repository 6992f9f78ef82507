"""What all lists of subscriptions are asked, and how they say which part of how many they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Response

from orchestrator_defs.api.problems import problems
from resources.errors import InvalidQuery

MOST = 1000
"""How many items one answer has at most."""
RANGE = re.compile(r"\s*(\d{1,18})\s*,\s*(\d{1,18})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """Items `first` to `behind`, which is not one of them."""

    first: int
    behind: int

    @property
    def limit(self) -> int:
        """How many."""
        return self.behind - self.first

    def note(self, response: Response, noun: str, items: Sequence[object], total: int) -> None:
        """Say in the answer which of how many it has."""
        response.headers["Content-Range"] = f"{noun} {self.first}-{self.first + len(items)}/{total}"


def _part(
    range_: Annotated[
        str | None,
        Query(alias="range", max_length=100, description=f"a,b: items a to b-1, at most {MOST}", examples=["0,25"]),
    ] = None,
) -> Part:
    """The first item, and the one behind the last. Raises InvalidQuery."""
    if not range_:
        return Part(0, MOST)
    found = RANGE.fullmatch(range_)
    first, behind = map(int, found.groups()) if found else (0, -1)
    if behind < first:
        raise InvalidQuery(f"The range is {range_!r}; it is two numbers, a,b with a not above b, for items a to b-1.")
    return Part(first, min(behind, first + MOST))


PartDep = Annotated[Part, Depends(_part)]


def list_answers(noun: str, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a list, for its `responses` in the OpenAPI document."""
    described = {"description": f"{noun} a-b/total: b is behind the last", "schema": {"type": "string"}}
    return {200: {"headers": {"Content-Range": described}}, **problems(*statuses)}
