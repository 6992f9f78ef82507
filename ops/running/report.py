"""The metadata of an op about its step: the audit trail in Dagster's UI."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from dagster import MetadataValue, TableColumn, TableRecord, TableSchema

from ops.steps.state import Delta, masked, readable
from resources.domain.saving.changes import SubscriptionChange
from resources.types import StepStatus

CHANGE_COLUMNS = TableSchema(columns=[TableColumn("value"), TableColumn("before"), TableColumn("after")])


def step_metadata(
    process_id: UUID,
    delta: Delta,
    changes: Iterable[SubscriptionChange] = (),
    seconds: float = 0.0,
    status: StepStatus = StepStatus.SUCCESS,
) -> dict[str, MetadataValue[Any]]:
    """A committed step: its change of state without secrets, its duration, the difference of each subscription."""
    changes = tuple(changes)
    saved = {str(change.subscription_id) for change in changes}
    visible = {key: value for key, value in delta.set.items() if not _is_dump_of(value, saved)}
    metadata: dict[str, MetadataValue[Any]] = {
        "process": MetadataValue.text(str(process_id)),
        "status": MetadataValue.text(status.value),
        "duration (s)": MetadataValue.float(round(seconds, 4)),
    }
    if visible:
        metadata["state set"] = MetadataValue.json(masked(visible))
    if delta.removed:
        metadata["state removed"] = MetadataValue.json(delta.removed)
    for change in changes:
        metadata[f"subscription {change.subscription_id}"] = _difference(change)
    return metadata


def failure_metadata(error: BaseException) -> dict[str, MetadataValue[Any]]:
    """A failed step: the error's details, as a table where they are a list of differences."""
    details = getattr(error, "details", None)
    if not details or callable(details):
        return {}
    details = readable(details)
    if isinstance(details, list) and all(isinstance(row, dict) for row in details):
        columns = list(dict.fromkeys(key for row in details for key in row))
        records = [TableRecord({key: _cell(row.get(key)) for key in columns}) for row in details]
        return {"details": MetadataValue.table(records, schema=TableSchema(columns=[*map(TableColumn, columns)]))}
    return {"details": MetadataValue.json(details)}


def _is_dump_of(value: Any, saved: set[str]) -> bool:
    """A model in the state would repeat the subscription's difference at length."""
    return isinstance(value, dict) and value.get("subscription_id") in saved


def _difference(change: SubscriptionChange) -> MetadataValue[Any]:
    records = [
        TableRecord({"value": str(row["path"]), "before": _cell(row["before"]), "after": _cell(row["after"])})
        for row in change.difference()
    ]
    return MetadataValue.table(records, schema=CHANGE_COLUMNS)


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
