"""Accepting reality: what a validation found becomes values of the form of a modify workflow, or a reason why not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from ops.steps.state import shown
from resources.errors import StartRefused
from resources.secrecy import MASK
from resources.systems.difference import Difference
from resources.types import State

REASON = "validation.not_acceptable"
"""The key of the reason, for clients."""


Taken: TypeAlias = str | Callable[[Difference], Mapping[str, Any]]
"""The field of the form that takes a value as it was found, or a function that gives fields and their values. It raises
ValueError with the reason why the value cannot be accepted."""

Accepts: TypeAlias = Callable[..., Mapping[str, Any]]
"""The function of a modify workflow: from `differences`, and what else a form may take, to fields and their values."""


def accepted_values(differences: Sequence[Difference], takes: Mapping[str, Taken] | Callable[[str], Taken]) -> State:
    """The fields of a form, with their values, that accept these differences: all of them or none.

    `takes` says by the last part of a path what becomes of the value. Raises StartRefused that names each difference
    that cannot be accepted: it is gone, `takes` has no field for it, or two systems disagree.
    """
    values: dict[str, Any] = {}
    origins: dict[str, Difference] = {}
    faults: list[tuple[Difference, str]] = []
    for one in differences:
        try:
            for name, value in _values(one, takes):
                if name in values and values[name] != value:
                    raise ValueError(f"{origins[name].path} asks for another {name}, {shown(values[name])}")
                values[name], origins[name] = value, one
        except ValueError as error:
            faults.append((one, str(error)))
    if faults:
        refuse_to_accept(faults)
    return values


def never_accepted(why: str) -> Callable[[Difference], Mapping[str, Any]]:
    """What becomes of a value that cannot be accepted, whatever it is: the refusal says why."""

    def refuse(_one: Difference) -> NoReturn:
        raise ValueError(why)

    return refuse


def refuse_to_accept(faults: Sequence[tuple[Difference, str]]) -> NoReturn:
    """Raise StartRefused that says of each of these differences why it cannot be accepted."""
    sentences = "; ".join(f"{one.path or one.system} is {_shown(one.found)}: {why}" for one, why in faults)
    raise StartRefused(
        f"What was found cannot be accepted. {sentences}. Push the intent, or put it right there.",
        reason=REASON,
        details={"not_accepted": [{"path": one.path, "why": why} for one, why in faults]},
    )


def _values(one: Difference, takes: Mapping[str, Taken] | Callable[[str], Taken]) -> Iterator[tuple[str, Any]]:
    taken = takes.get(one.key) if isinstance(takes, Mapping) else takes(one.key)
    if taken is None:
        raise ValueError("no modification has a field for it")
    if one.found is None:
        raise ValueError("what is gone is no value of a form")
    if MASK in str(one.found):
        raise ValueError("it is a secret, of which only the mask is kept")
    yield from [(taken, one.found)] if isinstance(taken, str) else taken(one).items()


def _shown(value: Any) -> str:
    return "missing" if value is None else shown(value)
