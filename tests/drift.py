"""Results of validations in the database, as if a validation had just ended."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from resources.database.fleet_tables import ValidationHistoryTable, ValidationTable
from resources.database.session import SubscriptionDatabase
from resources.database.tables import SubscriptionTable

HOSTNAME = {"system": "world", "path": "device.hostname", "expected": "ams1", "found": "utr1", "severity": "error"}


def write_result(
    database: SubscriptionDatabase,
    subscription_id: UUID | str,
    result: str = "drifted",
    differences: Sequence[Mapping[str, Any]] = (HOSTNAME,),
    **values: Any,
) -> None:
    """Write a result of the present version, the newest one and into the history; drift marks the subscription."""
    known = UUID(str(subscription_id))
    with database.transaction() as session:
        row = session.get_one(SubscriptionTable, known)
        written: dict[str, Any] = {
            "workflow": "validate_device",
            "result": result,
            "severity": "error" if result == "drifted" else None,
            "differences": list(differences) if result == "drifted" else [],
            "version": row.version,
            "finished_at": datetime.now(UTC),
            "seconds": 0.5,
        } | values
        if result == "drifted":
            row.insync, row.out_of_sync_by = False, "validation"
        session.flush()
        session.execute(sa.update(ValidationTable).where(ValidationTable.subscription_id == known).values(**written))
        written.pop("due_at", None)
        session.execute(sa.insert(ValidationHistoryTable).values(subscription_id=known, created_by="ada", **written))
