"""The triggers of schedules: once, at an interval or by cron, with the names of APScheduler's triggers.

Only its arithmetic is used; the schedules are our own.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from resources.errors import ScheduleInvalid
from resources.processes.wall_clock import TICK, next_cron

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""By crontab's numbers, where Sunday is 0 and 7. APScheduler counts from Monday, so it gets names."""
CRON_FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(f"there is no time zone {name!r}; expected one such as Europe/Amsterdam or UTC")
    return name


Zone: TypeAlias = Annotated[str, AfterValidator(_known_zone)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Expression: TypeAlias = Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1, max_length=200)]


class _Kind(BaseModel):
    """The common arguments of triggers. A moment without a zone is in `timezone`."""

    model_config = ConfigDict(extra="forbid")

    timezone: Zone = "UTC"

    @property
    def zone(self) -> ZoneInfo:
        """The trigger's zone."""
        return ZoneInfo(self.timezone)

    def local(self, moment: datetime) -> datetime:
        """The moment, in the trigger's zone when it has none."""
        return moment if moment.tzinfo else moment.replace(tzinfo=self.zone)


class DateTrigger(_Kind):
    """Once."""

    run_date: datetime

    def next_after(self, moment: datetime, previous: datetime | None) -> datetime | None:
        """The one moment, unless it has passed or has fired."""
        at = self.local(self.run_date)
        return at if previous is None and at > moment else None


class _Repeated(_Kind):
    start_date: datetime | None = None
    end_date: datetime | None = None

    @property
    def begin(self) -> datetime | None:
        """The first possible moment."""
        return self.start_date and self.local(self.start_date)

    @property
    def end(self) -> datetime | None:
        """The last possible moment."""
        return self.end_date and self.local(self.end_date)


class Interval(_Repeated):
    """Repeats at an interval; first at `start_date`, else after one interval."""

    weeks: Count = 0
    days: Count = 0
    hours: Count = 0
    minutes: Count = 0
    seconds: Count = 0

    def next_after(self, moment: datetime, previous: datetime | None) -> datetime | None:
        """The next moment, in step with the previous one; missed ones are skipped."""
        lengths = {name: getattr(self, name) for name in ("weeks", "days", "hours", "minutes", "seconds")}
        if not (length := timedelta(**lengths)):
            raise ValueError("an interval has a length: give weeks, days, hours, minutes or seconds")
        begin = previous or self.begin or moment + length
        trigger = IntervalTrigger(**lengths, start_date=begin, end_date=self.end, timezone=self.zone)
        found: datetime | None = trigger.get_next_fire_time(None, moment)
        return found


class Cron(_Repeated):
    """Fires whenever all fields match; fields finer than the coarsest given one take their minimum."""

    year: Expression | None = None
    month: Expression | None = None
    day: Expression | None = None
    week: Expression | None = None
    day_of_week: Expression | None = None
    hour: Expression | None = None
    minute: Expression | None = None
    second: Expression | None = None

    def next_after(self, moment: datetime, previous: datetime | None) -> datetime | None:
        """The next moment by the zone's wall clock; missed ones are skipped."""
        fields = {name: getattr(self, name) for name in (*CRON_FIELDS, "week", "year")}
        given = {name: value for name, value in fields.items() if value is not None}
        if not given:
            raise ValueError(f"a cron trigger has a time: give {', '.join(fields)}")
        if faults := list(_faults(given)):
            raise ValueError("; ".join(faults))
        if self.begin is not None:
            moment = max(moment, self.begin - TICK)
        found = next_cron(given, self.zone, moment)
        return found if found is None or self.end is None or found <= self.end else None


KINDS: Mapping[str, type[DateTrigger | Interval | Cron]] = {"date": DateTrigger, "interval": Interval, "cron": Cron}


def check_trigger(kind: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a trigger as JSON. Raises ScheduleInvalid, which names each invalid one."""
    return _trigger(kind, kwargs).model_dump(mode="json", exclude_defaults=True)


def next_run(
    kind: str, kwargs: Mapping[str, Any], *, after: datetime, previous: datetime | None = None
) -> datetime | None:
    """When a trigger fires next, in UTC; None when never again. `previous`: when it fired last.

    Moments between `previous` and `after` are skipped. Raises ScheduleInvalid.
    """
    trigger = _trigger(kind, kwargs)
    moment = after if previous is None else max(after, previous + TICK)
    try:
        found = trigger.next_after(moment, previous)
        return None if found is None else found.astimezone(UTC)
    except OverflowError:
        raise ScheduleInvalid(f"The {kind} trigger cannot be used: its moments are out of range.") from None
    except (ValueError, TypeError) as error:
        raise ScheduleInvalid(f"The {kind} trigger cannot be used: {str(error).rstrip('.')}.") from None


def from_crontab(text: str, timezone: str = "UTC") -> dict[str, Any]:
    """The arguments of a cron trigger: minute, hour, day of the month, month, day of the week; optionally seconds
    first.

    As in a crontab, Sunday is 0 or 7. Raises ScheduleInvalid, which names every invalid field.
    """
    parts = text.split()
    if len(parts) not in (5, 6):
        raise ScheduleInvalid(f"A cron expression has 5 fields, or 6 with the seconds first; this has {len(parts)}.")
    names = CRON_FIELDS[-len(parts) :]
    given = dict(zip(names, parts, strict=True))
    if "*" not in (given["day"], given["day_of_week"]):
        raise ScheduleInvalid("Give a day of the month or a day of the week, and * for the other.")
    faults = []
    try:
        given["day_of_week"] = _weekdays(given["day_of_week"])
    except ValueError as error:
        faults.append(f"day_of_week: {error}")
    if faults := [*_faults(given), *faults]:
        raise ScheduleInvalid(f"The cron expression cannot be used: {'; '.join(faults)}.")
    return given | {"timezone": timezone}


def _weekdays(text: str) -> str:
    """Days of the week by name, for numbers as crontab has them."""

    def days(part: str) -> str:
        if found := re.fullmatch(r"([0-7])(?:-([0-7]))?(?:/([1-7]))?", part):
            first, last = int(found[1]), int(found[2] or found[1])
            if first > last:
                raise ValueError(f"the range {part} ends before it begins")
            return ",".join(DAYS[first : last + 1 : int(found[3] or 1)])
        if found := re.fullmatch(r"\*/([1-7])", part):
            return ",".join(DAYS[: 7 : int(found[1])])
        return part

    return ",".join(map(days, text.split(",")))


def _faults(fields: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with each field of a cron trigger."""
    for name, value in fields.items():
        try:
            CronTrigger(**{name: value}, timezone=UTC)
        except (ValueError, TypeError, OverflowError) as error:
            yield f"{name}: {error}"


def _trigger(kind: str, kwargs: Mapping[str, Any]) -> DateTrigger | Interval | Cron:
    if kind not in KINDS:
        raise ScheduleInvalid(f"There is no trigger {kind!r}; there is {', '.join(KINDS)}.")
    try:
        return KINDS[kind].model_validate(dict(kwargs))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc'][:1]))}: {one['msg']}" for one in error.errors())
        raise ScheduleInvalid(f"The {kind} trigger cannot be used: {faults}.") from None
