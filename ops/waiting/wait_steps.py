"""Steps that wait: for a person, an external system, a time. Nothing runs while they do."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import ConfigDict, Field

from ops.steps.arguments import check_arguments
from ops.steps.context import StepContext
from ops.steps.forms import Form, SubmitFormPage
from ops.steps.step import (
    Callback,
    OnTimeout,
    RetryRule,
    Step,
    StepFunction,
    StepGroup,
    StepList,
    key_of,
    step,
    step_group,
)
from resources import clock
from resources.declaring import declares
from resources.errors import CallbackNotRequested, StateError, TimedOut, WorkflowDeclarationError
from resources.processes import ledger, waits
from resources.processes.waits import Wait, WaitKind
from resources.types import Assignee, State, StepStatus

LONGEST = timedelta(days=36_500)
"""Longer times are slips, and soon beyond the calendar."""

# --- for a person ---


@declares
def inputstep(
    label: str,
    assignee: Assignee,
    *,
    resume_auth_callback: Callable[..., Any] | None = None,
    retry_auth_callback: Callable[..., Any] | None = None,
) -> Callable[[Form], Step]:
    """Make a form a step: the process is suspended until a person fills the form, whose result is merged into the
    state.

    The form may read the database, and its parameters come from the state, as a step's do; it must have no effects,
    since it runs whenever somebody looks at it. Models in its result are saved.
    """

    def decorate(form: Form) -> Step:
        if not isinstance(form, type):
            check_arguments(form)  # an unreadable form is refused now, not when it is filled

        def suspend() -> Wait:
            return Wait(WaitKind.INPUT, assignee=assignee)

        return Step(
            key_of(form),
            label,
            suspend,
            form=form,
            assignee=assignee,
            resume_auth_callback=resume_auth_callback,
            retry_auth_callback=retry_auth_callback,
        )

    return decorate


# --- for a retry ---


def _check_lengths(label: str, **lengths: timedelta | None) -> None:
    """Refuse a time that would be beyond the calendar when it begins to run."""
    for name, length in lengths.items():
        if length is not None and length > LONGEST:
            raise WorkflowDeclarationError(
                f"{label!r}: {name} is longer than {LONGEST.days:,} days; give a shorter time."
            )


@declares
def retrystep(
    label: str,
    *,
    quick_tries: int = 2,
    first_pause: timedelta = timedelta(minutes=1),
    longest_pause: timedelta = timedelta(hours=1),
    attempts: int | None = None,
    retry_auth_callback: Callable[..., Any] | None = None,
) -> Callable[[StepFunction], Step]:
    """Make a function a step that is retried when it fails: for an external system that may be unavailable.

    First `quick_tries` times within its run; then the process is `waiting`, and retries after `first_pause`; each
    back-off is twice the last, up to `longest_pause`. People see why it waits, and may retry it at once, or abort it.
    After `attempts` attempts the process fails; without a limit it never does by itself.
    """
    _check_lengths(label, first_pause=first_pause, longest_pause=longest_pause)
    rule = RetryRule(quick_tries=quick_tries, first_pause=first_pause, longest_pause=longest_pause, attempts=attempts)
    if quick_tries < 0 or first_pause <= timedelta() or longest_pause < first_pause or (attempts or 1) < 1:
        raise WorkflowDeclarationError(
            f"The retry step {label!r} needs quick_tries of 0 or more, attempts of 1 or more, and "
            "0 < first_pause <= longest_pause."
        )

    def decorate(function: StepFunction) -> Step:
        return replace(step(label, retry_auth_callback=retry_auth_callback)(function), retry=rule)

    return decorate


# --- for a time ---


@declares
def wait_until(when: str | Callable[[State], datetime], label: str = "", *, name: str = "") -> Step:
    """Make a step that waits until a moment: a key of the state (ISO 8601, with its zone), or a function of the state.

    It does not wait for a moment in the past.
    """
    key = name or f"wait_until_{when if isinstance(when, str) else key_of(when)}"

    def wait(state: State) -> Wait | None:
        moment = _moment(when, state)
        if clock.now() >= moment:
            return None
        return Wait(WaitKind.TIME, deadline=moment, reason=f"Continues at {moment.isoformat(timespec='seconds')}.")

    return Step(key, label or key.replace("_", " ").capitalize(), wait)


def _moment(when: str | Callable[[State], datetime], state: State) -> datetime:
    found = state.get(when) if isinstance(when, str) else when(state)
    try:
        moment = found if isinstance(found, datetime) else datetime.fromisoformat(str(found))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise StateError(f"{found!r} is no moment to wait until; expected a date and time with a zone, ISO 8601.")
    return moment


# --- for an external system that can be asked ---


@declares
def poll_step(
    label: str, *, every: timedelta, deadline: timedelta | None = None, retry_auth_callback: Any = None
) -> Callable[[StepFunction], Step]:
    """Make a check a step that polls until the check succeeds.

    The check returns a mapping (or True) for success: that is merged into the state and the process continues. For None
    or False the process waits, and checks again after `every`. After `deadline`, counted from the first check, it
    fails.
    """
    _check_lengths(label, every=every, deadline=deadline)
    if every <= timedelta():
        raise WorkflowDeclarationError(f"The poll step {label!r} needs an interval above zero.")

    def interpret(found: Any, context: StepContext) -> Any:
        if found is True or (found is not None and found is not False):
            return None if found is True else found
        began = waits.first_of_step(context.process_id, context.step_key) or clock.now()
        if deadline is not None and clock.now() >= began + deadline:
            raise TimedOut(f"{label}: the check has not succeeded within {deadline}.")
        return Wait(WaitKind.POLL, deadline=clock.now() + every, reason=f"Checked every {every}.")

    def decorate(check: StepFunction) -> Step:
        return replace(step(label, retry_auth_callback=retry_auth_callback)(check), interpret=interpret)

    return decorate


# --- for an external system that calls back ---


class LateCallbackForm(SubmitFormPage):
    """A person's decision about an overdue callback."""

    model_config = ConfigDict(title="The callback is overdue")
    decision: Literal["wait", "retry", "fail"] = Field(
        description="wait as long again, retry the action, or fail the process"
    )


