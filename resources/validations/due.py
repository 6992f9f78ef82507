"""Which subscriptions are due for validation, and the claim by which a batch gets some of them for itself.

A claimed row has a lease: its `due_at` lies ahead, so what a lost batch had becomes due again by itself. Everything
here works in the current transaction and leaves the commit to the caller.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from resources import clock
from resources.database.session import current_session, lock_key
from resources.processes import validations
from resources.settings import settings
from resources.types import ProcessId, SubscriptionId, SubscriptionLifecycle
from resources.validations.pace import LATEST, maximum_age, minimum_age, unreachable_pause

LEASE = timedelta(minutes=5)
"""How long a claim holds unless it is renewed."""
MOST_COUNTED = 2_000
"""So many due subscriptions of a product are counted, and no more."""
CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Validated:
    """A product with validate workflows: the statuses in which its subscriptions are validated, the names of the
    external systems that its validations use, and whether each needs a process of its own.
    """

    product: str
    statuses: frozenset[SubscriptionLifecycle]
    systems: frozenset[str] = frozenset()
    is_single: bool = False


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is due of a product: how many, up to MOST_COUNTED, and since when; `next_at` is when more is.

    `claimed`: how many are with batches. `has_shorter_age`: some are due later than the maximum age allows now.
    """

    product_id: UUID
    product: str
    due: int
    oldest: datetime | None
    next_at: datetime | None
    claimed: int
    has_shorter_age: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """A subscription that is claimed, its status, and whether its last validation has found drift."""

    subscription_id: SubscriptionId
    product: str
    status: SubscriptionLifecycle
    has_drifted: bool


BACKLOG = text("""
SELECT products.product_id, products.name, due.number, due.oldest, later.first, coalesce(held.number, 0),
       coalesce(last.moment > asked.latest, false)
FROM jsonb_to_recordset(CAST(:asked AS jsonb)) AS asked(name text, latest timestamptz)
JOIN products ON products.name = asked.name
CROSS JOIN LATERAL (
    SELECT count(*) AS number, min(one.due_at) AS oldest FROM (
        SELECT due_at FROM validations WHERE product_id = products.product_id AND due_at <= :moment
        ORDER BY due_at LIMIT :most
    ) one
) due
CROSS JOIN LATERAL (
    SELECT min(due_at) AS first FROM validations WHERE product_id = products.product_id AND due_at > :moment
) later
CROSS JOIN LATERAL (SELECT max(due_at) AS moment FROM validations WHERE product_id = products.product_id) last
LEFT JOIN (
    SELECT product_id, count(*) AS number FROM validations
    WHERE claimed_by IS NOT NULL AND due_at > :moment GROUP BY product_id
) held ON held.product_id = products.product_id
""")

# A row that is due and cannot be validated rests until its status changes, or is looked at again later. The last LIMIT
# cuts nothing: it says how few rows there are, so that the tables are read by their keys.
CLAIM = text("""
WITH picked AS MATERIALIZED (
    SELECT one.subscription_id, asked.statuses, asked.is_single
    FROM jsonb_to_recordset(CAST(:asked AS jsonb))
        AS asked(product_id uuid, quota integer, statuses jsonb, is_single boolean)
    CROSS JOIN LATERAL (
        SELECT subscription_id FROM validations WHERE product_id = asked.product_id AND due_at <= :before
        ORDER BY due_at LIMIT asked.quota FOR UPDATE SKIP LOCKED
    ) one LIMIT :limit
), found AS (
    SELECT subscription_id, status, is_single, CASE
        WHEN NOT statuses ? status THEN 'rests'
        WHEN locked_by IS NOT NULL THEN 'later'
        WHEN NOT (insync OR :out_of_sync) AND out_of_sync_by IS DISTINCT FROM 'validation' THEN 'later'
        WHEN is_single AND EXISTS (
            SELECT 1 FROM processes_subscriptions link
            JOIN processes USING (process_id) JOIN workflows USING (workflow_id)
            WHERE link.subscription_id = picked.subscription_id AND workflows.target = 'VALIDATE'
            AND processes.last_status = ANY(:unfinished)
        ) THEN 'later'
        ELSE 'taken' END AS verdict
    FROM picked JOIN subscriptions USING (subscription_id)
)
UPDATE validations SET
    due_at = CASE verdict WHEN 'taken' THEN :leased WHEN 'later' THEN :later END,
    claimed_by = CASE WHEN verdict = 'taken' AND NOT is_single THEN :holder END
FROM found WHERE validations.subscription_id = found.subscription_id
RETURNING validations.subscription_id, validations.product_id, status, verdict,
    coalesce(results @? '$.* ? (@ == "drifted")', false) AS has_drifted
""")

FOLLOW = text("""
UPDATE validations SET due_at = greatest(:now, coalesce(finished_at, :now) + CAST(asked.age AS interval))
FROM jsonb_to_recordset(CAST(:asked AS jsonb)) AS asked(product_id uuid, latest timestamptz, age text)
WHERE validations.product_id = asked.product_id AND due_at > asked.latest AND claimed_by IS NULL
""")

# A page of all subscriptions, by their key: to look for those that can be validated would read the whole table.
ALL_DUE = text("""
WITH page AS MATERIALIZED (
    SELECT subscription_id, product_id, status, locked_by, insync, out_of_sync_by FROM subscriptions
    WHERE subscription_id > :after ORDER BY subscription_id LIMIT :most
), asked AS MATERIALIZED (
    SELECT subscription_id FROM page JOIN products USING (product_id)
    JOIN jsonb_to_recordset(CAST(:asked AS jsonb)) AS one(name text, statuses jsonb) ON one.name = products.name
    WHERE one.statuses ? page.status AND locked_by IS NULL
    AND (insync OR out_of_sync_by = 'validation' OR :out_of_sync)
), made AS (
    UPDATE validations SET due_at = :now FROM asked
    WHERE validations.subscription_id = asked.subscription_id AND claimed_by IS NULL
)
SELECT (SELECT count(*) FROM asked), max(subscription_id::text), count(*) FROM page
""")


