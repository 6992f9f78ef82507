"""What a validation found: its newest result, its history and its mark on the subscription, in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from resources.database.session import current_session
from resources.database.storable import storable
from resources.database.typed_sql import sql
from resources.processes.validations import end_those_that_drifted
from resources.types import ProcessId, SubscriptionId, ValidationResult

MOST_DIFFERENCES = 200
"""How many differences of one result are kept; the last says how many there are beyond them."""
REASON_LIMIT = 10_000
STEP_KEY = "validated"
"""The step in the history of a subscription that a passed validation puts in sync, if no process did it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a validation of a subscription found. `version` is the subscription's that was compared; without
    `seconds` the validation has taken as long as its process.

    Each of the `differences` is an object with `system`, `path`, `expected`, `found`, `severity`. `reason` says why the
    result is `unreachable` or `failed`.
    """

    subscription_id: SubscriptionId
    workflow: str
    product: str
    result: ValidationResult
    version: int
    seconds: float | None
    differences: Sequence[Mapping[str, Any]] = ()
    reason: str | None = None

    @property
    def severity(self) -> str | None:
        """The worst of the differences; None without any."""
        found = {one["severity"] for one in self.differences}
        return "error" if "error" in found else "warning" if found else None


def record(
    outcome: Outcome,
    *,
    process_id: ProcessId | None,
    run_id: str | None,
    user: str,
    due_at: datetime | None,
    holder: ProcessId | None = None,
    is_last: bool = True,
) -> bool:
    """Record what a validation found, in the current transaction, which the caller commits.

    One statement writes the newest result, its line in the history and its effect on the subscription: drift puts it
    out of sync; when all its workflows have passed it is in sync again, if it was drift that put it out. Then the
    processes in which the workflow had found drift end.

    `holder` is the batch that has claimed the subscription: it records only while its claim holds, and gives it up with
    the last of its results. False, with nothing written, when the subscription has another version by now, or another
    process holds it.
    """
    claim = {"holder": str(holder) if holder else None, "is_last": is_last}
    values = _parameters(outcome, process_id, run_id, user, due_at) | claim
    found = current_session().execute(_RECORD, values).first()
    if found is None:
        return False
    if outcome.result is ValidationResult.PASSED and found.before == ValidationResult.DRIFTED:
        end_those_that_drifted(outcome.subscription_id, outcome.workflow, passed=process_id)
    return True


def _parameters(
    outcome: Outcome, process_id: ProcessId | None, run_id: str | None, user: str, due_at: datetime | None
) -> dict[str, Any]:
    differences = [{**one, "workflow": outcome.workflow} for one in outcome.differences[:MOST_DIFFERENCES]]
    if (left := len(outcome.differences) - len(differences)) > 0:
        differences[-1] = {**differences[-1], "path": f"and {left + 1} more", "expected": None, "found": None}
    return {
        "subscription_id": outcome.subscription_id,
        "workflow": outcome.workflow,
        "result": outcome.result.value,
        "reason": storable(outcome.reason)[:REASON_LIMIT] if outcome.reason else None,
        "severity": outcome.severity,
        "differences": differences,
        "version": outcome.version,
        "seconds": outcome.seconds,
        "process_id": process_id,
        "run_id": run_id,
        "created_by": user,
        "due_at": due_at,
        "step_key": STEP_KEY,
    }


# `held` locks both rows and reads them as they are then, unless another has changed the subscription. `found` puts the
# result beside those of the other workflows that the code has. `marked` is the subscription if its mark changes.
_RECORD = sql(
    """
