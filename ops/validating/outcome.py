"""What an error of a validation means: drift, a system that did not answer, or a validation that broke."""

from collections.abc import Mapping
from typing import Any

from ops.steps.failure_words import details_of, reason_of
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


def differences_of(error: BaseException) -> list[dict[str, Any]]:
    """The differences that DriftFound lists, as they are kept; of other details, or none, its sentence is the one."""
    if not isinstance(error, DriftFound):
        return []
    return listed_differences(details_of(error)) or [_difference({"found": reason_of(error)})]


def listed_differences(details: Any) -> list[dict[str, Any]]:
    """The differences in the details of an error: each mapping with a `path`, alone or in a list."""
    rows = details if isinstance(details, list) else [details]
    return [_difference(row) for row in rows if isinstance(row, Mapping) and "path" in row]


def _difference(row: Mapping[str, Any]) -> dict[str, Any]:
    path, severity = str(row.get("path", "")), row.get("severity")
    return {
        "system": str(row.get("system") or path.partition(".")[0]),
        "path": path,
        "expected": row.get("expected"),
        "found": row["found"] if "found" in row else row.get("actual"),
        "severity": severity if severity in SEVERITIES else SEVERITIES[0],
    }
