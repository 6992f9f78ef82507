"""The metadata of an op about its step: the audit trail in Dagster's UI."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from dagster import MetadataValue, TableColumn, TableRecord, TableSchema

from ops.steps.failure_words import details_of
from ops.steps.state import Delta, masked
from ops.steps.step import Step
from ops.validating.outcome import listed_differences, system_asked_by
from resources.domain.saving.changes import Difference, SubscriptionChange
from resources.errors import DriftFound
from resources.types import StepStatus

CHANGE_COLUMNS = ("value", "before", "after")
LARGEST = 64 * 1024
"""The most bytes of the state in one event: Dagster's page loads all events of a run, and nobody reads more there."""
MOST_ROWS, LONGEST_CELL, MOST_NAMES = 200, 300, 10


def step_metadata(
    process_id: UUID,
    delta: Delta,
    changes: Iterable[SubscriptionChange] = (),
    seconds: float = 0.0,
    status: StepStatus = StepStatus.SUCCESS,
    about: Mapping[str, Any] | None = None,
) -> dict[str, MetadataValue[Any]]:
    """A committed step: its change of state without secrets, its duration, the difference of each subscription.

    `about` is what else is shown: texts, numbers, which Dagster plots, and lists of mappings, as tables.
    What is too large for an event is left out, and named.
    """
    changes = tuple(changes)
    saved = {str(change.subscription_id) for change in changes}
    visible = {key: value for key, value in delta.set.items() if not _is_dump_of(value, saved)}
    metadata: dict[str, MetadataValue[Any]] = {
        "process": MetadataValue.text(str(process_id)),
        **{key: _shown(value) for key, value in (about or {}).items() if value is not None},
        "status": MetadataValue.text(status.value),
        "duration (s)": MetadataValue.float(round(seconds, 4)),
    }
    visible, left_out = _fitting(masked(visible))
    if visible:
        metadata["state set"] = MetadataValue.json(visible)
    if left_out:
        text = f"{left_out}; `orchestrator process show {process_id} --json` has everything"
        metadata["state set, too large for this page"] = MetadataValue.text(text)
    if delta.removed:
        metadata["state removed"] = MetadataValue.json(delta.removed)
    for change in changes:
        metadata[f"subscription {change.subscription_id}"] = difference_table(change.difference())
    return metadata


def failure_metadata(error: BaseException, step: Step | None = None) -> dict[str, MetadataValue[Any]]:
    """A failed step: the differences of a validation as a table, or the error's details."""
    details = details_of(error)
    if not details:
        return {}
    system = system_asked_by(step) if step is not None else ""
    if isinstance(error, DriftFound) and (found := listed_differences(details, system)):
        return {"differences": _table_of(found)}
    if isinstance(details, list) and all(isinstance(row, dict) for row in details):
        return {"details": _table_of(details)}
    fits, left_out = _fitting(details if isinstance(details, dict) else {"details": details})
    return {"details": MetadataValue.json({**fits, "too large for this page": left_out} if left_out else details)}


def _fitting(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The values that fit into an event, the small ones first; and which do not."""
    sizes = {key: len(json.dumps(value)) + len(key) for key, value in values.items()}
    left, kept = LARGEST, set()
    for key in sorted(sizes, key=sizes.__getitem__):
        left -= sizes[key]
        if left < 0:
            break
        kept.add(key)
    large = [f"{key} ({size:,} bytes)" for key, size in sizes.items() if key not in kept]
    more = [f"and {len(large) - MOST_NAMES} more"] if len(large) > MOST_NAMES else []
    return {key: value for key, value in values.items() if key in kept}, ", ".join([*large[:MOST_NAMES], *more])


def _shown(value: Any) -> MetadataValue[Any]:
    if isinstance(value, list):
        return _table_of(value)
    return MetadataValue.int(value) if isinstance(value, int) else MetadataValue.text(str(value))


def _table_of(rows: Sequence[Mapping[str, Any]]) -> MetadataValue[Any]:
    columns = list(dict.fromkeys(key for row in rows[:MOST_ROWS] for key in row))
    return table(columns, [[row.get(key) for key in columns] for row in rows])


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> MetadataValue[Any]:
    """A table for people: long cells are cut, rows that are left out are counted."""
    records = [TableRecord(dict(zip(columns, map(_cell, row), strict=True))) for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        more = [f"and {len(rows) - MOST_ROWS} more", *[""] * len(columns)][: len(columns)]
        records.append(TableRecord(dict(zip(columns, more, strict=True))))
    return MetadataValue.table(records, schema=TableSchema(columns=[*map(TableColumn, columns)]))


def _is_dump_of(value: Any, saved: set[str]) -> bool:
    """A model in the state would repeat the subscription's difference at length."""
    return isinstance(value, dict) and value.get("subscription_id") in saved


def difference_table(rows: Iterable[Difference]) -> MetadataValue[Any]:
    """A subscription's values before and after."""
    return table(CHANGE_COLUMNS, [[row["path"], row["before"], row["after"]] for row in rows])


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]} … ({len(text):,} characters)"
