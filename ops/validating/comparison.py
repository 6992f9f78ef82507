"""Compares what a subscription says with what another system has, value by value, and reports the differences."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from ops.steps.state import readable
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import DriftFound
from resources.systems.difference import Difference
from resources.systems.external_text import ExternalText

Texts = Mapping[str, ExternalText]
Severity = Literal["error", "warning"]
NO_TEXTS: Texts = MappingProxyType({})


def compare(
    subject: SubscriptionModel | str,
    system: str,
    expected: Mapping[str, Any],
    found: Any,
    texts: Texts = NO_TEXTS,
    severity: Severity = "error",
) -> None:
    """Raise DriftFound if a system has other values than those expected for a subscription; see `differences`."""
    report_drift(subject, differences(system, expected, found, texts, severity))


def differences(
    place: str, expected: Mapping[str, Any], found: Any, texts: Texts = NO_TEXTS, severity: Severity = "error"
) -> Iterator[Difference]:
    """Each expected value that `found` does not have; other values of `found` do not matter.

    `found` is a mapping, or an object with these attributes, or None if the system has nothing: that is one difference.
    A mapping among the expected values is compared key by key. `place` is the path before each key, and begins with the
    name of the system: `netbox`, `netbox.cable`. `texts` are the keys whose values are compared as the system keeps
    them.
    """
    system = place.partition(".")[0]
    if found is None:
        yield Difference(place, dict(expected), None, system, severity)
        return
    for key, value in expected.items():
        there = found.get(key) if isinstance(found, Mapping) else getattr(found, key, None)
        if isinstance(value, Mapping) and (there is None or isinstance(there, Mapping)):
            yield from differences(f"{place}.{key}", value, there, texts, severity)
        elif not (_is_same(value, there) or (key in texts and texts[key].same(value, there))):
            yield Difference(f"{place}.{key}", value, there, system, severity)


def report_drift(subject: SubscriptionModel | str, found: Iterable[Difference]) -> None:
    """Raise DriftFound that lists every difference; return if there is none. `subject` is a subscription, or a text.

    Its details are a list of {system, path, expected, found, severity}; `actual` is `found` by its older name.
    """
    listed = [_as_json(difference) for difference in found]
    if not listed:
        return
    name = subject.description if isinstance(subject, SubscriptionModel) else subject
    described = "; ".join(f"{d['path']} is {_shown(d['found'])} and should be {_shown(d['expected'])}" for d in listed)
    places = "1 place" if len(listed) == 1 else f"{len(listed)} places"
    raise DriftFound(f"{name} differs from its subscription in {places}: {described}.", details=listed)


def _is_same(expected: Any, found: Any) -> bool:
    """Whether two values are equal, or the same once they are JSON: an address and its text, a tuple and a list."""
    return bool(expected == found) or (None not in (expected, found) and _json(expected) == _json(found))


def _as_json(one: Difference) -> dict[str, Any]:
    expected, found = _json(one.expected), _json(one.actual)
    values = {"path": one.path, "expected": expected, "actual": found, "found": found}
    return {"system": one.system, **values, "severity": one.severity}


def _json(value: Any) -> Any:
    return to_jsonable_python(value, fallback=readable)


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)
