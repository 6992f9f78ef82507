"""Query parameters of lists, and the headers that say which part of the whole an answer has."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Query, Response

from orchestrator_defs.api.security.problems import problems
from resources.errors import InvalidQuery
from resources.subscriptions.list_fields import ListFields

MOST = 1000
"""How many items one answer has at most."""
RANGE = re.compile(r"\s*(\d{1,18})\s*,\s*(\d{1,18})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """Items from `first` up to, not including, `behind`."""

    first: int
    behind: int

    @property
    def limit(self) -> int:
        """How many."""
        return self.behind - self.first

    def shown(self, noun: str, items: Sequence[object], total: int) -> str:
        """Which of how many items an answer has, as Content-Range states it."""
        return f"{noun} {self.first}-{self.first + len(items)}/{total}"

    def note(self, response: Response, noun: str, items: Sequence[object], total: int) -> None:
        """Set the headers of the answer."""
        response.headers["Content-Range"] = self.shown(noun, items, total)


def _part(
    range_: Annotated[
        str | None,
        Query(alias="range", max_length=100, description=f"a,b: items a to b-1, at most {MOST}", examples=["0,25"]),
    ] = None,
) -> Part:
    """The first item, and the one after the last. Raises InvalidQuery."""
    if not range_:
        return Part(0, MOST)
    found = RANGE.fullmatch(range_)
    first, behind = map(int, found.groups()) if found else (0, -1)
    if behind < first:
        raise InvalidQuery(f"The range is {range_!r}; it is two numbers, a,b with a not above b, for items a to b-1.")
    return Part(first, min(behind, first + MOST))


PartDep = Annotated[Part, Depends(_part)]


def sort_query(fields: ListFields, example: str) -> Any:
    """The parameter `sort` of a list."""
    names = ", ".join(fields.sort_names)
    description = f"field,asc or field,desc, more of them behind; of {names}"
    return Query(max_length=200, description=description, examples=[example])


def filter_query(fields: ListFields, example: str) -> Any:
    """The parameter `filter` of a list."""
    description = (
        "field,value, more of them behind: alternatives in a value are joined by `|`, statuses and other fixed words"
        " also by `-`; `!` before it negates it; `<`, `<=`, `>` and `>=` compare numbers and moments; `*` is any"
        f" text. Fields: {', '.join(fields.filter_names)}"
    )
    return Query(alias="filter", max_length=4000, description=description, examples=[example])


SearchQuery: TypeAlias = Annotated[
    str,
    Query(
        description='word prefixes, `"whole words"`, `*part*`, `field:value`, `field=whole`, `field>=5`, `field:1..5`, '
        "`field:(a|b)`, `-not`; at most 512 characters",
        examples=["ams1 status:active -insync:false"],
    ),
]


def list_answers(noun: str, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a list, for its `responses` in the OpenAPI document."""
    described = {"description": f"{noun} a-b/total: b is behind the last", "schema": {"type": "string"}}
    return {200: {"headers": {"Content-Range": described}}, **problems(*statuses)}
