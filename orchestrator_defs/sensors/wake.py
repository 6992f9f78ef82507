"""The sensors `wake`, which requests runs for due waits, and `sweeper`, which repairs what a dead process has left."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dagster import (
    DefaultSensorStatus,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
)

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.launching import Launched, launch_all, request_all, request_continuations
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.sensors.jobs_sensor import JobsSensor
from orchestrator_defs.sensors.preview import is_preview
from orchestrator_defs.sensors.sweeper import Sweeper
from resources import clock
from resources.processes.recovery import Place
from resources.runs import workspaces
from resources.types import ProcessId

INTERVAL_SECONDS = 5
WAKE_AT_ONCE = 100
"""How many processes one tick of the sensor continues; the next tick takes the others."""
MOST_LOOKED_AT = 2000
"""How many due processes one tick looks at, most of which may have their run."""
MOST_LINES = 20
"""The most lines of a tick's message; it counts the others."""

Tick = Callable[[SensorEvaluationContext], Iterator[RunRequest | SkipReason]]


def process_sensors(orchestrator: Orchestrator) -> list[SensorDefinition]:
    """Make the sensors of an orchestrator; they run while Dagster's daemon does."""
    jobs = list(orchestrator.jobs)
    if not jobs:
        return []
    return [
        _sensor("wake", jobs, wake_tick(orchestrator), "Continues processes whose wait is due."),
        _sensor("sweeper", jobs, sweeper_tick(orchestrator), "Repairs what a killed process has left."),
    ]


def _sensor(name: str, jobs: Sequence[JobDefinition], tick: Tick, description: str) -> SensorDefinition:
    return JobsSensor(
        name=name,
        evaluation_fn=tick,
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description=description,
    )


def wake_tick(orchestrator: Orchestrator) -> Tick:
    """The sensor `wake`: it requests runs and writes nothing. The run ends the wait when it claims the process."""

    def tick(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        learn_code(orchestrator, context)
        answers = Processes(orchestrator, context.instance).answers
        requests: list[RunRequest] = []
        seen: set[ProcessId] = set()
        while len(requests) < WAKE_AT_ONCE and len(seen) < MOST_LOOKED_AT:  # those with a run take nobody's place
            due = answers.due(WAKE_AT_ONCE, without=seen)
            requests += request_continuations(due, context.instance)
            seen.update(one.process_id for one in due)
            if len(due) < WAKE_AT_ONCE:
                break
        yield from requests[:WAKE_AT_ONCE]
        if not requests:
            yield SkipReason(f"{len(seen)} waits are due; each has its run." if seen else "No wait is due.")

    return tick


def sweeper_tick(orchestrator: Orchestrator) -> Tick:
    """The sensor `sweeper`; its cursor has where the next sweep begins when one could not check everything.

    The first sweep after a start of the daemon finds what happened before: it compares all processes in progress. It
    writes, because a lost process has no run that could; but not in a preview.
    """

    def tick(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        learn_code(orchestrator, context)
        is_only_preview = is_preview(context)
        sweeper = Sweeper(orchestrator, context.instance, is_preview=is_only_preview)
        service = Processes(orchestrator, context.instance)
        launch = request_all if is_only_preview else launch_all
        first = sweeper.unlaunched()  # before the sweep, which may be slow
        launched = launch(service, first.launch)
        sweep = sweeper.sweep(_read_cursor(context.cursor))
        launched += launch(service, [one for one in sweep.launch if one not in first.launch])
        report = [*first.report, *(line for line in sweep.report if line not in first.report)]
        context.update_cursor(_write_cursor(sweep.place, report))
        nothing = f"{sweep.seen} processes are in progress; nothing to repair."
        yield from tick_result(context, report, launched, nothing)

    return tick


def learn_code(orchestrator: Orchestrator, context: SensorEvaluationContext) -> None:
    """Record where the code of this location came from, for the runs that are created here."""
    origin, repository = context.code_location_origin, context.repository_name
    if orchestrator.code is None and origin is not None and repository is not None:
        orchestrator.code = workspaces.code_of(origin, repository)


def tick_result(
    context: SensorEvaluationContext, report: Sequence[str], launched: Launched, nothing: str
) -> Iterator[RunRequest | SkipReason]:
    """Yield the requests for runs. Reports what was done in the tick's message, or in its log beside requests."""
    lines = [*report, *launched.problems]
    for line in lines:
        context.log.info(line)
    yield from launched.requests
    if not launched.requests:
        more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
        yield SkipReason("; ".join([*lines[:MOST_LINES], *more]) or nothing)


def _write_cursor(place: Place | None, report: Sequence[str]) -> str:
    cursor: dict[str, Any] = {"at": clock.now().isoformat(timespec="seconds"), "set right": len(report)}
    if place is not None:
        cursor["after"] = [place[0].isoformat(), str(place[1])]
    return json.dumps(cursor)


def _read_cursor(cursor: str | None) -> Place | None:
    """Where the last sweep stopped; an edited cursor means the beginning."""
    try:
        moment, process_id = json.loads(cursor or "{}")["after"]
        return datetime.fromisoformat(moment), UUID(process_id)
    except (KeyError, ValueError, TypeError):
        return None
