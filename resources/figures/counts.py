"""Counts of subscriptions, validations and processes, kept by triggers as changes and added up when they are read.

A count is exact in every snapshot: what a transaction changes is counted with its commit. Writers only append, so none
waits for another; `fold` keeps the rows few. Each function here is one statement in the current transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from resources.database.fleet_tables import FigureTable
from resources.database.session import current_session
from resources.database.tables import ProductTable, Table, WorkflowTable
from resources.types import ProcessStatus, Target

FOLD_AT = 1_000
"""So many changes are worth a fold."""
FOLD_AT_ONCE = 50_000

# Another fold's rows are left to it. What is folded has a new id, so that the next fold takes older changes first.
_FOLD = sa.text(
    """
    WITH taken AS (
        DELETE FROM figures WHERE figure_id IN (
            SELECT figure_id FROM figures
            WHERE (SELECT count(*) FROM (SELECT FROM figures WHERE NOT is_sum LIMIT :least) AS changes) >= :least
            ORDER BY figure_id LIMIT :most FOR UPDATE SKIP LOCKED
        ) RETURNING *
    ), folded AS (
        INSERT INTO figures (kind, subject, name, status, flag, bound, number, seconds, is_sum)
        SELECT kind, subject, name, status, flag, bound, sum(number), sum(seconds), true FROM taken
        GROUP BY kind, subject, name, status, flag, bound HAVING sum(number) <> 0 OR sum(seconds) <> 0
    )
    SELECT count(*) FROM taken
    """
)


@dataclass(frozen=True, slots=True)
class SubscriptionCount:
    """How many subscriptions to a product have this status, and are in sync or not."""

    product: str
    status: str
    insync: bool
    number: int


@dataclass(frozen=True, slots=True)
class ValidationCount:
    """How many subscriptions to a product have this newest result; None if they were not validated yet.

    Only those count whose next validation is planned, so no terminated ones.
    """

    product: str
    result: str | None
    number: int


@dataclass(frozen=True, slots=True)
class ProcessCount:
    """How many processes of a workflow have this status; `seconds` is how long those took that have ended."""

    workflow: str
    target: Target
    is_task: bool
    status: ProcessStatus
    number: int
    seconds: float


figure = FigureTable
OF_PRODUCT: dict[type[Table], Any] = {ProductTable: ProductTable.product_id == figure.subject}
OF_WORKFLOW: dict[type[Table], Any] = {WorkflowTable: WorkflowTable.workflow_id == figure.subject}
_number = sa.cast(sa.func.sum(figure.number), sa.BigInteger)
_seconds = sa.cast(sa.func.sum(figure.seconds), sa.Float)


def subscription_counts() -> list[SubscriptionCount]:
    """Subscriptions by product, status and whether they are in sync."""
    rows = _counts("subscriptions", (ProductTable.name, figure.status, figure.flag), OF_PRODUCT)
    return [SubscriptionCount(*row[:4]) for row in rows]


def validation_counts() -> list[ValidationCount]:
    """Subscriptions by product and the newest result of their validation."""
    rows = _counts("validations", (ProductTable.name, figure.status), OF_PRODUCT, [figure.flag])
    return [ValidationCount(*row[:3]) for row in rows]


def process_counts() -> list[ProcessCount]:
    """Processes by workflow, status and whether they are tasks."""
    columns = (WorkflowTable.name, WorkflowTable.target, figure.flag, figure.status)
    return [
        ProcessCount(name, Target(target), is_task, ProcessStatus(status), number, seconds)
        for name, target, is_task, status, number, seconds in _counts("processes", columns, OF_WORKFLOW)
    ]


def status_counts() -> dict[tuple[str, bool], int]:
    """How many processes there are in each status; the second of the key says whether they are tasks."""
    rows = _counts("processes", (figure.status, figure.flag))
    return {(status, is_task): number for status, is_task, number, _ in rows}


def fold(*, least: int = FOLD_AT, most: int = FOLD_AT_ONCE) -> int:
    """Add changes up, the oldest first, if there are at least `least`; how many rows it took. May run twice at once."""
    return current_session().scalar(_FOLD, {"least": least, "most": most}) or 0


def _counts(
    kind: str, columns: Sequence[Any], beside: dict[type[Table], Any] | None = None, where: Sequence[Any] = ()
) -> Sequence[Any]:
    """Number and seconds of a kind by these columns, those that are 0 left out; `beside`: a table and its join."""
    query = sa.select(*columns, _number, _seconds).select_from(figure).where(figure.kind == kind, *where)
    for table, condition in (beside or {}).items():
        query = query.join(table, condition)
    return current_session().execute(query.group_by(*columns).having(_number != 0).order_by(*columns)).all()
