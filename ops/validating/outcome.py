"""What an error of a validation means: drift, a system that did not answer, or a validation that broke."""

from collections.abc import Mapping
from typing import Any

from ops.steps.arguments import arguments_of
from ops.steps.failure_words import details_of, reason_of
from ops.steps.step import Step
from resources.errors import DriftFound, ExternalSystemUnavailable
from resources.types import ValidationResult

SEVERITIES = ("error", "warning")
NO_ANSWER = (ExternalSystemUnavailable, ConnectionError, TimeoutError)
"""An external system did not answer: ours say so, and clients of an organisation's own may raise Python's."""


def result_of_error(error: BaseException) -> ValidationResult:
    """The result of a validation that ended with this error."""
    if isinstance(error, DriftFound):
        return ValidationResult.DRIFTED
    return ValidationResult.UNREACHABLE if isinstance(error, NO_ANSWER) else ValidationResult.FAILED


def differences_of(error: BaseException, step: Step | None = None) -> list[dict[str, Any]]:
    """The differences that DriftFound lists, as they are kept; of other details, or none, its sentence is the one.

    One that does not name its system is of the one that the step asks, or else of the first part of its path.
    """
    if not isinstance(error, DriftFound):
        return []
    system = system_asked_by(step) if step is not None else ""
    return listed_differences(details_of(error), system) or [_difference({"found": reason_of(error)}, system)]


def listed_differences(details: Any, system: str = "") -> list[dict[str, Any]]:
    """The differences in the details of an error: each mapping with a `path`, alone or in a list."""
    rows = details if isinstance(details, list) else [details]
    return [_difference(row, system) for row in rows if isinstance(row, Mapping) and "path" in row]


def system_asked_by(step: Step) -> str:
    """The name of the resource that a step takes, apart from the database; empty if there is none, or several."""
    steps = (step, *(step.each.steps if step.each else ()))
    asked = {key for one in steps for key in arguments_of(one.function).resource_keys} - {"database"}
    return asked.pop() if len(asked) == 1 else ""


def _difference(row: Mapping[str, Any], system: str) -> dict[str, Any]:
    path, severity = str(row.get("path", "")), row.get("severity")
    place, dot, _ = path.partition(".")
    return {
        "system": str(row.get("system") or system or (place if dot else "")),
        "path": path,
        "expected": row.get("expected"),
        "found": row["found"] if "found" in row else row.get("actual"),
        "severity": severity if severity in SEVERITIES else SEVERITIES[0],
    }
