"""What may be removed by age: the runs of processes that have ended long ago, and old lines of history."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import ProcessTable
from resources.types import ProcessId, ProcessStatus

HISTORIES: Mapping[str, str] = {"validation_history": "finished_at", "firings": "fired_at"}
"""Tables that keep what has happened, and the column that says when."""
IS_FOLLOWED: Mapping[str, str] = {
    "firings": "EXISTS (SELECT FROM firings f WHERE f.schedule_id = old.schedule_id AND f.due_at > old.due_at)"
}
"""Rows that stay whatever their age if this is false: the last run of a schedule, which lists show."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Whether a process has ended, when it last changed, and whose it is."""

    is_final: bool
    at: datetime
    location: str | None


def ends_of(process_ids: Collection[ProcessId]) -> dict[ProcessId, Ended]:
    """The ends of those processes that there are; one statement."""
    query = sa.select(
        ProcessTable.process_id, ProcessTable.last_status, ProcessTable.last_modified_at, ProcessTable.location
    ).where(ProcessTable.process_id.in_(process_ids))
    return {
        process_id: Ended(ProcessStatus(status).is_final, at, location)
        for process_id, status, at, location in current_session().execute(query)
    }


def delete_history(table: str, *, before: datetime, limit: int) -> int:
    """Delete at most `limit` rows of one of HISTORIES that are older than a moment; how many. One statement."""
    goes = f"{HISTORIES[table]} < :before AND {IS_FOLLOWED.get(table, 'true')}"
    old = f"SELECT ctid FROM {table} AS old WHERE {goes} LIMIT :limit FOR UPDATE SKIP LOCKED"
    found = sa.text(f"DELETE FROM {table} WHERE ctid = ANY (ARRAY({old})) RETURNING 1")
    return len(current_session().execute(found, {"before": before, "limit": limit}).all())
