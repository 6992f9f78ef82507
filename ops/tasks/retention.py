"""Retention: removes old runs of Dagster with their event logs, and old lines of history, a chunk at a time."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter

from ops.steps.context import StepContext
from ops.steps.step import Step, step
from resources import clock, tags
from resources.database.session import SubscriptionDatabase
from resources.processes import old_history
from resources.processes.old_history import Ended
from resources.processes.owner import current_owner
from resources.runs.storage.event_log import PooledEventLogStorage
from resources.settings import settings
from resources.types import ProcessId, State
from resources.validations.standing import ASSETS, DRIFT, IN_TIME

CHUNK = 200
PAUSE_SECONDS = 0.1
"""Between two chunks, so that people's runs have the database, too."""
MOST_SECONDS = 900.0
"""How long one task removes; the next one continues."""
OUTCOMES = {
    DagsterRunStatus.SUCCESS: "success",
    DagsterRunStatus.FAILURE: "failure",
    DagsterRunStatus.CANCELED: "canceled",
}


def remove_old_runs(workflows: Callable[[], Mapping[str, Any]]) -> Step:
    """Make a step that removes the runs of this location that are older than RUN_RETENTION_DAYS, with their events.

    Ledger and history of the subscriptions stay. A run is kept while its process has not ended, or ended later than the
    age allows: so it is there as long as anybody may continue the process, or a sensor asks whether it was requested.
    """

    @step("Remove old runs")
    def remove_runs(context: StepContext, database: SubscriptionDatabase) -> State:
        """Adds `runs_removed`, by workflow and outcome, `events_removed`, and `is_complete`."""
        removed: dict[str, int] = {}
        events, give_up, is_complete = 0, time.monotonic() + MOST_SECONDS, True
        with database.detached():
            for chunk in _chunks(context.instance):
                if time.monotonic() > give_up:
                    is_complete = False
                    break
                old = [one.dagster_run for one in _removable(chunk, database, workflows())]
                events += _count_events(context.instance, [run.run_id for run in old])
                for run in old:
                    context.instance.delete_run(run.run_id)
                    what = f"{run.job_name}:{OUTCOMES[run.status]}"
                    removed[what] = removed.get(what, 0) + 1
                if old:
                    time.sleep(PAUSE_SECONDS)
        context.log.info(_report(sum(removed.values()), events, is_complete))
        return {"runs_removed": removed, "events_removed": events, "is_complete": is_complete}

    return remove_runs


@step("Remove old history")
def remove_old_history(context: StepContext, database: SubscriptionDatabase) -> State:
    """Remove results of validations and of the products' checks, and fired times, that are older than
    HISTORY_RETENTION_DAYS. Adds `history_removed`.
    """
    before = clock.now() - timedelta(days=settings().history_retention_days)
    removed = {table: sum(_deleted(database, table, before)) for table in old_history.HISTORIES}
    storage = context.instance.event_log_storage
    if isinstance(storage, PooledEventLogStorage):
        removed["asset_check_executions"] = sum(
            _in_chunks(lambda: storage.delete_check_results(ASSETS, [DRIFT, IN_TIME], before, CHUNK * 10))
        )
    for table, rows in removed.items():
        context.log.info("%s: %s rows are removed; their space is reusable.", table, f"{rows:,}")
    return {"history_removed": removed}


def days_kept(workflow: str, outcome: str) -> int | None:
    """How many days a run is kept, by the last pattern that fits; None is for ever."""
    run = f"{workflow}:{outcome}"
    rules = settings().run_retention_days.items()
    fitting = [days for name, days in rules if fnmatchcase(run, name if ":" in name else f"{name}:*")]
    return fitting[-1] if fitting else None


def _report(runs: int, events: int, is_complete: bool) -> str:
    left = "" if is_complete else " There are more; the next task removes them."
    return f"{runs:,} runs and {events:,} of their events are removed; their space in the tables is reusable.{left}"


def _count_events(instance: DagsterInstance, run_ids: Sequence[str]) -> int:
    """How many events these runs have; 0 if Dagster's storage is another than ours."""
    storage = instance.event_log_storage
    return storage.count_of(run_ids) if isinstance(storage, PooledEventLogStorage) else 0


def _chunks(instance: DagsterInstance) -> Iterator[Sequence[RunRecord]]:
    """The runs that have ended and are older than the shortest retention, the oldest first.

    The next chunk is read before one is given, for it begins behind the last run of that, which may then be gone.
    """
    if not (days := settings().run_retention_days.values()):
        return
    before = clock.now() - timedelta(days=min(days))
    ended = RunsFilter(statuses=list(OUTCOMES), created_before=before)
    chunk = instance.get_run_records(ended, limit=CHUNK, ascending=True)
    while chunk:
        last = chunk[-1].dagster_run.run_id
        following = instance.get_run_records(ended, limit=CHUNK, cursor=last, ascending=True)
        yield chunk
        chunk = following


def _removable(
    chunk: Sequence[RunRecord], database: SubscriptionDatabase, workflows: Mapping[str, Any]
) -> list[RunRecord]:
    named = {one.dagster_run.run_id: _process_of(one.dagster_run) for one in chunk}
    with database.transaction(read_only=True):
        ends = old_history.ends_of({one for one in named.values() if one is not None})
    found = []
    for record in chunk:
        run, process_id = record.dagster_run, named[record.dagster_run.run_id]
        end = ends.get(process_id) if process_id else None
        days = days_kept(run.job_name, OUTCOMES[run.status])
        if days is None or not _is_ours(run, end, workflows):
            continue
        before = clock.now() - timedelta(days=days)
        if record.create_timestamp < before and (end is None or (end.is_final and end.at < before)):
            found.append(record)
    return found


def _is_ours(run: DagsterRun, end: Ended | None, workflows: Mapping[str, Any]) -> bool:
    """Whether this location ran it. A deleted task has no process any more."""
    if end is not None:
        return end.location in (None, current_owner().location)
    location = tags.read(run.tags, tags.LOCATION)
    if location is not None:
        return location == current_owner().location
    return run.job_name in workflows or tags.read(run.tags, tags.ACTS_ON) is not None


def _process_of(run: DagsterRun) -> ProcessId | None:
    """The process of which it is a run, or on which it acted."""
    named = tags.read(run.tags, tags.ACTS_ON) or tags.read(run.tags, tags.PROCESS)
    try:
        return UUID(named or run.root_run_id or run.run_id)
    except ValueError:
        return None


def _deleted(database: SubscriptionDatabase, table: str, before: datetime) -> Iterator[int]:
    def delete() -> int:
        with database.transaction():
            return old_history.delete_history(table, before=before, limit=CHUNK * 10)

    with database.detached():
        yield from _in_chunks(delete)


def _in_chunks(delete: Callable[[], int]) -> Iterator[int]:
    """Delete until fewer go than a chunk has."""
    while True:
        yield (found := delete())
        if found < CHUNK * 10:
            return
        time.sleep(PAUSE_SECONDS)
