"""The history of a subscription: what was changed, when, by whom and by which process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import ProcessTable, SubscriptionTable, SubscriptionVersionTable, WorkflowTable
from resources.domain.saving.authorship import Author
from resources.domain.saving.changes import Difference, difference
from resources.errors import UnknownSubscription
from resources.types import ProcessId, SubscriptionId


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A saved change; `difference` compares with the version before it, and for the first one lists all values."""

    version: int
    created_at: datetime
    created_by: str | None
    process_id: ProcessId | None
    workflow_name: str | None
    step_key: str | None
    reason: str | None
    difference: Sequence[Difference]


def read_history(subscription_id: SubscriptionId, *, limit: int | None = None, offset: int = 0) -> list[HistoryEntry]:
    """The newest changes first; empty for an unknown subscription."""
    # one more, with which the last shown is compared
    rows = _rows(subscription_id, sa.true(), limit=None if limit is None else limit + 1, offset=offset)
    before = (row.document for row in rows[1:])
    return [_entry(row, older) for row, older in zip_longest(rows, before)][:limit]


def _rows(
    subscription_id: SubscriptionId, condition: sa.ColumnElement[bool], *, limit: int | None, offset: int = 0
) -> Sequence[Any]:
    version = SubscriptionVersionTable
    query = (
        sa.select(
            version.version,
            version.created_at,
            version.created_by,
            version.process_id,
            WorkflowTable.name,
            version.step_key,
            version.reason,
            version.document,
        )
        .outerjoin(ProcessTable, ProcessTable.process_id == version.process_id)
        .outerjoin(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
        .where(version.subscription_id == subscription_id, condition)
        .order_by(version.version.desc())
        .limit(limit)
        .offset(offset)
    )
    return current_session().execute(query).all()


def count_history(subscription_id: SubscriptionId) -> int:
    """How many changes there were."""
    version = SubscriptionVersionTable
    query = sa.select(sa.func.count()).select_from(version).where(version.subscription_id == subscription_id)
    return current_session().scalar(query) or 0


def read_version(subscription_id: SubscriptionId, number: int) -> tuple[HistoryEntry, dict[str, Any]]:
    """Read a version, and the subscription as it was then, as `read_document` has it.

    Raises UnknownSubscription when there is no such version.
    """
    found = _rows(subscription_id, SubscriptionVersionTable.version <= number, limit=2)
    if not found or found[0].version != number:
        raise UnknownSubscription(f"There is no version {number} of subscription {subscription_id}.")
    before = found[1].document if len(found) > 1 else None
    return _entry(found[0], before), found[0].document


def write_reason(subscription_id: SubscriptionId, reason: str | None, author: Author, **values: Any) -> None:
    """Write a version with its author and reason, and these columns of the subscription.

    The document is that of the version before.
    """
    table = SubscriptionTable
    saved = (
        sa.update(table)
        .where(table.subscription_id == subscription_id)
        .values(**values, version=table.version + 1)
        .returning(table.subscription_id, table.version, table.document)
        .cte("saved")
    )
    noted = sa.select(
        saved.c.subscription_id,
        saved.c.version,
        saved.c.document,
        sa.literal(author.process_id, sa.Uuid()),
        sa.literal(author.step_key),
        sa.literal(author.user),
        sa.literal(reason, sa.String()),
    )
    columns = ["subscription_id", "version", "document", "process_id", "step_key", "created_by", "reason"]
    statement = sa.insert(SubscriptionVersionTable).from_select(columns, noted, include_defaults=False)
    current_session().execute(statement)


def read_document(subscription_id: SubscriptionId) -> dict[str, Any]:
    """The subscription as one JSON document, secrets masked; empty for an unknown one."""
    table = SubscriptionTable
    return current_session().scalar(sa.select(table.document).where(table.subscription_id == subscription_id)) or {}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A subscription before and after a process, as documents; `before` is None when the process made it."""

    subscription_id: SubscriptionId
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def compare_around(process_id: ProcessId, subscription_id: SubscriptionId) -> Comparison:
    """Compare a subscription before a process and now; both are the same if the process changed nothing.

    It reads only versions that were written since the process began, so a long history costs nothing.
    """
    version, process = SubscriptionVersionTable, ProcessTable
    began = sa.select(process.started_at).where(process.process_id == process_id).scalar_subquery()
    own = (
        sa.select(sa.func.min(version.version).label("first"), sa.func.max(version.version).label("last"))
        .where(version.subscription_id == subscription_id, version.created_at >= began)
        .where(version.process_id == process_id)
        .subquery()
    )
    at_start = (
        sa.select(version.version)
        .where(version.subscription_id == subscription_id, version.created_at < began)
        .order_by(version.created_at.desc(), version.version.desc())
        .limit(1)
        .scalar_subquery()
    )

    def document(number: sa.ColumnElement[int]) -> sa.ScalarSelect[Any]:
        found = sa.select(version.document).where(version.subscription_id == subscription_id)
        return found.where(version.version == number).scalar_subquery()

    before = sa.func.coalesce(own.c.first - 1, at_start)
    after = sa.func.coalesce(own.c.last, at_start)
    row = current_session().execute(sa.select(document(before), document(after)).select_from(own)).one()
    return Comparison(subscription_id, row[0], row[1])


def _entry(row: Any, before: dict[str, Any] | None) -> HistoryEntry:
    version, created_at, created_by, process_id, workflow_name, step_key, reason, document = row
    changed = difference(before, document)
    return HistoryEntry(version, created_at, created_by, process_id, workflow_name, step_key, reason, changed)


# --- what a process has changed ---

# Only versions since the process took the subscription are read, so a long history costs nothing.
_CHANGED = sa.text(
    """
    WITH changed AS (
        SELECT subscription_id, p.name AS product, s.description, v.first, v.last,
            count(*) OVER of_product AS number,
            row_number() OVER (of_product ORDER BY subscription_id) AS place
        FROM processes_subscriptions AS l
        JOIN subscriptions AS s USING (subscription_id)
        JOIN products AS p USING (product_id)
        JOIN LATERAL (
            SELECT min(version) AS first, max(version) AS last FROM subscription_versions AS v
            WHERE v.subscription_id = l.subscription_id AND v.created_at >= l.created_at
            AND v.process_id = l.process_id
        ) AS v ON v.last IS NOT NULL
        WHERE l.process_id = :process_id
        WINDOW of_product AS (PARTITION BY s.product_id)
    )
    SELECT product, number, changed.subscription_id, changed.description, last,
        (SELECT created_by FROM processes WHERE process_id = :process_id), before.document, after.document
    FROM changed
    JOIN subscription_versions AS after
        ON after.subscription_id = changed.subscription_id AND after.version = changed.last
    LEFT JOIN subscription_versions AS before
        ON before.subscription_id = changed.subscription_id AND before.version = changed.first - 1
    WHERE place <= :most ORDER BY product, place
    """
)


@dataclass(frozen=True, slots=True)
class ProcessChange:
    """A subscription that a process has changed; `number`: how many of the same product it has changed."""

    product: str
    number: int
    subscription_id: SubscriptionId
    description: str
    version: int
    created_by: str | None
    difference: Sequence[Difference]


def changes_by(process_id: ProcessId, *, most: int) -> list[ProcessChange]:
    """The changes that a process has made, with the whole of its steps as one difference; at most so many a product.

    One statement. Secrets are masked.
    """
    rows = current_session().execute(_CHANGED, {"process_id": process_id, "most": most})
    changes: list[tuple[Any, ...]] = [(*row[:-2], difference(row[-2], row[-1])) for row in rows]
    return [ProcessChange(*change) for change in changes]
