"""When schedules fire: once, at an interval, by cron; what cannot be used is named."""

from datetime import UTC, datetime, timedelta

import pytest

from resources.errors import ScheduleInvalid
from resources.processes.triggers import check_trigger, from_crontab, next_run

NOON = datetime(2026, 3, 25, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "kwargs", "expected"),
    [
        ("date", {"run_date": "2026-04-01T08:00:00+02:00"}, "2026-04-01T06:00"),
        ("date", {"run_date": "2026-04-01T08:00:00", "timezone": "Europe/Amsterdam"}, "2026-04-01T06:00"),
        ("date", {"run_date": 1775023200}, "2026-04-01T06:00"),
        ("date", {"run_date": "2026-03-25T11:00:00"}, None),
        ("interval", {"hours": 4}, "2026-03-25T16:00"),
        ("interval", {"days": 1, "hours": 1}, "2026-03-26T13:00"),
        ("interval", {"hours": 4, "start_date": "2026-03-25T13:30:00"}, "2026-03-25T13:30"),
        ("interval", {"hours": 4, "start_date": "2026-03-25T03:30:00"}, "2026-03-25T15:30"),
        ("interval", {"hours": 4, "end_date": "2026-03-25T15:00:00"}, None),
        ("cron", {"hour": 0, "minute": 10}, "2026-03-26T00:10"),
        ("cron", {"hour": "0", "minute": "*/10"}, "2026-03-26T00:00"),
        ("cron", {"hour": 1, "timezone": "America/New_York"}, "2026-03-26T05:00"),
        ("cron", {"day_of_week": "mon"}, "2026-03-30T00:00"),
        ("cron", {"hour": 3, "end_date": "2026-03-25T20:00:00"}, None),
        ("cron", {"month": 2, "day": 30}, None),
    ],
)
def test_a_trigger_fires_next(kind, kwargs, expected):
    found = next_run(kind, check_trigger(kind, kwargs), after=NOON)
    assert (found and f"{found:%Y-%m-%dT%H:%M}") == expected
    assert found is None or found.utcoffset() == timedelta(0)


def test_an_interval_stays_in_step_and_leaves_out_what_was_missed():
    previous = NOON - timedelta(hours=10)
    assert next_run("interval", {"hours": 4}, after=NOON, previous=previous) == NOON + timedelta(hours=2)
    assert next_run("interval", {"hours": 4}, after=NOON, previous=NOON) == NOON + timedelta(hours=4)


def test_cron_leaves_out_what_was_missed():
    previous = NOON - timedelta(days=3)
    assert next_run("cron", {"hour": 11}, after=NOON, previous=previous) == NOON + timedelta(hours=23)
    assert next_run("cron", {"hour": 12}, after=NOON, previous=NOON) == NOON + timedelta(days=1)


def test_once_is_once():
    assert next_run("date", {"run_date": "2027-01-01T00:00:00"}, after=NOON, previous=NOON) is None


@pytest.mark.parametrize(
    ("kind", "kwargs", "said"),
    [
        ("daily", {}, "'daily'"),
        ("date", {}, "run_date"),
        ("date", {"run_date": "soon"}, "run_date"),
        ("date", {"run_date": "2030-01-01", "timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ("date", {"run_date": "9999-12-31T23:59:59-12:00"}, "out of range"),
        ("interval", {}, "length"),
        ("interval", {"hours": 0}, "length"),
        ("interval", {"hours": -1}, "hours"),
        ("interval", {"hours": "many"}, "hours"),
        ("interval", {"weeks": 10**12}, "out of range"),
        ("interval", {"weeks": 10**400}, "out of range"),
        ("interval", {"fortnights": 1}, "fortnights"),
        ("cron", {}, "a time"),
        ("cron", {"hour": 25}, "hour"),
        ("cron", {"hour": "*/0"}, "hour"),
        ("cron", {"minute": ""}, "minute"),
        ("cron", {"minute": "x" * 300}, "minute"),
        ("cron", {"crontab": "* * * * *"}, "crontab"),
        ("cron", {"minute": None}, "a time"),
        ("cron", {"day_of_week": "someday"}, "day_of_week"),
    ],
)
def test_what_cannot_be_used_is_named(kind, kwargs, said):
    with pytest.raises(ScheduleInvalid, match=said):
        next_run(kind, check_trigger(kind, kwargs), after=NOON)


def test_all_that_is_wrong_is_named():
    with pytest.raises(ScheduleInvalid, match=r"minute: .*; hour: "):
        next_run("cron", {"hour": 25, "minute": 61}, after=NOON)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10 0 * * *", "2026-03-26T00:10:00"),
        ("30 10 0 * * *", "2026-03-26T00:10:30"),
        ("0 0 * * 0", "2026-03-29T00:00:00"),
        ("0 0 * * 7", "2026-03-29T00:00:00"),
        ("0 0 * * 1-5", "2026-03-26T00:00:00"),
        ("0 0 * * 0-1", "2026-03-29T00:00:00"),
        ("0 0 * * 1,sun", "2026-03-29T00:00:00"),
        ("0 0 * * fri", "2026-03-27T00:00:00"),
        ("0 0 * * */2", "2026-03-26T00:00:00"),
        ("0 0 * * */3", "2026-03-28T00:00:00"),
        ("0 0 * * 2-6/4", "2026-03-28T00:00:00"),
        ("0 0 1 * *", "2026-04-01T00:00:00"),
    ],
)
def test_a_crontab_means_what_it_says(text, expected):
    """Wednesday is the day after which it is asked."""
    found = next_run("cron", check_trigger("cron", from_crontab(text)), after=NOON)
    assert found is not None
    assert f"{found:%Y-%m-%dT%H:%M:%S}" == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this has 0"),
        ("* * * *", "this has 4"),
        ("61 25 * * *", "minute.*hour"),
        ("61 * * * 5-1", "minute.*day_of_week"),
        ("0 0 1 * 1", r"and \* for the other"),
        ("0 0 * * 8", "day_of_week"),
    ],
)
def test_a_crontab_that_means_nothing_is_refused(text, said):
    with pytest.raises(ScheduleInvalid, match=said):
        from_crontab(text)
