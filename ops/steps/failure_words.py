"""Failures in words: whatever an exception does when it is asked for them, reading one never raises."""

import traceback
from typing import Any

from dagster import DagsterExecutionInterruptedError

from ops.steps.state import readable
from resources.database.storable import storable
from resources.errors import REFUSALS
from resources.secrecy import redacted

TERMINATED = "The run was terminated during this step, which has been rolled back."
EXITED = "The step left Python with {}, and has been rolled back; raise an exception to fail it, or return."


def is_interrupt(error: BaseException) -> bool:
    """Whether the run was terminated from outside; anything else that leaves a step is the step's own failure."""
    return isinstance(error, KeyboardInterrupt | DagsterExecutionInterruptedError | GeneratorExit)


def reason_of(error: BaseException) -> str:
    """One line for people: the error's message, with its class where it is not our own."""
    text, name = _text_of(error), type(error).__name__
    if isinstance(error, SystemExit):
        return EXITED.format(f"sys.exit({text})")
    if is_interrupt(error):
        return TERMINATED
    if isinstance(error, REFUSALS) and text:
        return text
    return f"{name}: {text}" if text else name


def details_of(error: BaseException) -> Any:
    """The details of an error as JSON; other libraries have a method of this name."""
    try:
        details = getattr(error, "details", None)
    except BaseException:  # noqa: BLE001
        return None
    return None if callable(details) else redacted(readable(details))


def line_of(error: BaseException) -> Any:
    """An error as the ledger keeps it."""
    return {"class": type(error).__name__, "error": reason_of(error), "details": details_of(error)}


def traceback_of(error: BaseException) -> str:
    """The traceback of an error."""
    try:
        return str(redacted("".join(traceback.format_exception(error))))
    except BaseException:  # noqa: BLE001
        return "".join(traceback.format_tb(error.__traceback__))


def _text_of(error: BaseException) -> str:
    try:
        return str(redacted(storable(str(error)).strip()))
    except BaseException:  # noqa: BLE001
        return "it has no text"
