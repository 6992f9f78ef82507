"""Reads how the subscriptions of products stand: counts, the worst differences, the oldest validation."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from resources.database.session import current_session
from resources.figures.counts import subscription_counts, validation_counts
from resources.types import ProcessId, SubscriptionId, SubscriptionLifecycle

ASSETS, DRIFT, IN_TIME = "products", "drift", "validated_in_time"
"""The first part of the key of each product's asset, and the names of its checks."""
WORST = 10
"""How many differences are shown."""
LOOKED_AT = 100
"""Among how many drifted subscriptions the worst are looked for, and how many that could not be compared are looked at:
an outage drifts a whole product, and the cost of a report stays.
"""

# Each part takes the first rows of an index.
_WORST = sa.text(
    """
    SELECT p.name, s.subscription_id, s.description, each.difference
    FROM products AS p
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT v.subscription_id, v.severity, v.finished_at, v.differences FROM validations AS v
            WHERE v.product_id = p.product_id AND v.result = 'drifted' AND v.due_at IS NOT NULL
            ORDER BY v.finished_at LIMIT :looked_at
        ) AS drifted ORDER BY severity, finished_at LIMIT :most
    ) AS v
    JOIN subscriptions AS s USING (subscription_id)
    CROSS JOIN LATERAL (
        SELECT difference, difference->>'severity' AS severity FROM jsonb_array_elements(v.differences) AS difference
        ORDER BY 2 LIMIT :most
    ) AS each
    WHERE p.name = ANY(:products) ORDER BY each.severity, v.finished_at
    """
)
_OLDEST = sa.text(
    """
    SELECT p.name, v.at, v.subscription_id, v.description
    FROM products AS p
    CROSS JOIN LATERAL (
        (
            SELECT v.finished_at AS at, s.subscription_id, s.description
            FROM validations AS v JOIN subscriptions AS s USING (subscription_id)
            WHERE v.product_id = p.product_id AND v.result = 'passed' AND {in_use} ORDER BY v.finished_at LIMIT 1
        ) UNION ALL (
            SELECT v.finished_at, s.subscription_id, s.description
            FROM validations AS v JOIN subscriptions AS s USING (subscription_id)
            WHERE v.product_id = p.product_id AND v.result = 'drifted' AND {in_use} ORDER BY v.finished_at LIMIT 1
        ) UNION ALL (
            SELECT v.due_at, s.subscription_id, s.description
            FROM validations AS v JOIN subscriptions AS s USING (subscription_id)
            WHERE v.product_id = p.product_id AND v.result IS NULL AND v.due_at < now() AND {in_use}
            ORDER BY v.due_at LIMIT 1
        ) UNION ALL (
            SELECT coalesce(h.at, s.created_at) AS at, s.subscription_id, s.description
            FROM (
                SELECT subscription_id FROM validations AS v
                WHERE v.product_id = p.product_id AND v.result IN ('unreachable', 'failed') AND v.due_at IS NOT NULL
                LIMIT :looked_at
            ) AS v
            JOIN subscriptions AS s USING (subscription_id)
            CROSS JOIN LATERAL (
                SELECT max(finished_at) AS at FROM validation_history AS h
                WHERE h.subscription_id = v.subscription_id AND h.result IN ('passed', 'drifted')
            ) AS h
            WHERE {in_use} ORDER BY 1 LIMIT 1
        ) ORDER BY 1 LIMIT 1
    ) AS v
    WHERE p.name = ANY(:products)
    """.replace("{in_use}", "s.status = :active AND (s.insync OR s.out_of_sync_by = 'validation')")
)

_VALIDATED = sa.text(
    """
    SELECT DISTINCT p.name FROM validation_history AS h
    JOIN subscriptions AS s USING (subscription_id) JOIN products AS p USING (product_id)
    WHERE h.process_id = :process_id
    AND h.finished_at >= (SELECT started_at FROM processes WHERE process_id = :process_id)
    """
)


@dataclass(frozen=True, slots=True)
class Oldest:
    """The subscription whose last comparison is the oldest of its product; one that was never compared counts since
    it was due.
    """

    at: datetime
    subscription_id: SubscriptionId
    description: str


@dataclass(slots=True)
class Standing:
    """How the subscriptions of a product stand: numbers by status and by newest result, worst differences, oldest."""

    by_status: dict[str, int] = field(default_factory=dict)
    by_result: dict[str, int] = field(default_factory=dict)
    worst: list[dict[str, Any]] = field(default_factory=list)
    oldest: Oldest | None = None

    def number(self, result: str) -> int:
        """How many subscriptions have this newest result."""
        return self.by_result.get(result, 0)


NEVER = "never validated"


def standing_of(products: Collection[str]) -> Mapping[str, Standing]:
    """How these products stand now, in four statements whatever their number; the counts are maintained ones."""
    found = {name: Standing() for name in products}
    for subscriptions in subscription_counts():
        if (one := found.get(subscriptions.product)) is not None:
            one.by_status[subscriptions.status] = one.by_status.get(subscriptions.status, 0) + subscriptions.number
    for validations in validation_counts():
        if (one := found.get(validations.product)) is not None:
            one.by_result[validations.result or NEVER] = validations.number
    asked = {"products": list(found), "looked_at": LOOKED_AT}
    for name, subscription_id, description, difference in current_session().execute(_WORST, {**asked, "most": WORST}):
        if len(found[name].worst) < WORST:
            whose = {"subscription": description or str(subscription_id), "id": str(subscription_id)}
            found[name].worst.append({**whose, **difference})
    for name, *oldest in current_session().execute(_OLDEST, {**asked, "active": SubscriptionLifecycle.ACTIVE}):
        found[name].oldest = Oldest(*oldest)
    return found


def products_validated_by(process_id: ProcessId) -> list[str]:
    """The products of which a process has validated subscriptions."""
    return list(current_session().scalars(_VALIDATED, {"process_id": process_id}))
