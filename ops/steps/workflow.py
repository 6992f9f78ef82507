"""A workflow: its steps in order, its form, and the rules of its start."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from ops.steps.forms import Form
from ops.steps.step import Branch, LedgerStep, StepList, enumerate_steps
from resources.errors import StepsChanged
from resources.processes import ledger
from resources.subscriptions.usability import UsabilityRule
from resources.types import StepKey, Target


@dataclass(frozen=True, slots=True)
class PredicateContext:
    """What a run predicate may look at."""

    workflow: "Workflow"
    user: str

    @property
    def workflow_key(self) -> str:
        """The name of the workflow."""
        return self.workflow.name


@dataclass(frozen=True, slots=True)
class RunPredicatePass:
    """The workflow may start."""


@dataclass(frozen=True, slots=True)
class RunPredicateFail:
    """The workflow may not start now, and why."""

    message: str


RunPredicate: TypeAlias = Callable[[PredicateContext], RunPredicatePass | RunPredicateFail]


@dataclass(frozen=True, slots=True)
class AuthContext:
    """What an authorisation callback may look at. `action` is start_workflow, resume_workflow or retry_workflow."""

    user: Any
    action: str
    workflow: "Workflow"
    step: LedgerStep | None = None


AuthCallback: TypeAlias = Callable[[AuthContext], bool | Awaitable[bool]]


@dataclass(frozen=True)
class Workflow:
    """What a workflow is, whoever runs it. `steps` is the whole list, from start to done."""

    name: str
    description: str
    target: Target
    steps: StepList
    initial_input_form: Form | None = None
    product_types: tuple[str, ...] = ()
    rule: UsabilityRule = field(default_factory=UsabilityRule)
    run_predicate: RunPredicate | None = None
    authorize_callback: AuthCallback | None = None
    retry_auth_callback: AuthCallback | None = None
    takes_subscription: bool = True

    @property
    def is_task(self) -> bool:
        """Tasks are what the system does for itself; people's lists leave them out."""
        return self.target in (Target.SYSTEM, Target.VALIDATE)

    @property
    def has_subscription(self) -> bool:
        """Whether it starts on an existing subscription, which is the first page of its form."""
        return self.target not in (Target.SYSTEM, Target.CREATE)

    @property
    def is_writer(self) -> bool:
        """Whether it takes the subscription for itself, out of sync; a validation only looks."""
        return self.has_subscription and self.takes_subscription and self.target is not Target.VALIDATE

    def may_run_on(self, product_type: str) -> bool:
        """Whether it is for subscriptions of this product type; one that names none is for all."""
        return self.has_subscription and (not self.product_types or product_type in self.product_types)

    @cached_property
    def ledger_steps(self) -> tuple[LedgerStep, ...]:
        """The steps in their places, with their keys."""
        return tuple(enumerate_steps(self.steps))

    @cached_property
    def step_keys(self) -> list[StepKey]:
        """The keys of the steps, in order; a process keeps them from its start."""
        return [step.key for step in self.ledger_steps]

    def place(self, key: StepKey) -> LedgerStep:
        """The step with this key. Raises StepsChanged."""
        for step in self.ledger_steps:
            if step.key == key:
                return step
        raise StepsChanged(f"{self.name} has no step {key!r}; it has {', '.join(self.step_keys)}.")

    def entrance(self, key: StepKey) -> LedgerStep:
        """The step with this key, or the first of the group with this name. Raises StepsChanged."""
        return next((step for step in self.ledger_steps if step.group and step.path[0] == key), None) or self.place(key)

    def left(self, committed: Collection[StepKey]) -> list[LedgerStep]:
        """The steps that are still to be done, in order; those of branches one branch after the other.

        One that is new in the code before a committed step, on the way to that, is behind: its time has passed.
        """
        behind = _Progress()
        for step in self.ledger_steps:
            if step.key in committed:
                behind.add(step)
        return [step for step in self.ledger_steps if step.key not in committed and not behind.is_past(step)]

    def heads(self, committed: Collection[StepKey]) -> list[LedgerStep]:
        """The steps that come next: one, or one of each branch that has not ended."""
        left = self.left(committed)
        return [step for step in left if not any(other.precedes(step) for other in left[: left.index(step)])]

    def stopped_at(self, committed: Collection[StepKey], tried: StepKey | None) -> LedgerStep | None:
        """The step that a process stands at, which is the one it `tried` last or the next; None when it has ended.

        Of a step over a list it is what that does for one item.
        """
        left = self.left(committed)
        for step in left:
            if tried is not None and step.key == ledger.step_of(tried):
                return next((one for one in step.places_of(tried) if one.key == tried), step)
        return left[0] if left else None

    def lost(self, committed: Sequence[StepKey], place: LedgerStep) -> list[StepKey]:
        """The steps done after this one that the code has no more."""
        behind = committed[committed.index(place.key) :] if place.key in committed else []
        return [key for key in behind if key not in self.step_keys and not ledger.is_of_item(key)]

    def onwards(self, place: LedgerStep) -> list[LedgerStep]:
        """A step and all that come after it; those of branches beside it do not."""
        return [step for step in self.ledger_steps if step == place or place.precedes(step)]

    def check_fits(self, done: list[StepKey]) -> None:
        """Check that the steps that a process has committed still stand in this order before what is left.

        Steps that are new behind the last committed one simply run. Steps of different branches have no order, and what
        was done for an item of a list is its step's affair. Raises StepsChanged naming the step in the way.
        """
        places = {step.key: step for step in self.ledger_steps}
        reached = _Progress()
        for key in done:
            if ledger.is_of_item(key):
                continue
            if key not in places:
                raise StepsChanged(
                    f"{self.name} has no step {key!r} any more, which the process has done; "
                    f"bring the step back under this name, or abort the process."
                )
            if reached.is_past(places[key]):
                raise StepsChanged(
                    f"{self.name} has its step {key!r} in another place than when the process did it; "
                    f"restore the order, or abort the process."
                )
            reached.add(places[key])


class _Progress:
    """How far things have come: the last position outside of branches, and in each of them."""

    def __init__(self) -> None:
        self._positions: dict[Branch | None, int] = {}

    def add(self, step: LedgerStep) -> None:
        self._positions[step.branch] = max(step.position, self._positions.get(step.branch, -1))

    def is_past(self, step: LedgerStep) -> bool:
        """Whether a step that was noted comes after this one."""
        return any(
            position > step.position and not (branch and branch.is_beside(step.branch))
            for branch, position in self._positions.items()
        )
