"""The items of a step over a list: the list, the state for an item, and the results."""

from collections.abc import Mapping, Sequence
from typing import Any

from ops.steps.invocation import View
from ops.steps.state import Delta, shown
from ops.steps.step import LedgerStep
from resources.database.tables import ProcessStepTable
from resources.errors import StateError
from resources.types import State, StepKey


def items_in(place: LedgerStep, part: State) -> list[Any]:
    """The list of a step. Raises StateError."""
    assert place.step.each is not None, "only such a step has items"
    name = place.step.each.items
    if name not in part:
        raise StateError(f"{place.label!r} works on the list {name!r}, which the state does not have.")
    found = part[name]
    if not isinstance(found, list):
        raise StateError(f"{place.label!r} works on the list {name!r}; {shown(found)} is not a list.")
    return found


def state_with(place: LedgerStep, part: State, item: Any) -> State:
    """The state for the first step of an item."""
    assert place.step.each is not None, "only such a step has items"
    return {**part, place.step.each.item: item}


def result_of(place: LedgerStep, seen: View, lines: Sequence[ProcessStepTable]) -> State:
    """The result of the whole step: for each item, in order, what its steps have set."""
    assert place.step.each is not None, "only such a step has items"
    done = {line.step_key: line for line in lines}
    count = len(items_in(place, seen.part))
    return {place.step.each.results: [_result_of_item(place, index, done) for index in range(count)]}


def _result_of_item(place: LedgerStep, index: int, done: Mapping[StepKey, ProcessStepTable]) -> State:
    result: State = {}
    for one in place.of_item(index):
        line = done[one.key]
        result = Delta(line.set, line.removed).applied_to(result)
    return result
