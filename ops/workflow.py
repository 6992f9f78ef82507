"""A workflow: its steps in order, its form, and the rules of its start."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from ops.forms import Form
from ops.step import LedgerStep, StepList, enumerate_steps
from resources.errors import StepsChanged
from resources.types import StepKey, Target
from resources.usability import UsabilityRule


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

    def left(self, committed: Collection[StepKey]) -> list[LedgerStep]:
        """The steps that are still to be done, in order.

        One that is new in the code before the last committed step is behind: its time has passed.
        """
        behind = max((step.position for step in self.ledger_steps if step.key in committed), default=-1)
        return [step for step in self.ledger_steps if step.position > behind]

    def check_fits(self, done: list[StepKey]) -> None:
        """Check that the steps that a process has committed still stand in this order before what is left.

        Steps that are new behind the last committed one simply run. Raises StepsChanged naming the step in the way.
        """
        rest = iter(self.step_keys)
        for key in done:
            if key not in self.step_keys:
                raise StepsChanged(
                    f"{self.name} has no step {key!r} any more, which the process has done; "
                    f"bring the step back under this name, or abort the process."
                )
            if key not in rest:
                raise StepsChanged(
                    f"{self.name} has its step {key!r} in another place than when the process did it; "
                    f"restore the order, or abort the process."
                )
