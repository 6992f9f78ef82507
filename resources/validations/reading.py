"""What validations have found about a subscription: the newest result, and the history. Secrets are masked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from resources import clock
from resources.database.fleet_tables import Result, ValidationHistoryTable, ValidationTable
from resources.database.session import current_session
from resources.database.tables import SubscriptionTable
from resources.errors import StartRefused, UnknownSubscription
from resources.secrecy import redacted
from resources.types import ProcessId, SubscriptionId, ValidationResult

NAMES = (
    "workflow",
    "result",
    "reason",
    "severity",
    "differences",
    "version",
    "process_id",
    "run_id",
    "finished_at",
    "seconds",
)
REASON = "validation.not_answerable"
"""The key of the reason, for clients."""


@dataclass(frozen=True, slots=True)
class FoundResult:
    """What a validation found; `version` is that of the subscription which it compared."""

    subscription_id: SubscriptionId
    workflow: str | None
    result: ValidationResult | None
    reason: str | None
    severity: str | None
    differences: list[dict[str, Any]]
    version: int | None
    process_id: ProcessId | None
    run_id: str | None
    finished_at: datetime | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class NewestResult(FoundResult):
    """The newest result, and the subscription's `insync` and version now; without a `result` it was never validated."""

    due_at: datetime | None
    insync: bool
    present_version: int

    @property
    def age(self) -> float | None:
        """Seconds since then."""
        return None if self.finished_at is None else (clock.now() - self.finished_at).total_seconds()

    @property
    def why_not_answerable(self) -> str:
        """Why there is nothing to answer, as a sentence; empty when it is drift and still stands."""
        named = f"Subscription {self.subscription_id}"
        if self.result is None:
            return f"{named} was never validated, so there is no drift to answer."
        if self.result != ValidationResult.DRIFTED:
            return f"{named} has {self.result} at its newest validation, so there is no drift to answer."
        if self.version != self.present_version:
            return (
                f"{named} has changed since its newest validation, which compared version {self.version}: it is at "
                f"version {self.present_version}. Validate it again."
            )
        is_answered = f"{named} was put in sync after its newest validation had found drift. Validate it again."
        return is_answered if self.insync else ""

    def check_answerable(self) -> None:
        """Raise StartRefused when there is nothing to answer."""
        if why := self.why_not_answerable:
            raise StartRefused(why, reason=REASON)


@dataclass(frozen=True, slots=True)
class PastResult(FoundResult):
    """A result in the history; `created_by` is who started the validation."""

    created_by: str | None


def newest_result(subscription_id: SubscriptionId) -> NewestResult:
    """The newest result. Raises UnknownSubscription."""
    row = ValidationTable
    query = (
        sa.select(*_columns(row), row.due_at, SubscriptionTable.insync, SubscriptionTable.version)
        .select_from(SubscriptionTable)
        .outerjoin(row, row.subscription_id == SubscriptionTable.subscription_id)
        .where(SubscriptionTable.subscription_id == subscription_id)
    )
    found = current_session().execute(query).one_or_none()
    if found is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    return NewestResult(subscription_id, *_masked(found))


def past_results(subscription_id: SubscriptionId, *, limit: int, offset: int = 0) -> list[PastResult]:
    """The history, the newest first; as far back as the retention keeps it."""
    row = ValidationHistoryTable
    query = sa.select(*_columns(row), row.created_by).where(row.subscription_id == subscription_id)
    query = query.order_by(row.finished_at.desc(), row.history_id.desc()).limit(limit).offset(offset)
    return [PastResult(subscription_id, *_masked(found)) for found in current_session().execute(query)]


def count_results(subscription_id: SubscriptionId) -> int:
    """How many results the history has."""
    row = ValidationHistoryTable
    query = sa.select(sa.func.count()).select_from(row).where(row.subscription_id == subscription_id)
    return current_session().scalar(query) or 0


def _columns(table: type[Result]) -> list[Any]:
    return [getattr(table, name) for name in NAMES]


def _masked(row: sa.Row[*tuple[Any, ...]]) -> list[Any]:
    values = list(row)
    at = NAMES.index("differences")
    values[at] = redacted(values[at] or [])
    return values