@declares
def callback_step(
    name: str,
    action_step: Step,
    validate_step: Step,
    *,
    result_key: str = "callback_result",
    callback_route_key: str = "callback_route",
    timeout: timedelta | float | None = None,
    on_timeout: OnTimeout | Literal["fail", "retry", "ask"] = OnTimeout.FAIL,
    retries: int = 3,
) -> StepGroup:
    """Make a group of steps: request something from an external system, wait for its callback, validate the answer.

    The action gets the callback path as the parameter `callback_route_key`; it is valid for one answer and stored
    nowhere. An answer that arrives before the action has ended is kept. The answer is merged into the state as
    `result_key`, where the validation finds it.

    `timeout` (a timedelta, or seconds) is counted from the end of the action. Then the process fails; or the action is
    retried, at most `retries` times; or a person is asked. Without a timeout the process waits for ever.
    """
    if isinstance(timeout, timedelta) or timeout is None:
        limit = timeout
    else:  # not a number, or infinite, is longer than anything
        limit = timedelta(seconds=max(timeout, 0)) if timeout <= LONGEST.total_seconds() else timedelta.max
    _check_lengths(name, timeout=limit)
    if limit is not None and limit <= timedelta():
        raise WorkflowDeclarationError(f"The callback {name!r} needs a timeout above zero.")
    callback = Callback(
        action=action_step.key,
        waiting=f"await_{action_step.key}",
        result_key=result_key,
        route_key=callback_route_key,
        timeout=limit,
        on_timeout=OnTimeout(on_timeout),
        retries=retries,
    )
    waiting = Step(
        callback.waiting,
        "Await the callback",
        _awaiting(callback),
        form=LateCallbackForm if callback.on_timeout is OnTimeout.ASK else None,
        callback=callback,
        is_held=True,
    )
    return step_group(name, StepList([replace(action_step, callback=callback), waiting, validate_step]))


def _awaiting(callback: Callback) -> StepFunction:
    def await_callback(context: StepContext) -> State | Wait:
        process_id, key = context.process_id, context.step_key
        if (found := waits.find_answer(process_id, key)) is not None:
            waits.close(process_id, by=context.user, steps=[key])  # its other tokens become invalid
            return {callback.result_key: (found.answer or {})["result"]}
        if ledger.status_of(process_id, key) is StepStatus.AWAITING_CALLBACK and waits.is_late(process_id, key):
            return _late(callback)
        if not waits.find_open(process_id, key):
            raise CallbackNotRequested(_not_requested(callback, context))
        return Wait(WaitKind.CALLBACK, deadline=clock.now() + callback.timeout if callback.timeout else None)

    return await_callback


def _not_requested(callback: Callback, context: StepContext) -> str:
    """Without an open token no callback can arrive, so waiting would never end."""
    action = ".".join((*context.step_key.split(".")[:-1], callback.action))
    return (
        f"No callback was requested, since {action!r} was skipped or its answer was discarded. Send the process "
        f"back to {action!r}, or skip this step and give {callback.result_key!r} yourself."
    )


def _late(callback: Callback) -> Wait:
    message = f"No callback within {callback.timeout}."
    if callback.on_timeout is OnTimeout.ASK:
        return Wait(WaitKind.INPUT, assignee=Assignee.NOC, reason=message)
    raise TimedOut(message)