def backlog(products: Collection[Validated], before: datetime | None = None) -> list[Backlog]:
    """What is due of each product, of those that the database has: one statement, by an index."""
    moment = before or clock.now()
    asked = [{"name": one.product, "latest": _latest(one.product).isoformat()} for one in products]
    values = {"asked": json.dumps(asked), "moment": moment, "most": MOST_COUNTED}
    return [Backlog(*row) for row in current_session().execute(BACKLOG, values)]


def claim(
    products: Mapping[str, Validated],
    holder: ProcessId,
    *,
    limit: int,
    before: datetime | None = None,
    singles: int | None = None,
) -> tuple[list[Claimed], int]:
    """Claim due subscriptions for a process, those of the product that waits longest first; also how many were passed
    over, for they cannot be validated now.

    No more than the budget of each external system allows. `before` leaves out what became due later; `singles` is how
    many may be claimed that need a process of their own. One claims at a time, so that budgets hold.
    """
    session, now = current_session(), clock.now()
    _lock()
    found = backlog(products.values(), before)
    quotas = shares(found, products, limit, singles)
    if not quotas:
        return [], 0
    asked = [
        {
            "product_id": str(one.product_id),
            "quota": quotas[one.product],
            "statuses": sorted(products[one.product].statuses),
            "is_single": products[one.product].is_single,
        }
        for one in found
        if one.product in quotas
    ]
    values = {
        "asked": json.dumps(asked),
        "before": before or now,
        "leased": now + LEASE,
        "later": now + min(unreachable_pause(), *(maximum_age(name) for name in quotas)),
        "holder": str(holder),
        "limit": limit,
        "unfinished": [*validations.UNFINISHED],
        "out_of_sync": settings().validate_out_of_sync_subscriptions,
    }
    rows = session.execute(CLAIM, values).all()
    names = {one.product_id: one.product for one in found}
    taken = [
        Claimed(row.subscription_id, names[row.product_id], SubscriptionLifecycle(row.status), row.has_drifted)
        for row in rows
        if row.verdict == "taken"
    ]
    return taken, len(rows) - len(taken)


def shares(
    found: Sequence[Backlog], products: Mapping[str, Validated], limit: int, singles: int | None = None
) -> dict[str, int]:
    """How many of each product may be claimed: the one that waits longest first, within the budget of each system."""
    left = dict(settings().validations_per_system)
    for one in found:
        for system in products[one.product].systems & left.keys():
            left[system] -= one.claimed
    quotas: dict[str, int] = {}
    for one in sorted((one for one in found if one.oldest), key=lambda one: one.oldest or clock.now()):
        product = products[one.product]
        limited = product.systems & left.keys()
        quota = min([limit, one.due, *(left[system] for system in limited)])
        if product.is_single and singles is not None:
            quota = min(quota, singles)
        if quota <= 0:
            continue
        quotas[one.product], limit = quota, limit - quota
        left.update({system: left[system] - quota for system in limited})
        if product.is_single and singles is not None:
            singles -= quota
    return quotas


def renew(holder: ProcessId) -> None:
    """Renew the lease of what a process has claimed."""
    _put(holder, clock.now() + LEASE, holder)


def release(holder: ProcessId, due_at: datetime) -> None:
    """Give up what a process has claimed and not validated; it is due at this moment. May run twice."""
    _put(holder, due_at, None)


def _put(holder: ProcessId, due_at: datetime, claimed_by: ProcessId | None) -> None:
    values = {"due_at": due_at, "holder": str(holder), "claimed_by": claimed_by and str(claimed_by)}
    query = "UPDATE validations SET due_at = :due_at, claimed_by = :claimed_by WHERE claimed_by = :holder"
    current_session().execute(text(query), values)


def follow_shorter_ages(found: Collection[Backlog]) -> None:
    """Bring forward what is due later than its product's maximum age allows, after that became shorter: one statement.

    After a longer one each is due once more at the old pace.
    """
    asked: list[dict[str, Any]] = [
        {
            "product_id": str(one.product_id),
            "latest": _latest(one.product).isoformat(),
            "age": f"{maximum_age(one.product).total_seconds() * LATEST} seconds",
        }
        for one in found
        if one.has_shorter_age
    ]
    if asked:
        _lock()
        current_session().execute(FOLLOW, {"asked": json.dumps(asked), "now": clock.now()})


def make_all_due(
    products: Collection[Validated], now: datetime, after: SubscriptionId
) -> tuple[int, SubscriptionId | None]:
    """Make those of a page of subscriptions due that can be validated: how many, and the last; None at the end."""
    values = {
        "asked": json.dumps([{"name": one.product, "statuses": sorted(one.statuses)} for one in products]),
        "after": after,
        "now": now,
        "most": CHUNK,
        "out_of_sync": settings().validate_out_of_sync_subscriptions,
    }
    _lock()
    number, last, looked_at = current_session().execute(ALL_DUE, values).one()
    return number, UUID(last) if looked_at == CHUNK else None


def _lock() -> None:
    """Let one transaction at a time change what is due of many subscriptions."""
    current_session().execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("validations")})


def _latest(product: str) -> datetime:
    """No subscription of the product is due later than this, unless its maximum age was longer."""
    return clock.now() + max(maximum_age(product), minimum_age(), LEASE)
