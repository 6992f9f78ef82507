"""Cron by the clock on the wall: its times are found without a zone, and then become moments of that zone.

When clocks change, a time that is skipped fires as long after the change as it lies after the skipped hour began
(02:30 becomes 03:30), and a time that comes twice fires at the first. A cron whose hour is `*` or `*/n` fires in the
hours that there are: not for one that is skipped, and twice for one that comes twice.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

NEAR = timedelta(hours=26)
"""A change of the clocks can put moments into another order at most so far away; Samoa once left out a day."""
TICK = timedelta(microseconds=1)


def next_cron(fields: Mapping[str, Any], zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first moment after `after` at which the wall clock of a zone matches, in UTC; None when there is none.

    `fields` are those of APScheduler's cron trigger. Raises ValueError for one that it does not understand.
    """
    trigger, repeats = CronTrigger(**fields, timezone=UTC), _repeats(fields)
    found: datetime | None = None
    last: datetime | None = None
    for wall in _matches(trigger, _wall(after, zone) - _shift(after, zone)):
        if last is not None and wall > last:
            break
        for moment in _moments(wall, zone, repeats=repeats):
            if moment > after and (found is None or moment < found):
                found = moment
        if found is not None and last is None:
            last = wall + _shift(found, zone)  # near a change of the clocks a later time may be an earlier moment
    return found


def _matches(trigger: CronTrigger, wall: datetime) -> Iterator[datetime]:
    """The times on the wall that match, from `wall` on; UTC stands for a zone whose clocks never change."""
    at: datetime | None = wall.replace(tzinfo=UTC)
    while (at := trigger.get_next_fire_time(None, at)) is not None:
        yield at.replace(tzinfo=None)
        at += TICK


def _moments(wall: datetime, zone: ZoneInfo, *, repeats: bool) -> Iterator[datetime]:
    """The moments at which the clock of a zone shows this time, or stands for it: none, one or two."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if _wall(first, zone) != wall:
        if not repeats:
            yield first
        return
    yield first
    if repeats and second != first:
        yield second


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _shift(moment: datetime, zone: ZoneInfo) -> timedelta:
    """How far the clocks of a zone change near a moment; zero nearly always."""
    before, behind = (_offset(moment, distance, zone) for distance in (-NEAR, NEAR))
    return abs(behind - before)


def _offset(moment: datetime, distance: timedelta, zone: ZoneInfo) -> timedelta:
    try:
        return (moment + distance).astimezone(zone).utcoffset() or timedelta()
    except OverflowError:  # at the end of time no clock changes
        return moment.astimezone(zone).utcoffset() or timedelta()


def _repeats(fields: Mapping[str, Any]) -> bool:
    """Whether a cron matches in every hour, or in one after the other."""
    if (hour := fields.get("hour")) is not None:
        return str(hour).startswith("*")
    return any(fields.get(name) is not None for name in ("minute", "second"))
