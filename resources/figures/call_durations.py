"""Counts the calls to external systems by their durations, for histograms that all processes of all machines share."""

from collections.abc import Collection

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.typed_sql import sql
from resources.systems.calls import Call

_ADD = sql(
    """
    INSERT INTO figures (kind, name, status, bound, number, seconds)
    SELECT 'calls', system, outcome, duration_bound(took), count(*), sum(took)
    FROM unnest(:systems, :outcomes, :seconds) AS call (system, outcome, took)
    GROUP BY system, outcome, duration_bound(took)
    """,
    systems=sa.ARRAY(sa.String),
    outcomes=sa.ARRAY(sa.String),
    seconds=sa.ARRAY(sa.Float),
)


def add_calls(calls: Collection[Call]) -> None:
    """Count these calls; one statement."""
    columns = ([one.system for one in calls], [one.outcome for one in calls], [one.seconds for one in calls])
    current_session().execute(_ADD, dict(zip(("systems", "outcomes", "seconds"), columns, strict=True)))
