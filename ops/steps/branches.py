"""Branches of a process: the state that each sees, and the merge of their changes.

The process's state has the changes of all in their order; the ledger says which branch made them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.steps.state import Delta, is_same, shown
from ops.steps.step import Branch, LedgerStep
from ops.steps.workflow import Workflow
from resources.database.tables import ProcessStepTable
from resources.errors import BranchesDisagree
from resources.processes import ledger
from resources.types import ProcessId, State

REMOVED = object()
"""The value of a key that a branch has removed."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change by a step of a branch."""

    branch: Branch
    label: str
    delta: Delta


def state_of(workflow: Workflow, place: LedgerStep, process_id: ProcessId, state: State) -> State:
    """The state that a step sees: in a branch, the state at the fork and the changes of this branch.

    Needs a transaction, for a step in a branch.
    """
    if place.branch is None:
        return state
    before = {step.key for step in workflow.ledger_steps if step.precedes(place)}
    seen: State = {}
    for line in ledger.committed_of(process_id):
        if line.step_key in before:
            seen = Delta(line.set, line.removed).applied_to(seen)
    return seen


def check_join(workflow: Workflow, place: LedgerStep, process_id: ProcessId) -> None:
    """Check that the branches which join at a step agree. Needs a transaction. Raises BranchesDisagree."""
    places = {step.key: step for step in workflow.ledger_steps if step.branch and step.branch.join == place.key}
    check_agree(_changes(places, ledger.committed_of(process_id)))


def _changes(places: Mapping[str, LedgerStep], lines: Sequence[ProcessStepTable]) -> Iterator[Change]:
    for line in lines:
        place = places.get(line.step_key)
        if place is not None and place.branch is not None:
            yield Change(place.branch, place.label, Delta(line.set, line.removed))


def check_agree(changes: Iterable[Change]) -> None:
    """Check that no two branches have left a key with different values, in whatever order they ran.

    Then the changes give the same state in any order of the branches. Raises BranchesDisagree naming the key, the
    branches and the steps.
    """
    made: dict[str, dict[Branch, tuple[str, Any]]] = {}
    for change in changes:
        left: dict[str, Any] = {**change.delta.set, **dict.fromkeys(change.delta.removed, REMOVED)}
        for key, value in left.items():
            made.setdefault(key, {})[change.branch] = (change.label, value)
    for key, by_branch in made.items():
        (branch, (label, value)), *others = by_branch.items()
        for other, (other_label, other_value) in others:
            if not _agree(value, other_value):
                raise BranchesDisagree(
                    f"The branches disagree on {key!r} of the state: branch {branch.number} ({label!r}) "
                    f"{_made(value)}, branch {other.number} ({other_label!r}) {_made(other_value)}. Give each a key "
                    f"of its own; to continue this process, skip the join and set {key!r}."
                )


def _agree(one: Any, other: Any) -> bool:
    if one is REMOVED or other is REMOVED:
        return one is other
    return is_same(one, other)


def _made(value: Any) -> str:
    return "has removed it" if value is REMOVED else f"has set it to {shown(value)}"
