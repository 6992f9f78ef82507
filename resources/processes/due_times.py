"""Which of a schedule's times fires next, and by which rule: some may have passed while nothing was there to fire."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from resources.errors import ScheduleInvalid
from resources.processes.schedules import Schedule
from resources.processes.triggers import next_run
from resources.processes.wall_clock import TICK

GRACE_SECONDS = 60
"""How late a time may fire before it counts as missed, unless the schedule says otherwise."""
MOST_COUNTED = 10_000
"""Of more missed times than this, the number left out says so many."""
UNFIRED = "Nothing was there to fire it within {:g} seconds, and this schedule does not fire missed times."


class Missed(StrEnum):
    """What becomes of missed times: all fire, one after the other; the last that has come does; none does."""

    ALL = "all"
    LAST = "last"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Due:
    """The time that fires, unless it is refused here, and the one after it; `left_out`: missed times before it."""

    at: datetime
    next_run_at: datetime | None
    left_out: int = 0
    refusal: str | None = None


def due_time(schedule: Schedule, now: datetime) -> Due:
    """The next firing of a schedule that is due. A trigger that can no longer be used ends the schedule."""
    first = schedule.next_run_at or now
    try:
        at, left_out, refusal = _chosen(schedule, first, now)
        return Due(at, _following(schedule, at), left_out, refusal)
    except ScheduleInvalid as error:
        return Due(first, None, refusal=str(error))


def _chosen(schedule: Schedule, first: datetime, now: datetime) -> tuple[datetime, int, str | None]:
    grace = timedelta(seconds=GRACE_SECONDS if schedule.grace_seconds is None else schedule.grace_seconds)
    if schedule.missed == Missed.ALL or first >= now - grace:
        return first, 0, None
    if schedule.missed == Missed.LAST:
        last, count = _passed(schedule, first, now)
        return last, count - 1, None
    last, count = _passed(schedule, first, now - grace - TICK)
    following = _following(schedule, last)
    if following is not None and following <= now:
        return following, count, None
    return last, count - 1, UNFIRED.format(grace.total_seconds())


def _passed(schedule: Schedule, first: datetime, until: datetime) -> tuple[datetime, int]:
    """The last time up to a moment, and how many there are from the first on."""
    last, count, back = first, 1, timedelta(seconds=1)
    while (following := _following(schedule, last)) is not None and following <= until:
        if count < MOST_COUNTED:
            last, count = following, count + 1
            continue
        near = _following(schedule, last, until - back)  # too many to look at each: look back ever further
        last, back = (following if near is None or near > until else near), back * 2
    return last, count


def _following(schedule: Schedule, at: datetime, after: datetime | None = None) -> datetime | None:
    return next_run(schedule.trigger, schedule.trigger_kwargs, after=max(at, after or at), previous=at)
