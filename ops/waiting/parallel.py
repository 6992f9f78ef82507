"""Parallel work: branches that fork and join, and the same steps for each item of a list."""

from collections.abc import Callable, Iterator
from typing import Any

from ops.steps.step import LONGEST_NAME, AnySteps, Each, Fork, Step, StepGroup, StepList, as_steps
from resources.declaring import LONGEST_LABEL, declares
from resources.errors import WorkflowDeclarationError

LONGEST_KEYS = 140
"""Characters: the keys of a step over a list and of a step in it together must fit the ledger."""


@declares
def parallel(*branches: AnySteps, name: str = "", label: str = "") -> Fork:
    """Fork into branches, each a step or a list of steps; what follows starts when all of them have ended.

    A step sees the state at the fork plus the changes of its own branch. At the join the changes are merged; two
    branches that have set a key to different values fail the process there. A branch that fails or waits stops the
    process; the others continue with it where they stopped. `name` is the key of the join.

    The steps of a run follow each other, whatever their branch: for concurrent work, start children.
    """
    parted = tuple(as_steps(branch) for branch in branches)
    if len(parted) < 2 or not all(parted):
        raise WorkflowDeclarationError(f"`parallel` takes two branches or more, each with a step; not {len(parted)}.")
    for step in (step for branch in parted for step in _steps_in(branch)):
        _check_own(step, "a branch, since the others still run")
    key = name or f"join_{next(_steps_in(parted[0])).key}"[:LONGEST_NAME]
    return Fork(parted, Step(key, label or "Join the branches", _join, is_join=True))


def _steps_in(items: StepList) -> Iterator[Step]:
    for item in items:
        if isinstance(item, Fork):
            raise WorkflowDeclarationError(f"A branch holds the branches of {item.key!r}; branches do not nest.")
        yield from _steps_in(item.steps) if isinstance(item, StepGroup) else [item]


def _check_own(step: Step, where: str) -> None:
    if step.effect is not None:
        raise WorkflowDeclarationError(
            f"{step.label!r} unlocks everything that the process holds; it cannot be in {where}."
        )


def _join() -> None:
    """Check that no two branches have set a key of the state to different values; the engine does it."""


@declares
def foreach(
    items: str,
    steps: AnySteps,
    *,
    as_: str = "item",
    results: str = "",
    name: str = "",
    label: str = "",
    retry_auth_callback: Callable[..., Any] | None = None,
) -> Step:
    """Make one step that does `steps` for each item of a list in the state, in order.

    A step finds its item under the name `as_`, beside the state and what the steps before it have set for this item.
    What they set goes into the list `results` of the state, a mapping per item; `<step>_results` by default.

    Each step of each item is a transaction, a line in the ledger (`step[3]`) and an idempotency key of its own: after a
    stop the step continues at that item. Only the item that failed is retried or skipped.
    """
    inner = tuple(_plain(item) for item in as_steps(steps))
    if not inner:
        raise WorkflowDeclarationError(f"`foreach` over {items!r} has no step to do for each item.")
    key = name or (inner[0].key if len(inner) == 1 else f"{inner[0].key}_each")
    label = label or inner[0].label
    if not as_.isidentifier() or as_ == items:
        raise WorkflowDeclarationError(f"`foreach` over {items!r} needs another name than {as_!r} for one item.")
    if len(label) > LONGEST_LABEL or any(len(key) + len(step.key) > LONGEST_KEYS for step in inner):
        raise WorkflowDeclarationError(
            f"The names of `foreach` over {items!r} are too long; the ledger cannot keep them."
        )
    return Step(
        key,
        label,
        _do_each,
        each=Each(items, as_, results or f"{key}_results", inner),
        retry_auth_callback=retry_auth_callback or _callback_of(inner, items),
    )


def _plain(item: Any) -> Step:
    """A step that is allowed in `foreach`."""
    if not isinstance(item, Step) or item.each is not None:
        raise WorkflowDeclarationError(
            f"`foreach` takes steps; {item.key!r} is a group, branches or a `foreach` itself. Start children for those."
        )
    if item.form is not None or item.is_held:
        raise WorkflowDeclarationError(f"{item.label!r} cannot be done for each item; put it before or after it.")
    _check_own(item, "a `foreach`, since other items follow")
    return item


def _callback_of(inner: tuple[Step, ...], items: str) -> Callable[..., Any] | None:
    """The retry callback of the steps, if they agree."""
    callbacks = {step.retry_auth_callback for step in inner if step.retry_auth_callback is not None}
    if len(callbacks) > 1:
        raise WorkflowDeclarationError(
            f"The steps of `foreach` over {items!r} differ in who may retry them; say it with `retry_auth_callback`."
        )
    return next(iter(callbacks), None)


def _do_each() -> None:
    """Do the steps for each item of the list; the engine does it."""
