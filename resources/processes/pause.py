"""The pause of the engine: whether new work may start, and whether steps are still in progress.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from resources.database.session import current_session
from resources.database.tables import EngineSettingsTable, ProcessTable, ProcessWaitTable
from resources.errors import EnginePaused
from resources.types import ProcessStatus

AT_A_STEP = [ProcessStatus.RUNNING, ProcessStatus.ABORTING]
"""Statuses in which a step may be in progress."""


class EngineStatus(StrEnum):
    """PAUSING: nothing new starts, but steps are still in progress."""

    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"


@dataclass(frozen=True, slots=True)
class EngineState:
    """The state of the engine. `running`: processes with a step in progress; `stopped`: those that wait for the
    release.

    `changed_by` and `changed_at` say who paused or released it last.
    """

    is_paused: bool
    running: int
    stopped: int
    changed_by: str | None = None
    changed_at: datetime | None = None

    @property
    def status(self) -> EngineStatus:
        if not self.is_paused:
            return EngineStatus.RUNNING
        return EngineStatus.PAUSING if self.running else EngineStatus.PAUSED


def state() -> EngineState:
    """Read the state of the engine."""
    settings = EngineSettingsTable
    row = (
        current_session()
        .execute(select(settings.global_lock, settings.global_lock_by, settings.global_lock_at))
        .one_or_none()
    )
    is_paused, changed_by, changed_at = row or (False, None, None)
    running = select(func.count()).where(ProcessTable.last_status.in_(AT_A_STEP)).scalar_subquery()
    stopped = (
        select(func.count())
        .where(ProcessWaitTable.kind == "pause", ProcessWaitTable.answered_at.is_(None))
        .scalar_subquery()
    )
    counts = current_session().execute(select(running, stopped)).one()
    return EngineState(is_paused, counts[0], counts[1], changed_by, changed_at)


def set_paused(is_paused: bool, *, user: str) -> bool:
    """Pause or release the engine; False when it already was, and then the earlier change stays recorded."""
    settings, session = EngineSettingsTable, current_session()
    session.execute(insert(settings).values(global_lock=False).on_conflict_do_nothing())
    changed = session.execute(
        update(settings)
        .where(settings.global_lock != is_paused)
        .values(global_lock=is_paused, global_lock_by=user, global_lock_at=func.clock_timestamp())
        .returning(settings.singleton)
    )
    return changed.first() is not None


def is_paused() -> bool:
    """Whether the engine is paused."""
    return bool(current_session().scalar(select(EngineSettingsTable.global_lock)))


def check_not_paused() -> None:
    """Refuse to start anything new. Raises EnginePaused."""
    if is_paused():
        raise EnginePaused
