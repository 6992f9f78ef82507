"""The invocation of a step: the state it sees, its arguments, and where its result goes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ops.steps.arguments import arguments_of
from ops.steps.context import Scope
from ops.steps.state import REMOVE_KEYS, keys_to_remove, merged, reveal, to_json
from ops.steps.step import Lens, Step, When
from resources.errors import StateError
from resources.types import State


@dataclass(frozen=True, slots=True)
class View:
    """The state that a step sees, and the way its result goes back into the whole."""

    step: Step
    part: State
    lenses: tuple[tuple[Lens, State], ...]

    @property
    def whole(self) -> State:
        """The whole state, outside all lenses."""
        return self.lenses[0][1] if self.lenses else self.part

    def state_after(self, result: Any) -> State:
        """The whole state with the result merged in through the lenses."""
        part = merged(self.part, result, self.step.key)
        for lens, whole in reversed(self.lenses):
            part = _part(lens.put(reveal(whole), reveal(part)), f"What {self.step.key}'s lens puts back")
        return part


@dataclass(frozen=True, slots=True)
class Invocation:
    """A step's function with its arguments."""

    view: View
    arguments: dict[str, Any]
    scope: Scope

    def run(self) -> Any:
        return self.view.step.function(**self.arguments)

    def changes(self) -> State:
        """What the function has changed in place in values of the state, as if it had returned it."""
        step = self.view.step
        return arguments_of(step.function).changes(self.arguments, self.view.part, self.scope, step.key)

    def whole_result(self, result: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """A result with what was changed in place, and without what was given for this call only."""
        changed, passing = self.changes(), self.scope.passing
        if result is None:
            return changed or None
        kept = {key: one for key, one in result.items() if key not in passing or one != passing[key]}
        if removed := changed.pop(REMOVE_KEYS, []):
            kept[REMOVE_KEYS] = [*removed, *keys_to_remove(result, self.view.step.key)]
        return {**changed, **kept}


def _part(value: Any, where: str) -> State:
    """A state, or a part of one, from a lens: a mapping with a JSON form."""
    if not isinstance(value, Mapping):
        raise StateError(f"{where} is {type(value).__name__}; it is a mapping.")
    part: State = to_json(value, where)
    return part


def view(step: Step, state: State) -> View | None:
    """Check the step's conditions and apply its lenses; None if a condition skips the step."""
    lenses: list[tuple[Lens, State]] = []
    for wrapper in step.wrappers:
        if isinstance(wrapper, When):
            if not wrapper.predicate(reveal(state)):
                return None
        else:
            lenses.append((wrapper, state))
            state = _part(wrapper.get(reveal(state)), f"What {step.key}'s lens gets")
    return View(step, state, tuple(lenses))


def view_unconditionally(step: Step, state: State) -> View:
    """Apply the step's lenses and ignore its conditions."""
    unconditional = replace(step, wrappers=tuple(one for one in step.wrappers if isinstance(one, Lens)))
    seen = view(unconditional, state)
    assert seen is not None, "only a condition skips"
    return seen


def prepare(step: Step, state: State, scope: Scope) -> Invocation | None:
    """Find the arguments of a step's function; None if a condition skips the step.

    Needs a transaction if an argument is a subscription.
    """
    seen = view(step, state)
    if seen is None:
        return None
    return Invocation(seen, arguments_of(step.function).values(seen.part, scope, step.key), scope)
