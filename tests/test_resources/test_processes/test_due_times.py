"""Which times fire when some were missed: all, the last, or none, and how many are left out."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest

from resources.processes import due_times
from resources.processes.due_times import Due, due_time
from resources.processes.schedules import Schedule

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""When the hourly schedule is due."""
HOUR = timedelta(hours=1)


def schedule(trigger: str = "interval", kwargs: dict[str, Any] | None = None, **changes: Any) -> Schedule:
    known: dict[str, Any] = {"missed": "last", "grace_seconds": None, "next_run_at": NINE, **changes}
    return Schedule(
        uuid4(), "A", uuid4(), "a", trigger, kwargs or {"hours": 1}, [], "ada", NINE, made_as=None, workflow_owner=None,
        **known,
    )  # fmt: skip


@pytest.mark.parametrize("missed", ["all", "last", "none"])
def test_time_within_its_grace_fires(missed: str) -> None:
    assert due_time(schedule(missed=missed), NINE + timedelta(seconds=60)) == Due(NINE, NINE + HOUR)


def test_all_missed_times_fire_one_after_the_other() -> None:
    assert due_time(schedule(missed="all"), NINE + 5 * HOUR) == Due(NINE, NINE + HOUR)


def test_last_of_the_missed_times_fires_and_says_how_many_do_not() -> None:
    assert due_time(schedule(), NINE + 5.5 * HOUR) == Due(NINE + 5 * HOUR, NINE + 6 * HOUR, left_out=5)


def test_of_missed_times_and_one_within_its_grace_the_last_rule_fires_that_one() -> None:
    now = NINE + 5 * HOUR + timedelta(seconds=10)
    assert due_time(schedule(), now) == Due(NINE + 5 * HOUR, NINE + 6 * HOUR, left_out=5)


def test_none_of_the_missed_times_fires_but_the_last_says_so() -> None:
    found = due_time(schedule(missed="none"), NINE + 5.5 * HOUR)
    assert (found.at, found.next_run_at, found.left_out) == (NINE + 5 * HOUR, NINE + 6 * HOUR, 5)
    assert found.refusal is not None
    assert "within 60 seconds" in found.refusal


def test_time_within_its_grace_fires_though_those_before_it_were_missed() -> None:
    now = NINE + 5 * HOUR + timedelta(seconds=10)
    assert due_time(schedule(missed="none"), now) == Due(NINE + 5 * HOUR, NINE + 6 * HOUR, left_out=5)


def test_grace_is_the_schedules_own() -> None:
    assert due_time(schedule(missed="none", grace_seconds=7200), NINE + 1.9 * HOUR) == Due(NINE, NINE + HOUR)


def test_missed_nights_are_counted_by_the_wall_clock() -> None:
    """Through the night of 29 March, which has no 02:30 in Amsterdam."""
    kwargs = {"hour": 2, "minute": 30, "timezone": "Europe/Amsterdam"}
    first = datetime(2026, 3, 27, 1, 30, tzinfo=UTC)
    found = due_time(schedule("cron", kwargs, next_run_at=first), datetime(2026, 3, 30, 12, tzinfo=UTC))
    assert found == Due(datetime(2026, 3, 30, 0, 30, tzinfo=UTC), datetime(2026, 3, 31, 0, 30, tzinfo=UTC), 3)


@pytest.mark.parametrize(("trigger", "kwargs"), [("interval", {"seconds": 1}), ("cron", {"second": "*"})])
def test_of_a_year_of_missed_seconds_not_each_is_looked_at(
    trigger: str, kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = Mock(side_effect=due_times.next_run)
    monkeypatch.setattr(due_times, "next_run", looked)
    monkeypatch.setattr(due_times, "MOST_COUNTED", 100)
    found = due_time(schedule(trigger, kwargs), NINE + timedelta(days=365, milliseconds=500))
    assert (found.at, found.left_out) == (NINE + timedelta(days=365), 99)
    assert looked.call_count < 200


def test_once_is_over() -> None:
    kwargs = {"run_date": NINE.isoformat()}
    assert due_time(schedule("date", kwargs), NINE + 5 * HOUR) == Due(NINE, None)


def test_trigger_that_can_no_longer_be_used_ends_the_schedule() -> None:
    found = due_time(schedule("cron", {"hour": 1, "timezone": "Mars/Olympus"}), NINE)
    assert (found.at, found.next_run_at) == (NINE, None)
    assert "Mars/Olympus" in str(found.refusal)
