"""All figures that monitoring asks for, in two statements whose cost does not depend on the size of the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.typed_sql import sql

BOUNDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, float("inf"))
"""The upper bounds of durations, in seconds, as the database's function `duration_bound` has them."""
AGES = (60.0, 600.0, 3_600.0, 86_400.0, 604_800.0, 2_592_000.0, float("inf"))
"""The upper bounds of the ages of waits, in seconds: a minute to a month."""

_FIGURES = sa.text(
    """
    SELECT kind, coalesce(product.name, workflow.name) AS subject, workflow.target, figures.name, figures.status, flag,
        bound, CAST(sum(number) AS bigint) AS number, CAST(sum(seconds) AS float) AS seconds
    FROM figures
    LEFT JOIN products AS product ON product.product_id = subject
    LEFT JOIN workflows AS workflow ON workflow.workflow_id = subject
    GROUP BY kind, product.name, workflow.name, workflow.target, figures.name, figures.status, flag, bound
    HAVING sum(number) <> 0
    ORDER BY kind, subject, figures.name, figures.status, flag, bound
    """
)
# Open waits are as many as processes that wait; the validations of each product are found by the ends of two indexes.
_MOMENT = sql(
    """
    SELECT 'wait' AS kind, waiting.kind AS name, bound, count(*) AS number, sum(age) AS seconds, NULL AS other
    FROM (
        SELECT kind, extract(epoch FROM clock_timestamp() - created_at) AS age FROM process_waits
        WHERE answered_at IS NULL
    ) AS waiting, LATERAL (SELECT min(one) AS bound FROM unnest(:ages) AS one WHERE one >= age) AS bounds
    GROUP BY waiting.kind, bound
    UNION ALL
    SELECT 'product', name, NULL, NULL,
        (
            SELECT extract(epoch FROM clock_timestamp() - min(finished_at)) FROM validations AS one
            WHERE one.product_id = products.product_id AND due_at IS NOT NULL
        ),
        (
            SELECT greatest(extract(epoch FROM clock_timestamp() - min(due_at)), 0) FROM validations AS one
            WHERE one.product_id = products.product_id AND due_at IS NOT NULL
        )
    FROM products
    UNION ALL
    SELECT 'pause', NULL, NULL, CAST(global_lock AS int), NULL, NULL FROM engine_settings
    """,
    ages=sa.ARRAY(sa.Float),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A sum of the table `figures`; `subject` is the name of a product or workflow."""

    kind: str
    subject: str | None
    target: str | None
    name: str | None
    status: str | None
    flag: bool | None
    bound: float | None
    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Present:
    """How things are now: waits by kind and bound of their age, and the validations of each product."""

    is_paused: bool
    waits: Sequence[tuple[str, float, int, float]]
    oldest: dict[str, float]
    """Product -> how old its oldest result is."""
    overdue: dict[str, float]
    """Product -> how long the validation has been due that has waited longest."""


def figures() -> list[Figure]:
    """All sums; one statement."""
    return [Figure(*row) for row in current_session().execute(_FIGURES)]


def present() -> Present:
    """How things are now; one statement."""
    rows: dict[str, list[Any]] = {"wait": [], "product": [], "pause": []}
    for row in current_session().execute(_MOMENT, {"ages": list(AGES)}):
        rows[row.kind].append(row)
    products = rows["product"]
    return Present(
        any(row.number for row in rows["pause"]),
        [(row.name, row.bound, row.number, float(row.seconds)) for row in rows["wait"]],
        {row.name: float(row.seconds) for row in products if row.seconds is not None},
        {row.name: float(row.other) for row in products if row.other is not None},
    )
