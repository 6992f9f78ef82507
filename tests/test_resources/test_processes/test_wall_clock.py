"""Cron when clocks change: the moments that a watcher of the wall clock would note, minute by minute, in ten zones."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resources.processes.wall_clock import next_cron

MINUTE = timedelta(minutes=1)
ZONES = (
    *("Europe/Amsterdam", "Europe/London", "America/New_York", "America/St_Johns", "America/Santiago", "Africa/Cairo"),
    *("Australia/Lord_Howe", "Pacific/Auckland", "Antarctica/Troll", "Asia/Kathmandu"),
)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def changes(zone: ZoneInfo, year: int) -> Iterator[datetime]:
    """The hours in which the clocks of a zone change."""
    at = datetime(year, 1, 1, tzinfo=UTC)
    while at.year == year:
        if at.astimezone(zone).utcoffset() != (at + timedelta(hours=1)).astimezone(zone).utcoffset():
            yield at
        at += timedelta(hours=1)


def watched(fields: dict[str, str], zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    """What the rule of the documents says, from looking at the clock each minute."""
    every_hour = fields["hour"].startswith("*")
    seen: set[datetime] = set()
    noted: set[datetime] = set()
    before = begin.astimezone(zone).replace(tzinfo=None)
    at = begin
    while at < end:
        at += MINUTE
        wall = at.astimezone(zone).replace(tzinfo=None)
        skipped = before + MINUTE
        first_after = at
        while skipped < wall and not every_hour:  # the clock has jumped ahead
            if matches(fields, skipped):
                noted.add(first_after)
            skipped, first_after = skipped + MINUTE, first_after + MINUTE
        if matches(fields, wall) and (every_hour or wall not in seen):
            noted.add(at)
        seen.add(wall)
        before = wall
    return sorted(moment for moment in noted if moment <= end)


def matches(fields: dict[str, str], wall: datetime) -> bool:
    weekday = fields.get("day_of_week")
    return (
        one_of(fields["minute"], wall.minute)
        and one_of(fields["hour"], wall.hour)
        and (weekday is None or DAYS[wall.weekday()] in weekday.split(","))
    )


def one_of(text: str, value: int) -> bool:
    if text.startswith("*"):
        return value % int(text[2:] or 1) == 0
    return value in map(int, text.split(","))


numbers = st.lists(st.integers(0, 59), min_size=1, max_size=3, unique=True)
minutes = st.one_of(st.sampled_from(["0", "30", "*/15", "*/20"]), numbers.map(lambda them: ",".join(map(str, them))))
hours = st.one_of(st.sampled_from(["*", "*/2", "*/5", "0", "2", "23"]), st.integers(0, 23).map(str), st.just("0,1,2,3"))
weekdays = st.one_of(st.none(), st.lists(st.sampled_from(DAYS), min_size=1, unique=True).map(",".join))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(ZONES), st.integers(2024, 2028), st.integers(0, 1), minutes, hours, weekdays)
@example("Europe/Amsterdam", 2026, 0, "0", "0", None)
@example("Europe/Amsterdam", 2026, 0, "0", "0", "mon")
@example("Europe/Amsterdam", 2026, 1, "30", "2", None)
@example("Africa/Cairo", 2026, 0, "30", "0", None)
@example("Antarctica/Troll", 2026, 0, "30", "1,2", None)
def test_cron_fires_when_a_watcher_of_the_clock_would_note_it(
    zone_name: str, year: int, which: int, minute: str, hour: str, weekday: str | None
) -> None:
    zone = ZoneInfo(zone_name)
    change = next(islice(changes(zone, year), which, None), datetime(year, 6, 1, tzinfo=UTC))
    begin, end = change - timedelta(days=2), change + timedelta(days=3)
    fields = {"minute": minute, "hour": hour} | ({"day_of_week": weekday} if weekday else {})

    found = []
    at = next_cron(fields, zone, begin)
    while at is not None and at <= end:
        found.append(at)
        at = next_cron(fields, zone, at)

    assert found == watched(fields, zone, begin, end)


@pytest.mark.parametrize(
    ("fields", "zone", "after", "expected"),
    [
        ({"hour": 0}, "Europe/Amsterdam", "2026-03-29T00:00", "2026-03-29T22:00"),
        ({"day_of_week": "mon"}, "America/New_York", "2026-03-08T12:00", "2026-03-09T04:00"),
        ({"hour": 2, "minute": 30}, "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:30"),
        ({"hour": 2, "minute": 30}, "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),
        ({"minute": 30}, "Europe/Berlin", "2026-10-25T00:30", "2026-10-25T01:30"),
        ({"day": 30, "hour": 8}, "Pacific/Apia", "2011-12-30T17:59", "2011-12-30T18:00"),
    ],
)
def test_what_schedulers_get_wrong(fields: dict[str, object], zone: str, after: str, expected: str) -> None:
    """Midnights and weeks after the change, an hour that is skipped, one that comes twice, a day that was left out."""
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert next_cron(fields, ZoneInfo(zone), moment) == datetime.fromisoformat(expected).replace(tzinfo=UTC)
