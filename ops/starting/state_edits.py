"""Edits of the state by a person who has done a step: the change of the whole state."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from ops.steps.arguments import arguments_of
from ops.steps.context import Scope, StepContext
from ops.steps.invocation import view, view_unconditionally
from ops.steps.state import ENGINE_KEYS, REMOVE_KEYS, SECRET, Delta, from_outside
from ops.steps.step import LedgerStep
from resources.errors import OrchestratorError, ProcessError, StateError
from resources.types import State


def edited(place: LedgerStep, state: State, changes: Mapping[str, Any], removed: Sequence[str]) -> Delta:
    """Merge the edits into the state where the step's own result would go: in its lens, if it has one.

    Text for a secret becomes a secret. Raises StateError for the engine's keys, for values without a JSON form, and
    when the lens fails.
    """
    if taken := ENGINE_KEYS.intersection((*changes, *removed)):
        raise StateError(f"{', '.join(sorted(taken))}: these keys belong to the engine and cannot be edited.")
    if not changes and not removed:
        return Delta({}, [])
    from_outside(dict(changes), "The edit")  # keys too are kept
    seen = view_unconditionally(place.step, state)
    secret = {key for key, value in seen.part.items() if isinstance(value, Mapping) and set(value) == {SECRET}}
    result = {
        key: SecretStr(value) if key in secret and isinstance(value, str) else value for key, value in changes.items()
    }
    return Delta.between(state, seen.state_after({**result, REMOVE_KEYS: list(removed)}))


def check_skippable(place: LedgerStep) -> None:
    """Refuse to skip the engine's own steps. Raises ProcessError."""
    if place.position == 0 or place.step.effect is not None:
        raise ProcessError(f"The step {place.label!r} is the engine's own work and cannot be skipped.")


def check_next(left: Sequence[LedgerStep], state: State) -> None:
    """Check that the next step finds its arguments in the state. Needs a transaction.

    External systems are not used. Raises StateError naming the step, the key and what was expected.
    """
    for place in left:
        try:
            seen = view(place.step, state)
            if seen is None:
                continue
            _check_arguments(place, seen.part)
            return
        except OrchestratorError as error:
            raise StateError(f"The next step, {place.label!r}, could not start after this skip. {error}") from error
        except Exception as error:
            raise StateError(
                f"The next step, {place.label!r}, could not begin after this skip: its condition or lens fails with "
                f"{type(error).__name__}: {error}"
            ) from error


def _check_arguments(place: LedgerStep, part: State) -> None:
    callback, form = place.step.callback, place.step.form
    given = {callback.route_key} if callback else set()
    function = form if form is not None and callback is None else place.step.function
    if isinstance(function, type):  # a form of one page that is known without the state
        return
    for argument in arguments_of(function):
        is_from_state = argument.annotation is not StepContext and argument.resource is None
        if argument.name not in given and is_from_state:
            argument.value(part, Scope(), place.step.key)
