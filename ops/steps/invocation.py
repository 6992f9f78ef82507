"""A step about to run: what it sees of the state, its arguments, and where its result goes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ops.steps.context import Scope
from ops.steps.state import arguments_of, merged, reveal, to_json
from ops.steps.step import Lens, Step, When
from resources.errors import StateError
from resources.types import State


@dataclass(frozen=True, slots=True)
class View:
    """What a step sees of the state, and the way its result goes back into the whole."""

    step: Step
    part: State
    lenses: tuple[tuple[Lens, State], ...]

    @property
    def whole(self) -> State:
        """The whole state, as the outermost lens has it."""
        return self.lenses[0][1] if self.lenses else self.part

    def state_after(self, result: Any) -> State:
        """The whole state with the result merged in, through the lenses it was read by."""
        part = merged(self.part, result, self.step.key)
        for lens, whole in reversed(self.lenses):
            part = _part(lens.put(reveal(whole), reveal(part)), f"What {self.step.key}'s lens puts back")
        return part


@dataclass(frozen=True, slots=True)
class Invocation:
    """A step's function with its arguments found."""

    view: View
    arguments: dict[str, Any]

    def run(self) -> Any:
        """Call the function."""
        return self.view.step.function(**self.arguments)


def _part(value: Any, where: str) -> State:
    """A state, or the part of one, as a lens gives it: a mapping that has a JSON form."""
    if not isinstance(value, Mapping):
        raise StateError(f"{where} is {type(value).__name__}; it is a mapping.")
    part: State = to_json(value, where)
    return part


def view(step: Step, state: State) -> View | None:
    """Ask the step's conditions and look through its lenses; None if a condition says to skip it."""
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
    """Look through the step's lenses, whatever its conditions say."""
    unconditional = replace(step, wrappers=tuple(one for one in step.wrappers if isinstance(one, Lens)))
    seen = view(unconditional, state)
    assert seen is not None, "only a condition skips"
    return seen


def prepare(step: Step, state: State, scope: Scope) -> Invocation | None:
    """Find the arguments of a step's function; None if a condition says to skip it.

    Needs a transaction if an argument is a subscription.
    """
    seen = view(step, state)
    if seen is None:
        return None
    return Invocation(seen, arguments_of(step.function).values(seen.part, scope, step.key))
