"""A workflow: its steps in order, its form, and its start rules."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from ops.steps.acceptance import Accepts
from ops.steps.batching import why_step_needs_process
from ops.steps.forms import Form
from ops.steps.step import Branch, LedgerStep, StepList, enumerate_steps
from resources.errors import StepsChanged
from resources.processes import ledger
from resources.subscriptions.usability import UsabilityRule
from resources.types import StepKey, Target


@dataclass(frozen=True, slots=True)
class PredicateContext:
    """The argument of a run predicate."""

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
    """The argument of an authorisation callback. `action` is start_workflow, resume_workflow or retry_workflow."""

    user: Any
    action: str
    workflow: "Workflow"
    step: LedgerStep | None = None


AuthCallback: TypeAlias = Callable[[AuthContext], bool | Awaitable[bool]]


@dataclass(frozen=True)
class Workflow:
    """The declaration of a workflow. `steps` is the whole list, from start to done.

    `formerly`: its former names, the oldest first; processes that were started under one continue.
    """

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
    in_batch: bool = True
    accepts: Accepts | None = None
    formerly: tuple[str, ...] = ()

    @property
    def is_task(self) -> bool:
        """Tasks run for the system; lists for people leave them out."""
        return self.target in (Target.SYSTEM, Target.VALIDATE)

    @property
    def has_subscription(self) -> bool:
        """Whether it starts on an existing subscription, which is the first page of its form."""
        return self.target not in (Target.SYSTEM, Target.CREATE)

    @property
    def is_writer(self) -> bool:
        """Whether it locks the subscription and puts it out of sync; a validation only reads."""
        return self.has_subscription and self.takes_subscription and self.target is not Target.VALIDATE

    @cached_property
    def why_not_in_batch(self) -> str | None:
        """Why each of its validations needs a process of its own; None when one run may validate many subscriptions."""
        if self.target is not Target.VALIDATE:
            return "it is no validation"
        if not self.in_batch:
            return "it is declared with in_batch=False"
        if self.initial_input_form is not None:
            return "its start has a form of its own"
        return why_step_needs_process(self.ledger_steps[1:-1])

    def may_run_on(self, product_type: str) -> bool:
        """Whether it applies to subscriptions of this product type; without product types it applies to all."""
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
        """The remaining steps, in order; branches one after the other.

        A step that is new in the code before a committed step, on the same path, is skipped.
        """
        behind = _Progress()
        for step in self.ledger_steps:
            if step.key in committed:
                behind.add(step)
        return [step for step in self.ledger_steps if step.key not in committed and not behind.is_past(step)]

    def heads(self, committed: Collection[StepKey]) -> list[LedgerStep]:
        """The next steps: one, or one of each unfinished branch."""
        left = self.left(committed)
        return [step for step in left if not any(other.precedes(step) for other in left[: left.index(step)])]

    def stopped_at(self, committed: Collection[StepKey], tried: StepKey | None) -> LedgerStep | None:
        """The step at which a process stopped: the one it attempted last (`tried`) or the next; None when it has ended.

        For a step over a list it is the step of one item.
        """
        left = self.left(committed)
        for step in left:
            if tried is not None and step.key == ledger.step_of(tried):
                return next((one for one in step.places_of(tried) if one.key == tried), step)
        return left[0] if left else None

    def lost(self, committed: Sequence[StepKey], place: LedgerStep) -> list[StepKey]:
        """The committed steps after this one that the code has dropped."""
        behind = committed[committed.index(place.key) :] if place.key in committed else []
        return [key for key in behind if key not in self.step_keys and not ledger.is_of_item(key)]

    def onwards(self, place: LedgerStep) -> list[LedgerStep]:
        """A step and all after it, except those of parallel branches."""
        return [step for step in self.ledger_steps if step == place or place.precedes(step)]

    def check_fits(self, done: list[StepKey]) -> None:
        """Check that the committed steps of a process are still in this order before the remaining ones.

        New steps behind the last committed one simply run. Steps of different branches have no order, and lines of
        items are ignored. Raises StepsChanged naming the step.
        """
        places = {step.key: step for step in self.ledger_steps}
        reached = _Progress()
        for key in done:
            if ledger.is_of_item(key):
                continue
            if key not in places:
                raise StepsChanged(
                    f"{self.name} no longer has step {key!r}, which the process has committed; "
                    f"bring the step back under this name, or abort the process."
                )
            if reached.is_past(places[key]):
                raise StepsChanged(
                    f"{self.name} has its step {key!r} at another place than when the process committed it; "
                    f"restore the order, or abort the process."
                )
            reached.add(places[key])


class _Progress:
    """The last position reached, outside of branches and in each of them."""

    def __init__(self) -> None:
        self._positions: dict[Branch | None, int] = {}

    def add(self, step: LedgerStep) -> None:
        self._positions[step.branch] = max(step.position, self._positions.get(step.branch, -1))

    def is_past(self, step: LedgerStep) -> bool:
        """Whether a recorded step comes after this one."""
        return any(
            position > step.position and not (branch and branch.is_beside(step.branch))
            for branch, position in self._positions.items()
        )
