"""Steps and lists of steps: the words in which a workflow is written."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeAlias, overload

from ops.context import StepContext
from resources import locks
from resources.errors import WorkflowDeclarationError
from resources.types import Assignee, ProcessId, State, StepKey, StepStatus

LONGEST_NAME, LONGEST_LABEL = 100, 120
"""In characters; a step in a group bears both names, and the ledger keeps 255."""

StepFunction: TypeAlias = Callable[..., Any]
Predicate: TypeAlias = Callable[[State], bool]


@dataclass(frozen=True, slots=True)
class When:
    """Skip the step unless the predicate holds; it sees the state at this level."""

    predicate: Predicate


@dataclass(frozen=True, slots=True)
class Lens:
    """Run the step on a part of the state and put its result back there."""

    get: Callable[[State], State]
    put: Callable[[State, State], State]


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How a step is tried again that failed: a few times at once inside its run, then in ever longer pauses outside.

    `attempts`: how often it is tried with pauses between, before the process fails; None: for ever.
    """

    quick_tries: int = 2
    quick_pause: timedelta = timedelta(seconds=0.5)
    first_pause: timedelta = timedelta(minutes=1)
    longest_pause: timedelta = timedelta(hours=1)
    attempts: int | None = None

    def pause(self, attempts: int) -> timedelta:
        """How long to wait after so many attempts; each pause is twice the last."""
        doublings: int = 2 ** min(max(attempts - 1, 0), 20)  # beyond that any pause is the longest
        return min(self.first_pause * doublings, self.longest_pause)


class OnTimeout(StrEnum):
    """What becomes of a process whose callback has not come in time."""

    FAIL = "fail"
    RETRY = "retry"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Callback:
    """What the steps of a callback have to know of one another; the same in each of them.

    `action` and `waiting` are the keys of two of them in their group. The answer goes to the state as `result_key`; the
    action finds where to send the external system under `route_key`.
    """

    action: StepKey
    waiting: StepKey
    result_key: str
    route_key: str
    timeout: timedelta | None = None
    on_timeout: OnTimeout = OnTimeout.FAIL
    retries: int = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work, one database transaction, one Dagster op.

    `key` is its identity in the ledger: it comes from the function's name and never from `label`, which may change
    freely. `wrappers` are the conditions and lenses around it, outermost first. `effect` is what the engine does to its
    own rows in the step's transaction, once the process is held. `form` is what a person is asked when the step waits
    for input. `retry` makes the process wait instead of fail. `judge` says what the function's result means, given the
    step's context. `callback` is what the steps of a callback know of one another. `is_held`: the function runs with
    the process's row taken, so that nobody changes what it looks at.
    """

    key: StepKey
    label: str
    function: StepFunction
    wrappers: tuple[When | Lens, ...] = ()
    effect: Callable[[ProcessId], None] | None = None
    outcome: StepStatus = StepStatus.SUCCESS
    form: Any = None
    assignee: Assignee = Assignee.SYSTEM
    retry: RetryRule | None = None
    judge: Callable[[Any, StepContext], Any] | None = None
    callback: Callback | None = None
    is_held: bool = False
    resume_auth_callback: Callable[..., Any] | None = None
    retry_auth_callback: Callable[..., Any] | None = None

    def __rshift__(self, other: "Step | StepGroup | StepList") -> "StepList":
        return StepList([self]) >> other


@dataclass(frozen=True, slots=True)
class StepGroup:
    """Steps that a reader sees as one; each is still committed on its own, so a failed group goes on inside."""

    key: StepKey
    label: str
    steps: "StepList"

    def __rshift__(self, other: "Step | StepGroup | StepList") -> "StepList":
        return StepList([self]) >> other


class StepList(tuple["Step | StepGroup", ...]):
    """An ordered list of steps; `a >> b` puts one behind the other."""

    __slots__ = ()

    def __new__(cls, steps: "Iterable[Step | StepGroup]" = ()) -> "StepList":
        return super().__new__(cls, steps)

    def __rshift__(self, other: Any) -> "StepList":
        if isinstance(other, Step | StepGroup):
            return StepList((*self, other))
        if isinstance(other, StepList):
            return StepList((*self, *other))
        raise WorkflowDeclarationError(
            f"`>>` takes a step or a list of steps, not {type(other).__name__} {other!r}; "
            "is it decorated with @step(…)?"
        )

    @overload  # type: ignore[override]
    def __getitem__(self, index: int) -> "Step | StepGroup": ...
    @overload
    def __getitem__(self, index: slice) -> "StepList": ...
    def __getitem__(self, index: int | slice) -> "Step | StepGroup | StepList":
        found = super().__getitem__(index)
        return StepList(found) if isinstance(index, slice) else found  # type: ignore[arg-type, return-value]

    def wrap(self, wrapper: When | Lens) -> "StepList":
        """Put a condition or lens around every step of the list, groups included."""
        return StepList(_wrapped(item, wrapper) for item in self)


def _wrapped(item: "Step | StepGroup", wrapper: When | Lens) -> "Step | StepGroup":
    if isinstance(item, StepGroup):
        return replace(item, steps=item.steps.wrap(wrapper))
    return replace(item, wrappers=(wrapper, *item.wrappers))


def as_steps(item: "Step | StepGroup | StepList") -> StepList:
    """Take a step for the list that holds it. Raises WorkflowDeclarationError for what is no step."""
    return StepList() >> item


def key_of(function: Callable[..., Any]) -> StepKey:
    """Derive a step's key from its function; a lambda has no name to derive it from."""
    name = getattr(function, "__name__", "")
    if not (name.isidentifier() and name.isascii() and len(name) <= LONGEST_NAME):
        raise WorkflowDeclarationError(
            f"A step needs a function with a name, which is the step's identity: ASCII letters, digits and "
            f"underscores, at most {LONGEST_NAME}; not {name or function!r}."
        )
    return name


