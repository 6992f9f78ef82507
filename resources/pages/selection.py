"""What a client selects of a list, in plain names, so that readers read that and nothing else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

from resources.errors import OrchestratorError
from resources.subscriptions.list_fields import FieldText, ListFields

Line: TypeAlias = dict[str, Any]
"""An entry: what was selected under its names, and what readers need of it under names that begin with `_`. An
exception in the place of a value says why there is none.
"""

MOST_ROWS = 1_000
"""A page has at most so many entries, whatever is asked for; it says that there are more."""
MOST_BELOW = 10_000
"""Nor have the pages below all entries of a list together: a subscription may have had many processes."""
MOST_OFFSET = 2**31 - 1
CAPPED_AT = 1_001
"""The entries of a search are counted so far."""


class Unreadable(OrchestratorError):
    """A part of an answer that cannot be read; the rest can."""


@dataclass
class Selection:
    """A field with its arguments, and what is selected below it: by name, for each set of arguments."""

    name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    below: dict[str, dict[str, "Selection"]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.below

    def under(self, name: str) -> "Selection":
        """What is selected below a field without arguments; nothing when it is not selected."""
        return next(iter(self.below.get(name, {}).values()), NOTHING)

    def each(self, name: str) -> Iterator["Selection"]:
        """A field once for each set of arguments."""
        yield from self.below.get(name, {}).values()

    def add(self, name: str, arguments: Mapping[str, Any]) -> "Selection":
        """Select a field below this one; the same for the same arguments."""
        return self.below.setdefault(name, {}).setdefault(place(name, arguments), Selection(name, arguments))

    @property
    def place(self) -> str:
        """Where its value lies in a line."""
        return place(self.name, self.arguments)


NOTHING = Selection()


def place(name: str, arguments: Mapping[str, Any]) -> str:
    """Where the value of a field lies in a line: the same list with other arguments is another value."""
    return f"{name}{sorted(arguments.items())}" if arguments else name


@dataclass(frozen=True)
class ListQuery:
    """The arguments of a list."""

    first: int
    after: int
    sort: Sequence[FieldText]
    filters: Sequence[FieldText]
    text: str

    @classmethod
    def of(cls, arguments: Mapping[str, Any], most: int = MOST_ROWS) -> Self:
        """Read the arguments `first, after, sortBy, filterBy, query`; negative numbers are 0."""
        return cls(
            first=min(max(arguments.get("first") or 0, 0), most),
            after=min(max(arguments.get("after") or 0, 0), MOST_OFFSET),
            sort=[(one["field"], one.get("order") or "asc") for one in arguments.get("sortBy") or ()],
            filters=[(one["field"], one["value"]) for one in arguments.get("filterBy") or ()],
            text=arguments.get("query") or "",
        )

    @classmethod
    def below(cls, arguments: Mapping[str, Any], holders: int) -> Self:
        """The arguments of a list below each of so many entries."""
        return cls.of(arguments, max(MOST_ROWS, MOST_BELOW // max(holders, 1)))


@dataclass(frozen=True)
class Total:
    """How many entries a list has; `is_exact` is False when they were not counted to the end."""

    number: int
    is_exact: bool = True


def page_of(
    selection: Selection,
    query: ListQuery,
    fields: ListFields,
    *,
    rows: Callable[[int], list[Line]],
    count: Callable[[], Total],
) -> Line:
    """A page with its `pageInfo`. `rows` reads at most so many lines from `after` on; `count` is asked if selected."""
    about = selection.under("pageInfo")
    needs_rows = "page" in selection or not {"hasNextPage", "startCursor", "endCursor"}.isdisjoint(about.below)
    lines = rows(query.first + 1) if needs_rows else []
    total = count() if not {"totalItems", "totalIsExact"}.isdisjoint(about.below) else None
    return {
        "page": lines[: query.first],
        "pageInfo": page_info(query, min(len(lines), query.first), len(lines) > query.first, total, fields),
    }


def page_info(query: ListQuery, shown: int, has_more: bool, total: Total | None, fields: ListFields) -> Line:
    """Which part of the list a page is; cursors are offsets."""
    return {
        "hasNextPage": has_more,
        "hasPreviousPage": query.after > 0,
        "startCursor": query.after if shown else None,
        "endCursor": query.after + shown - 1 if shown else None,
        "totalItems": total.number if total else None,
        "totalIsExact": total.is_exact if total else True,
        "sortFields": fields.sort_names,
        "filterFields": fields.filter_names,
    }
