"""Steps and lists of steps, from which workflows are made."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from itertools import count
from typing import Any, TypeAlias, overload

from ops.steps.arguments import check_arguments
from ops.steps.context import StepContext
from resources.declaring import declares
from resources.errors import WorkflowDeclarationError
from resources.processes import ledger, locks, waits
from resources.types import Assignee, ProcessId, State, StepKey, StepStatus

LONGEST_NAME, LONGEST_KEY = 100, 120
"""Characters, of a function's name and of what is made of it; a step in a group has two, and the ledger stores 255."""


def _check_key(key: StepKey) -> None:
    if not (key.isidentifier() and key.isascii() and len(key) <= LONGEST_KEY):
        raise WorkflowDeclarationError(
            f"{key!r} is no name for a step: give ASCII letters, digits and underscores, at most {LONGEST_KEY}."
        )


StepFunction: TypeAlias = Callable[..., Any]
Predicate: TypeAlias = Callable[[State], bool]


@dataclass(frozen=True, slots=True)
class When:
    """Skip the step unless the predicate holds for the state at this level."""

    predicate: Predicate


@dataclass(frozen=True, slots=True)
class Lens:
    """Run the step on a part of the state and put its result back there."""

    get: Callable[[State], State]
    put: Callable[[State, State], State]


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How a failed step is retried: a few times at once inside its run, then with growing back-off outside.

    `attempts`: how many attempts with back-off before the process fails; None: no limit.
    """

    quick_tries: int = 2
    quick_pause: timedelta = timedelta(seconds=0.5)
    first_pause: timedelta = timedelta(minutes=1)
    longest_pause: timedelta = timedelta(hours=1)
    attempts: int | None = None

    def pause(self, attempts: int) -> timedelta:
        """The back-off after so many attempts; each is twice the last."""
        doublings: int = 2 ** min(max(attempts - 1, 0), 20)  # beyond that any pause is the longest
        return min(self.first_pause * doublings, self.longest_pause)


class OnTimeout(StrEnum):
    """What happens to a process whose callback is overdue."""

    FAIL = "fail"
    RETRY = "retry"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Callback:
    """What the steps of a callback share.

    `action` and `waiting` are the keys of two of them in their group. The answer goes to the state as `result_key`; the
    action gets the callback path as `route_key`.
    """

    action: StepKey
    waiting: StepKey
    result_key: str
    route_key: str
    timeout: timedelta | None = None
    on_timeout: OnTimeout = OnTimeout.FAIL
    retries: int = 3


@dataclass(frozen=True, slots=True)
class Each:
    """The steps for each item of a list.

    The list is `items` of the state; a step gets its item as `item`; the results go to the state as `results`.
    """

    items: str
    item: str
    results: str
    steps: "tuple[Step, ...]"


@dataclass(frozen=True, slots=True)
class Starts:
    """The workflow whose processes a step starts, and the function that finds their inputs in the state."""

    workflow: Any
    inputs: StepFunction


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work, one database transaction, one Dagster op.

    `key` is its identity in the ledger: it comes from the function's name and never from `label`, which may change
    freely. `wrappers` are the conditions and lenses around it, outermost first. `effect` changes the engine's own rows
    in the step's transaction, with the process's row locked. `form` is the form of an input step. `retry` makes the
    process wait instead of fail. `interpret` turns the function's result into the step's result. `callback` is shared
    by the steps of a callback. `is_held`: the function runs with the process's row locked, so that nothing changes what
    it reads. `is_join`: branches join here. `each` makes the step one over a list. `starts` says which children it
    starts. `needs` are the names of resources that it takes from its context, not by parameters.
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
    interpret: Callable[[Any, StepContext], Any] | None = None
    callback: Callback | None = None
    is_held: bool = False
    is_join: bool = False
    each: Each | None = None
    starts: Starts | None = None
    needs: frozenset[str] = frozenset()
    resume_auth_callback: Callable[..., Any] | None = None
    retry_auth_callback: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        _check_key(self.key)

    @property
    def name(self) -> str:
        """The label, as orchestrator-core calls it."""
        return self.label

    def __rshift__(self, other: "AnySteps") -> "StepList":
        return StepList([self]) >> other


class CallableStep(Step):
    """A step that is written with or without parentheses."""

    __slots__ = ()

    def __call__(self, workflow_target: Any = None) -> "CallableStep":
        return self


@dataclass(frozen=True, slots=True)
class StepGroup:
    """Steps that are shown as one; each is committed on its own, so a failed group continues inside.

    `retry_auth_callback` applies to each of its steps that has none.
    """

    key: StepKey
    label: str
    steps: "StepList"
    retry_auth_callback: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        _check_key(self.key)

    @property
    def name(self) -> str:
        """The label, as orchestrator-core calls it."""
        return self.label

    def __rshift__(self, other: "AnySteps") -> "StepList":
        return StepList([self]) >> other


@dataclass(frozen=True, slots=True)
class Fork:
    """Parallel branches, each a list of steps, and the step where they join."""

    branches: "tuple[StepList, ...]"
    join: Step

    @property
    def key(self) -> StepKey:
        """The key of the join, which identifies the fork."""
        return self.join.key

    def __rshift__(self, other: "AnySteps") -> "StepList":
        return StepList([self]) >> other


class StepList(tuple["Item", ...]):
    """An ordered list of steps; `a >> b` appends."""

    __slots__ = ()

    def __new__(cls, steps: "Iterable[Item]" = ()) -> "StepList":
        return super().__new__(cls, steps)

    def __rshift__(self, other: Any) -> "StepList":
        if isinstance(other, Step | StepGroup | Fork):
            return StepList((*self, other))
        if isinstance(other, StepList):
            return StepList((*self, *other))
        raise WorkflowDeclarationError(
            f"`>>` takes a step or a list of steps, not {type(other).__name__} {other!r}; "
            "is it decorated with @step(…)?"
        )

    @overload  # type: ignore[override]
    def __getitem__(self, index: int) -> "Item": ...
    @overload
    def __getitem__(self, index: slice) -> "StepList": ...
    def __getitem__(self, index: int | slice) -> "Item | StepList":
        found = super().__getitem__(index)
        return StepList(found) if isinstance(index, slice) else found  # type: ignore[arg-type, return-value]

    def wrap(self, wrapper: When | Lens) -> "StepList":
        """Put a condition or lens around every step of the list, groups and branches included."""
        return StepList(_wrapped(item, wrapper) for item in self)


Item: TypeAlias = Step | StepGroup | Fork
AnySteps: TypeAlias = Item | StepList
"""A list of steps, or one of its items."""


def _wrapped(item: Item, wrapper: When | Lens) -> Item:
    if isinstance(item, Fork):
        if isinstance(wrapper, Lens):
            raise WorkflowDeclarationError(
                f"A lens around the branches of {item.key!r} would make them all change one key; put it inside each."
            )
        # The join stays unconditional: it always checks the branches.
        return replace(item, branches=tuple(branch.wrap(wrapper) for branch in item.branches))
    if isinstance(item, StepGroup):
        return replace(item, steps=item.steps.wrap(wrapper))
    return replace(item, wrappers=(wrapper, *item.wrappers))


def as_steps(item: AnySteps) -> StepList:
    """A step as a list of one. Raises WorkflowDeclarationError for what is not a step."""
    return StepList() >> item


def key_of(function: Callable[..., Any], what: str = "step") -> StepKey:
    """Derive a key from a function; a lambda has no name to derive it from."""
    name = getattr(function, "__name__", "")
    if not (name.isidentifier() and name.isascii() and len(name) <= LONGEST_NAME):
        raise WorkflowDeclarationError(
            f"A {what} needs a function with a name, which is the {what}'s identity: ASCII letters, digits and "
            f"underscores, at most {LONGEST_NAME}; not {name or function!r}."
        )
    return name


@declares
def step(
    label: str,
    *,
    retry_auth_callback: Callable[..., Any] | None = None,
) -> Callable[[StepFunction], Step]:
    """Make a function a step. Its parameters come from the state by name and annotation; the mapping it returns is
    merged into the state, and every subscription model in it is saved, in one transaction with the step's record.
    """

    def decorate(function: StepFunction) -> Step:
        key = key_of(function)
        check_arguments(function)
        return Step(key, label, function, retry_auth_callback=retry_auth_callback)

    return decorate


@declares
def step_group(
    label: str,
    steps: "AnySteps",
    *,
    key: StepKey | None = None,
    retry_auth_callback: Callable[..., Any] | None = None,
) -> StepGroup:
    """Show steps as one. Its key is that of its first step plus `_group`, unless `key` is given."""
    members = as_steps(steps)
    if not members:
        raise WorkflowDeclarationError(f"The step group {label!r} has no steps.")
    return StepGroup(key or f"{members[0].key}_group", label, members, retry_auth_callback)


@declares
def conditional(predicate: Predicate) -> Callable[[AnySteps], StepList]:
    """Run steps only if `predicate(state)` holds, checked before each; otherwise they are recorded as skipped."""

    def apply(item: AnySteps) -> StepList:
        return as_steps(item).wrap(When(predicate))

    return apply


@declares
def steplens(get: Callable[[State], State], put: Callable[[State, State], State]) -> Callable[[AnySteps], StepList]:
    """Run steps on the part of the state that `get` finds; `put(state, part)` returns the state with the part back."""

    def apply(item: AnySteps) -> StepList:
        return as_steps(item).wrap(Lens(get, put))

    return apply


@declares
def focussteps(key: str) -> Callable[[AnySteps], StepList]:
    """Run steps on the mapping under one key of the state (an empty one if the key is missing)."""
    return steplens(lambda state: state.get(key) or {}, lambda state, part: {**state, key: part})


@dataclass(frozen=True, slots=True)
class Branch:
    """One of several branches: the key of the join, and its number, from 1."""

    join: StepKey
    number: int

    def is_beside(self, other: "Branch | None") -> bool:
        """Whether the two are different branches of one fork, so that neither precedes the other."""
        return other is not None and self.join == other.join and self.number != other.number


@dataclass(frozen=True, slots=True)
class LedgerStep:
    """A step at its place in a workflow. `key` is unique there; in a group it is `group.step`, as in Dagster."""

    key: StepKey
    position: int
    step: Step
    path: tuple[str, ...]
    group: StepGroup | None = None
    branch: Branch | None = None

    def beside(self, name: str) -> StepKey:
        """The key of another step of the same group."""
        return ".".join((*self.path[:-1], name))

    def precedes(self, other: "LedgerStep") -> bool:
        """Whether this step comes before the other; steps of different branches have no order."""
        is_beside = self.branch is not None and self.branch.is_beside(other.branch)
        return self.position < other.position and not is_beside

    def of_item(self, index: int) -> "list[LedgerStep]":
        """The steps of one item of a list, each with its own key: `step[3]`, or `step[3].inner`."""
        assert self.step.each is not None, "only such a step has items"
        names, steps = _Names(), self.step.each.steps
        keys = (
            [f"{self.key}[{index}]"]
            if len(steps) == 1
            else [f"{self.key}[{index}].{names.unique(inner.key)}" for inner in steps]
        )
        return [
            replace(self, key=key, step=replace(inner, label=f"{inner.label} [{index}]"))
            for key, inner in zip(keys, steps, strict=True)
        ]

    def places_of(self, key: StepKey) -> "list[LedgerStep]":
        """The steps of the item that a ledger key belongs to; empty for other keys."""
        index = ledger.index_of(key)
        return [] if index is None or self.step.each is None else self.of_item(index)

    @property
    def label(self) -> str:
        """The label of the group and the step."""
        return f"{self.group.label}: {self.step.label}" if self.group else self.step.label

    @property
    def name(self) -> str:
        """The label, as orchestrator-core calls it."""
        return self.label


@dataclass(slots=True)
class _Names:
    """Makes names unique in order: a, a_2, a_3."""

    taken: dict[str, int] = field(default_factory=dict)

    def unique(self, name: str) -> str:
        count = self.taken[name] = self.taken.get(name, 0) + 1
        return name if count == 1 else self.unique(f"{name}_{count}")


def enumerate_steps(steps: StepList) -> Iterator[LedgerStep]:
    """Number the steps of a workflow and give each its key; a step used twice gets `_2` appended.

    A step has the same key in a branch as outside: the branches of a fork follow each other, then comes the join.
    """
    names, positions = _Names(), count()
    for item in steps:
        if not isinstance(item, Fork):
            yield from _places(item, names, positions)
            continue
        join = names.unique(item.key)
        for number, branch in enumerate(item.branches, 1):
            for member in branch:
                yield from _places(member, names, positions, Branch(join, number))
        yield LedgerStep(join, next(positions), item.join, (join,))


def _places(item: Item, names: _Names, positions: Iterator[int], branch: Branch | None = None) -> Iterator[LedgerStep]:
    if isinstance(item, Fork):
        raise WorkflowDeclarationError(f"A branch holds the branches of {item.key!r}; branches do not nest.")
    name = names.unique(item.key)
    if isinstance(item, Step):
        yield LedgerStep(name, next(positions), item, (name,), branch=branch)
        return
    inner = _Names()
    for member in item.steps:
        if not isinstance(member, Step):
            what = "branches" if isinstance(member, Fork) else "another group"
            raise WorkflowDeclarationError(f"The step group {item.label!r} holds {what}; groups do not nest.")
        path = (name, inner.unique(member.key))
        yield LedgerStep(".".join(path), next(positions), member, path, item, branch)


begin = StepList()
"""The empty list: where a chain of steps starts."""


def start() -> None:
    """Check, create the process and lock the subscription; the engine does it."""


def finish() -> None:
    """Complete the process and unlock its subscriptions; the engine does it."""


def give_up() -> None:
    """Abort the process and unlock its subscriptions; the engine does it, and no later step runs."""


def _release(process_id: ProcessId) -> None:
    locks.release(process_id, in_sync=False)


def _abandon(process_id: ProcessId) -> None:
    waits.close(process_id, by="SYSTEM")
    _release(process_id)


init = Step("start", "Start", start)
"""The first step of every workflow."""

done = Step("done", "Done", finish, effect=_release, outcome=StepStatus.COMPLETE)
"""The last step of every workflow."""

abort = Step("abort", "Abort", give_up, effect=_abandon, outcome=StepStatus.ABORT)
"""Ends the process as aborted: `conditional(is_pointless)(abort)`."""
