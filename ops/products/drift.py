"""Drift: the differences between a subscription and other systems."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic_core import to_jsonable_python

from resources import Difference, DriftFound, ExternalText

ABSENT = None
"""Shown for a value that the other system does not have."""


def differences(
    place: str,
    expected: Mapping[str, Any],
    actual: Mapping[str, Any] | None,
    texts: Mapping[str, ExternalText] = MappingProxyType({}),
) -> Iterator[Difference]:
    """Each expected value that `actual` does not have; other values of `actual` do not matter.

    `place` is the path before each key, such as `netbox`. An `actual` of None is one difference: everything is missing.
    `texts` are the keys whose values are compared as the other system keeps them.
    """
    if actual is None:
        yield Difference(place, dict(expected), ABSENT)
        return
    for key, value in expected.items():
        found = actual.get(key)
        if found != value and not (key in texts and texts[key].same(value, found)):
            yield Difference(f"{place}.{key}", value, found)


def report(subject: str, found: Sequence[Difference]) -> None:
    """Raise DriftFound that lists every difference as {path, expected, actual}; return if there is none."""
    if not found:
        return
    listed = [to_jsonable_python({"path": d.path, "expected": d.expected, "actual": d.actual}) for d in found]
    described = "; ".join(f"{d['path']} is {_shown(d['actual'])} and should be {_shown(d['expected'])}" for d in listed)
    places = "1 place" if len(listed) == 1 else f"{len(listed)} places"
    raise DriftFound(f"{subject} differs from its subscription in {places}: {described}.", details=listed)


def _shown(value: Any) -> str:
    return "missing" if value is ABSENT else repr(value)
