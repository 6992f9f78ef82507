"""The sensor `run_time_schedules`: it fires the schedules that people make over the API or on the command line."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from uuid import UUID

from dagster import (
    DefaultSensorStatus,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
)

from ops.starting.firing import fire
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.launching import Launched, launch_all
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.sensors.jobs_sensor import JobsSensor
from orchestrator_defs.sensors.preview import is_preview
from orchestrator_defs.sensors.wake import INTERVAL_SECONDS, MOST_LINES, Tick, learn_code, tick_result
from resources import clock
from resources.catalogue.kinds import ENGINE
from resources.errors import DatabaseBusy, EnginePaused
from resources.processes.owner import Owner, owned_by
from resources.processes.schedules import Firing, Schedule, due_schedules
from resources.runs.storage_identity import storage_id

NAME = "run_time_schedules"
FIRES_SECONDS = 15.0
"""How long one tick fires; the next one continues."""


def schedule_sensor(orchestrator: Orchestrator, jobs: Sequence[JobDefinition]) -> SensorDefinition:
    """Make the sensor; it runs while Dagster's daemon does."""
    return JobsSensor(
        name=NAME,
        evaluation_fn=schedule_tick(orchestrator),
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Fires the schedules that people made (`orchestrator schedules`, /api/schedules), each time once.",
    )


def schedule_tick(orchestrator: Orchestrator) -> Tick:
    """A tick. It writes, because a time must not depend on a run that may get lost; but not in a preview.

    A process that is written and not launched, because the daemon is killed in between, is launched by the sweeper.
    """

    def tick(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        learn_code(orchestrator, context)
        service, lines, launched = Processes(orchestrator, context.instance), [], Launched()
        if is_preview(context):
            with service.database.transaction(read_only=True):
                due = due_schedules(clock.now(), (orchestrator.name, ENGINE), limit=MOST_LINES)
            lines = [f"would fire {_name(one)}, due since {one.next_run_at:%F %T %Z}" for one in due]
        else:
            started = 0
            try:
                for schedule, firing in _fire_due(orchestrator, service):
                    lines.append(_line(schedule, firing))
                    if firing.process_id:
                        started += 1
                        launched += launch_all(service, [firing.process_id])
            except EnginePaused as error:
                lines.append(f"what is due fires after the pause: {error}")
            if lines:  # the page lists cursors; the lines it shows when a tick is clicked
                context.update_cursor(_said(len(lines), started))
        yield from tick_result(context, lines, launched, "No schedule is due.")

    return tick


def _fire_due(orchestrator: Orchestrator, service: Processes) -> Iterator[tuple[Schedule, Firing]]:
    """Fire what is due in rounds, each schedule once a round: one with many missed times does not delay the others."""
    give_up, tried, fires = time.monotonic() + FIRES_SECONDS, set[UUID](), False
    with owned_by(Owner(orchestrator.name, storage_id(service.instance))):
        while time.monotonic() < give_up:
            now = clock.now()
            with service.database.transaction(read_only=True):
                due = due_schedules(now, (orchestrator.name, ENGINE), limit=1, without=tried)
            if not due and not fires:
                return
            if not due:
                tried, fires = set(), False
            for schedule in due:
                tried.add(schedule.schedule_id)
                workflow = orchestrator.workflows.get(schedule.workflow_name)
                with suppress(DatabaseBusy):  # somebody holds the subscription's row: the next tick tries again
                    if firing := fire(schedule, workflow, service.database, service.form_resources, now):
                        fires = True
                        yield schedule, firing


def _said(fired: int, started: int) -> str:
    times = f"{fired} due {'time' if fired == 1 else 'times'}"
    return f"{clock.now():%T}: {times} fired, of which {started} started a process."


def _name(schedule: Schedule) -> str:
    return f"{schedule.name!r} ({schedule.workflow_name})"


def _line(schedule: Schedule, firing: Firing) -> str:
    what = f"process {firing.process_id}" if firing.process_id else f"no process: {firing.refusal}"
    more = f" {firing.left_out} missed times before it were left out." if firing.left_out else ""
    return f"{_name(schedule)} of {firing.due_at:%F %T %Z}: {what}{more}"