def step(
    label: str,
    *,
    retry_auth_callback: Callable[..., Any] | None = None,
) -> Callable[[StepFunction], Step]:
    """Make a function a step. Its parameters are taken from the state by name and annotation; the mapping it returns is
    merged into the state, and every subscription model in it is saved, in one transaction with the step's record."""

    if len(label) > LONGEST_LABEL:
        raise WorkflowDeclarationError(f"The label {label[:40]!r}… has {len(label)} characters; {LONGEST_LABEL} fit.")

    def decorate(function: StepFunction) -> Step:
        return Step(key_of(function), label, function, retry_auth_callback=retry_auth_callback)

    return decorate


def step_group(label: str, steps: "Step | StepList", *, key: StepKey | None = None) -> StepGroup:
    """Show steps as one. Its key is that of its first step with `_group` behind it, unless `key` names another."""
    members = as_steps(steps)
    if not members:
        raise WorkflowDeclarationError(f"The step group {label!r} has no steps.")
    return StepGroup(key or f"{members[0].key}_group", label, members)


def conditional(predicate: Predicate) -> "Callable[[Step | StepGroup | StepList], StepList]":
    """Run steps only if `predicate(state)` holds, asked anew before each; otherwise they are recorded as skipped."""

    def apply(item: "Step | StepGroup | StepList") -> StepList:
        return as_steps(item).wrap(When(predicate))

    return apply


def steplens(
    get: Callable[[State], State], put: Callable[[State, State], State]
) -> "Callable[[Step | StepGroup | StepList], StepList]":
    """Run steps on the part of the state that `get` finds; `put(state, part)` returns the state with the part back."""

    def apply(item: "Step | StepGroup | StepList") -> StepList:
        return as_steps(item).wrap(Lens(get, put))

    return apply


def focussteps(key: str) -> "Callable[[Step | StepGroup | StepList], StepList]":
    """Run steps on the mapping under one key of the state (an empty one if the key is missing)."""
    return steplens(lambda state: state.get(key) or {}, lambda state, part: {**state, key: part})


@dataclass(frozen=True, slots=True)
class LedgerStep:
    """A step in its place in a workflow. `key` is unique there; in a group it is `group.step`, as Dagster names it."""

    key: StepKey
    position: int
    step: Step
    path: tuple[str, ...]
    group: StepGroup | None = None

    def beside(self, name: str) -> StepKey:
        """The key of another step of the same group."""
        return ".".join((*self.path[:-1], name))

    @property
    def label(self) -> str:
        """What people read: the group's label and the step's."""
        return f"{self.group.label}: {self.step.label}" if self.group else self.step.label


@dataclass(slots=True)
class _Names:
    """Makes names unique in order: a, a_2, a_3."""

    taken: dict[str, int] = field(default_factory=dict)

    def unique(self, name: str) -> str:
        count = self.taken[name] = self.taken.get(name, 0) + 1
        return name if count == 1 else self.unique(f"{name}_{count}")


def enumerate_steps(steps: StepList) -> Iterator[LedgerStep]:
    """Number the steps of a workflow and give each its key; a step used twice gets `_2` behind its key."""
    names = _Names()
    position = 0
    for item in steps:
        name = names.unique(item.key)
        if isinstance(item, Step):
            yield LedgerStep(name, position, item, (name,))
            position += 1
            continue
        inner = _Names()
        for member in item.steps:
            if isinstance(member, StepGroup):
                raise WorkflowDeclarationError(
                    f"The step group {item.label!r} holds another group; groups do not nest."
                )
            path = (name, inner.unique(member.key))
            yield LedgerStep(".".join(path), position, member, path, item)
            position += 1


begin = StepList()
"""The empty list: where a chain of steps starts."""


def start() -> None:
    """Check, create the process and take the subscription: the engine does it."""


def finish() -> None:
    """Complete the process and let go of what it still holds: the engine does it."""


def _let_go(process_id: ProcessId) -> None:
    locks.release(process_id, in_sync=False)


init = Step("start", "Start", start)
"""The first step of every workflow."""

done = Step("done", "Done", finish, effect=_let_go, outcome=StepStatus.COMPLETE)
"""The last step of every workflow."""