WITH held AS (
    SELECT s.subscription_id, s.status, s.locked_by, s.version, v.differences, v.due_at, v.workflow, v.reason,
        v.results ->> :workflow AS before,
        coalesce(
            (SELECT jsonb_object_agg(key, value) FROM jsonb_each(v.results) JOIN workflows ON name = key
                WHERE deleted_at IS NULL AND key <> :workflow),
            '{}'
        ) AS others
    FROM subscriptions s JOIN validations v ON v.subscription_id = s.subscription_id
    WHERE s.subscription_id = :subscription_id
        AND (s.locked_by = :process_id OR s.locked_by IS NULL AND (s.version = :version OR EXISTS (
            SELECT FROM subscription_versions own
            WHERE own.subscription_id = s.subscription_id AND own.version = s.version AND own.process_id = :process_id
        )))
        AND (:holder IS NULL OR v.claimed_by = :holder)
    FOR UPDATE OF s, v
), found AS (
    SELECT held.*,
        others || jsonb_build_object(:workflow, :result) AS results,
        coalesce(
            (SELECT jsonb_agg(one) FROM jsonb_array_elements(differences) AS one WHERE others ? (one ->> 'workflow')),
            '[]'
        ) || :differences AS all_differences,
        coalesce(
            :seconds, (SELECT extract(epoch FROM clock_timestamp() - started_at) FROM processes
                WHERE processes.process_id = :process_id)
        ) AS took,
        (SELECT word FROM unnest(ARRAY['drifted', 'failed', 'unreachable', 'passed'])
            WITH ORDINALITY AS ranks (word, rank)
            WHERE word = :result OR word IN (SELECT value FROM jsonb_each_text(others)) ORDER BY rank LIMIT 1) AS worst
    FROM held
), marked AS (
    UPDATE subscriptions s
    SET insync = found.worst = 'passed',
        out_of_sync_by = CASE found.worst WHEN 'passed' THEN NULL ELSE 'validation' END,
        version = s.version + (found.worst = 'passed')::int
    FROM found
    WHERE s.subscription_id = found.subscription_id AND found.locked_by IS NULL
        AND (s.insync AND :result = 'drifted' OR s.out_of_sync_by = 'validation' AND found.worst = 'passed')
    RETURNING s.subscription_id, s.insync, s.version, s.document
), noted AS (
    INSERT INTO subscription_versions (subscription_id, version, document, process_id, step_key, created_by, reason)
    SELECT subscription_id, version, document, :process_id, :step_key, :created_by,
        'The validation ' || :workflow || ' found no difference any more.'
    FROM marked WHERE insync
), kept AS (
    INSERT INTO validation_history (subscription_id, workflow, result, reason, severity, differences, version,
        process_id, run_id, finished_at, seconds, created_by)
    SELECT subscription_id, :workflow, :result, :reason, :severity, :differences, version,
        :process_id, :run_id, clock_timestamp(), took, :created_by
    FROM found
)
UPDATE validations v
SET workflow = :workflow, result = worst, results = found.results, differences = all_differences,
    reason = CASE WHEN worst = :result THEN :reason ELSE found.reason END,
    severity = CASE WHEN all_differences @> '[{"severity": "error"}]' THEN 'error'
        WHEN all_differences <> '[]' THEN 'warning' END,
    version = coalesce(marked.version, found.version), process_id = :process_id, run_id = :run_id,
    finished_at = clock_timestamp(), seconds = took,
    claimed_by = CASE WHEN :is_last THEN nullif(v.claimed_by, :holder) ELSE v.claimed_by END,
    due_at = CASE WHEN found.status = 'terminated' THEN NULL WHEN worst = :result OR :holder IS NOT NULL THEN :due_at
        ELSE least(:due_at, CASE WHEN found.due_at > clock_timestamp() THEN found.due_at END) END
FROM found LEFT JOIN marked ON marked.subscription_id = found.subscription_id
WHERE v.subscription_id = found.subscription_id
RETURNING found.before
""",
    subscription_id=sa.Uuid(),
    workflow=sa.String(),
    result=sa.String(),
    reason=sa.String(),
    severity=sa.String(),
    differences=JSONB(),
    version=sa.Integer(),
    seconds=sa.Float(),
    process_id=sa.Uuid(),
    run_id=sa.String(),
    created_by=sa.String(),
    step_key=sa.String(),
    due_at=sa.DateTime(timezone=True),
    holder=sa.String(),
    is_last=sa.Boolean(),
)


_SINCE = """h.process_id = :process_id
    AND finished_at >= (SELECT started_at FROM processes WHERE process_id = :process_id)"""
_COUNTS = sa.text(f"SELECT result, count(*) FROM validation_history h WHERE {_SINCE} GROUP BY result")
_DRIFT = sa.text(f"""
SELECT s.description, h.subscription_id, h.differences FROM validation_history h JOIN subscriptions s
USING (subscription_id) WHERE {_SINCE} AND result = 'drifted' ORDER BY finished_at LIMIT {MOST_DIFFERENCES}
""")


def of_process(process_id: ProcessId) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """How many subscriptions a process has validated, by result, and the differences that it found, with what of."""
    session = current_session()
    counted = {str(result): number for result, number in session.execute(_COUNTS, {"process_id": process_id})}
    rows = [
        {"subscription": description, "id": str(subscription_id), **one}
        for description, subscription_id, differences in session.execute(_DRIFT, {"process_id": process_id})
        for one in differences
    ]
    return {each.value: counted.get(each, 0) for each in ValidationResult}, rows
