"""A sensor that has the fleet validated: it requests batches for what is due, within a budget, and writes nothing."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Protocol

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
)

from ops.tasks.validation import Fleet, validated_products
from resources import clock, tags
from resources.database.session import SubscriptionDatabase
from resources.processes import pause, validations
from resources.processes.owner import Owner, owned_by
from resources.runs.launching.launcher import PRIORITY
from resources.runs.storage_identity import storage_id
from resources.settings import settings
from resources.users import SYSTEM
from resources.validations import due
from resources.validations.due import Backlog

BATCH_JOB = "task_validate_batch"
INTERVAL_SECONDS = 30
LONGEST_WAIT = timedelta(minutes=1)
"""Something may be due earlier than the last look has found: what is new, and what has changed."""
BULK_PRIORITY = "-1"
"""A low priority: runs for which people wait go first."""
OPEN = [one for one in DagsterRunStatus if one.name in ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")]


class ValidatedFleet(Fleet, Protocol):
    """What the sensor needs of its orchestrator."""

    name: str

    def prepare(self) -> SubscriptionDatabase:
        """Its database, ready for use."""


def validation_sensor(fleet: ValidatedFleet) -> SensorDefinition:
    """Make the sensor; off until people switch it on in Dagster's page.

    Its cursor says in a sentence what the last tick did, how many wait and how far it is behind. While nothing is due
    it has the time when something is, and no statement is sent until then, but one a minute.
    """

    def tick(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        now = clock.now()
        said, until = _read_cursor(context.cursor)
        if until is not None and now < until:
            yield SkipReason(said)
            return
        with owned_by(Owner(fleet.name, storage_id(context.instance))):
            requests, said, until = _tick(fleet, context.instance, now)
        context.update_cursor(f"{said} ({_moment(until or now)})")  # the page's list shows how it begins
        yield from requests
        if not requests:
            yield SkipReason(said)

    return SensorDefinition(
        name="validation_sensor",
        evaluation_fn=tick,
        job_name=BATCH_JOB,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.STOPPED,
        description="Requests batches that validate the subscriptions that are due, those first that wait longest.",
    )


def _read_cursor(cursor: str | None) -> tuple[str, datetime | None]:
    """What the last tick did, and until when it need not look; no time in the first tick, or of an earlier version."""
    said, _, moment = (cursor or "").rpartition(" (")
    try:
        return said, datetime.fromisoformat(moment.removesuffix(")"))
    except ValueError:
        return said, None


def _tick(
    fleet: ValidatedFleet, instance: DagsterInstance, now: datetime
) -> tuple[list[RunRequest], str, datetime | None]:
    """The requests of a tick, a sentence, and until when the next ticks need not look. Writes nothing."""
    products = validated_products(fleet)
    with fleet.prepare().transaction(read_only=True):
        found = due.backlog(products.values())
        waiting = sum(one.due for one in found)
        if not waiting and not any(one.has_shorter_age for one in found):
            first = min((one.next_at for one in found if one.next_at), default=None)
            said = f"Nothing is due{f' before {_moment(first)}' if first else ''}."
            return [], said, min(first or now + LONGEST_WAIT, now + LONGEST_WAIT)
        behind = f"{_number(found)} {_behind(found, now)}"
        if pause.is_paused():
            return [], f"The engine is paused; {behind}.", None
        singles = max(0, settings().validations_at_once - validations.under_way())
    asked = RunsFilter(job_name=BATCH_JOB, statuses=OPEN, tags={tags.LOCATION: fleet.name})
    open_batches = instance.get_runs_count(asked)
    room = settings().validation_batches - open_batches
    if room <= 0:
        return [], f"{_batches(open_batches)} unfinished, as many as may be; {behind}.", None
    shares = due.shares(found, products, limit=max(1, waiting), singles=singles)
    if not shares and waiting:
        return [], f"All that is due needs a system or process whose budget is used up; {behind}.", None
    number = min(room, max(1, ceil(sum(shares.values()) / settings().validation_batch_size)))
    said = f"Requested {number} {'batch' if number == 1 else 'batches'}; {behind}; {_batches(open_batches)} unfinished."
    return [_request(fleet.name, now, slot) for slot in range(number)], said, None


def _request(location: str, now: datetime, slot: int) -> RunRequest:
    """A request with the time in its key: one of state alone would be spent for ever by a run that claimed nothing."""
    key = f"validate:{location}:{int(now.timestamp()) // INTERVAL_SECONDS}:{slot}"
    known = {tags.REQUEST: key, tags.LOCATION: location, **tags.of_user(SYSTEM), PRIORITY: BULK_PRIORITY}
    return RunRequest(run_key=key, job_name=BATCH_JOB, run_config={"inputs": {}}, tags=known)


def _number(found: Sequence[Backlog]) -> str:
    """How many wait, with the products of which most do."""
    most = sorted((one for one in found if one.due), key=lambda one: -one.due)
    more = " or more" if any(one.due >= due.MOST_COUNTED for one in found) else ""
    which = ", ".join(f"{one.product} {one.due:,}" for one in most[:3])
    rest = f" and {len(most) - 3} more products" if len(most) > 3 else ""
    total = sum(one.due for one in most)
    if not total:
        return "a maximum age has become shorter"
    return f"{total:,}{more} {'subscription waits' if total == 1 else 'subscriptions wait'} ({which}{rest})"


def _behind(found: Sequence[Backlog], now: datetime) -> str:
    oldest = min((one.oldest for one in found if one.oldest), default=now)
    minutes = int((now - oldest).total_seconds() // 60)
    if minutes < 1:
        return "since less than a minute"
    return f"since {minutes} min" if minutes < 120 else f"since {minutes // 60} h"


def _batches(number: int) -> str:
    return f"{number} {'batch is' if number == 1 else 'batches are'}"


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
