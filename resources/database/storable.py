"""What PostgreSQL stores as text and in JSON: every character but NUL and half of a surrogate pair."""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import Any

from resources.errors import NotStorable

NOT_STORED = re.compile("[\0\ud800-\udfff]")
NUL, HALF = "a NUL character", "half of a surrogate pair"


DEEPEST, MOST_VALUES = 64, 1_000_000
"""How deeply a value from outside may be nested, for code is recursive, and how many values it may hold."""


def storable(text: str) -> str:
    """The text without what cannot be stored: for what must be written, such as a failure."""
    return text.replace("\0", "").encode(errors="replace").decode()


def fault_of(text: str) -> str | None:
    """What in a text cannot be stored; None if all can."""
    found = NOT_STORED.search(text)
    return found and (NUL if found[0] == "\0" else HALF)


def fault_of_shape(value: Any) -> str | None:
    """Why a value from outside is too deep or too large to be worked on; None if it is not.

    Aliases of YAML count each time: nine lines of them can hold a thousand million values.
    """
    level, count = [value], 1
    for _ in range(DEEPEST):
        level = list(islice((item for one in level for item in _items(one)), MOST_VALUES))
        count += len(level)
        if count > MOST_VALUES:
            return f"it holds more than {MOST_VALUES:,} values"
        if not level:
            return None
    return f"it is nested deeper than {DEEPEST} levels"


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple | Set) else ()


def faults_in(value: Any, loc: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The texts in a value, keys included, that cannot be stored: where, and why."""
    match value:
        case str():
            if (fault := fault_of(value)) is not None:
                yield loc, fault
        case Mapping():
            for key, item in value.items():
                yield from faults_in(key, (*loc, key))
                yield from faults_in(item, (*loc, key))
        case list() | tuple() | Set():
            for position, item in enumerate(value):
                yield from faults_in(item, (*loc, position))


def path_of(loc: tuple[Any, ...]) -> str:
    """A place in a value, in words that can be stored."""
    return ".".join(map(str, loc)).encode(errors="backslashreplace").decode().replace("\0", "\\0")


def refuse_unstorable(name: str, value: Any) -> None:
    """Raise NotStorable for the first text in a value that cannot be stored."""
    for loc, fault in faults_in(value):
        raise NotStorable(f"{name}: {path_of(loc)} holds {fault}, which PostgreSQL cannot store; leave it out.")
