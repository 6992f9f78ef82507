"""Whether a validation may run in a batch, where it has no process of its own: decided when it is declared."""

from collections.abc import Iterable
from typing import get_args, get_type_hints

from ops.steps.lifecycle_steps import store_process_subscription, unsync
from ops.steps.step import LedgerStep, Step
from resources.processes.waits import Wait

WRITES = (unsync.function, store_process_subscription.function)


def why_step_needs_process(places: Iterable[LedgerStep]) -> str | None:
    """The first step that only a process can do, and why; None when all are functions that run to their end."""
    for place in places:
        for step in (place.step, *(place.step.each.steps if place.step.each else ())):
            if why := _why(step):
                return f"its step {place.label!r} {why}"
    return None


def _why(step: Step) -> str | None:
    if step.callback is not None:
        return "waits for a callback"
    if step.form is not None:
        return "waits for a person's input"
    if step.retry is not None and step.retry.attempts != 1:
        return "waits before it is retried"
    if step.starts is not None:
        return "starts processes"
    if step.interpret is not None or step.is_held or _returns_wait(step):
        return "may wait"
    if step.effect is not None or step.function in WRITES:
        return "changes what belongs to its process"
    return None


def _returns_wait(step: Step) -> bool:
    try:
        returns = get_type_hints(step.function).get("return")
    except (NameError, TypeError):  # of an organisation's own, whose steps do not make waits
        return False
    return returns is Wait or Wait in get_args(returns)
