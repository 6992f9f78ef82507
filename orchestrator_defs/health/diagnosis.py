"""The diagnosis: checks everything that processes need, and tells people what to do."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from ops.tasks.validation import systems_of
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.jobs.type_names import type_names
from resources import clock
from resources.catalogue.backlog import read_backlog
from resources.catalogue.differences import counted
from resources.catalogue.kinds import ENGINE, NOBODY
from resources.database import schema
from resources.database.session import place
from resources.errors import OrchestratorError, TransportError
from resources.figures.counts import status_counts
from resources.processes import pause, recovery, schedules
from resources.processes.owner import Owner
from resources.processes.recovery import ProcessState
from resources.runs.launching.launcher import WarmRunLauncher, is_entered
from resources.runs.storage_identity import storage_id
from resources.settings import settings
from resources.types import ProcessStatus, Target

MOST = 20
"""A check lists at most so many of a kind."""
OVERDUE = timedelta(seconds=30)
"""How long after its deadline an aborted step may take to be killed."""
QUIET_SECONDS = 60.0
"""What the sensors have not repaired after so long, they do not repair."""
LAUNCHING = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING)
SENSORS = ("wake", "sweeper", "run_time_schedules")


class Verdict(StrEnum):
    """The result of a check: all is well, something to know, or something to do."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of a check. `advice` is what to do, or empty."""

    about: str
    verdict: Verdict
    found: str
    advice: str = ""


Check = Callable[[Orchestrator, DagsterInstance], Iterator[Finding]]


def diagnose(orchestrator: Orchestrator, instance: DagsterInstance) -> list[Finding]:
    """Make every check, one after the other; stop when there is no database, or the schema is another."""
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found += check(orchestrator, instance)
        except (OrchestratorError, TransportError) as error:
            found.append(Finding(check.__name__.strip("_"), Verdict.WRONG, str(error)))
        if check in (_database, _schema) and found[-1].verdict is Verdict.WRONG:
            break
    return found


def _database(orchestrator: Orchestrator, _: DagsterInstance) -> Iterator[Finding]:
    schema.current(orchestrator.database)  # raises DatabaseUnreachable
    yield Finding("database", Verdict.OK, f"The {place(orchestrator.database.url)} answers.")


def _schema(orchestrator: Orchestrator, _: DagsterInstance) -> Iterator[Finding]:
    current, head = schema.current(orchestrator.database), schema.head()
    if current == head:
        yield Finding("schema", Verdict.OK, f"It is at revision {head}.")
        return
    found = f"It is at revision {current or 'none'}; this version needs {head}."
    yield Finding("schema", Verdict.WRONG, found, "Run `orchestrator db upgrade`.")


def _catalogue(orchestrator: Orchestrator, _: DagsterInstance) -> Iterator[Finding]:
    with orchestrator.database.transaction(read_only=True):
        plan = orchestrator.catalogue.plan()
        left = read_backlog(Owner(orchestrator.catalogue.owner).owns_product())
    if not plan:
        found = f"The database has the products and workflows of code location '{plan.owner}'."
        yield Finding("catalogue", Verdict.OK, found)
    elif not (additions := len(plan.additions)):
        found = f"It has {counted({'thing': len(plan)})} that the code of location '{plan.owner}' no longer has."
        advice = "See `orchestrator catalogue plan`; `orchestrator catalogue apply` asks before it removes anything."
        yield Finding("catalogue", Verdict.NOTE, found, advice)
    else:
        is_missing = plan.needed and not orchestrator.database.is_embedded
        found = f"It differs from the code of location '{plan.owner}' in {counted({'point': len(plan)})}"
        found += f", {len(plan) - additions} of them removals." if additions < len(plan) else "."
        advice = "See `orchestrator catalogue plan`, then run `orchestrator catalogue apply`, for this location."
        yield Finding("catalogue", Verdict.WRONG if is_missing else Verdict.NOTE, found, advice)
    if left.total:
        found = f"Subscriptions that a change of a model has yet to reach: {left}."
        yield Finding("catalogue", Verdict.NOTE, found, "Run `orchestrator catalogue backfill`.")
    for owner, numbers in plan.others.items():
        found = f"It also has {counted(numbers)} of '{owner}', which code location '{plan.owner}' leaves alone."
        advice = f"If that is the former name of '{plan.owner}': `orchestrator catalogue apply --take-over {owner}`."
        if owner == NOBODY:
            advice = "They become those of the location that declares them when it applies its catalogue."
        yield Finding("catalogue", Verdict.NOTE, found, advice)


def _types(orchestrator: Orchestrator, _: DagsterInstance) -> Iterator[Finding]:
    for clash in type_names([orchestrator]).clashes:
        found, _dot, advice = clash.rpartition(" there. ")
        yield Finding("graphql", Verdict.NOTE, f"{found} there.", advice)


def _validations(orchestrator: Orchestrator, _: DagsterInstance) -> Iterator[Finding]:
    for name, workflow in sorted(orchestrator.workflows.items()):
        if workflow.target is Target.VALIDATE and workflow.in_batch and (why := workflow.why_not_in_batch):
            found = f"{name} takes a process for each subscription and no batch: {why}."
            advice = "Many small processes are slow; a workflow of functions alone is validated in batches."
            yield Finding("validations", Verdict.NOTE, found, advice)
    validations = [one for one in orchestrator.workflows.values() if one.target is Target.VALIDATE]
    used = frozenset[str]().union(*map(systems_of, validations))
    for name in sorted(settings().validations_per_system.keys() - used):
        found = f"VALIDATIONS_PER_SYSTEM limits {name!r}, which no validation of {orchestrator.name} uses."
        names = ", ".join(sorted(used)) or "none"
        advice = f"Correct the name, unless it is of another location; its validations use: {names}."
        yield Finding("validations", Verdict.NOTE, found, advice)


def _engine(orchestrator: Orchestrator, _: DagsterInstance) -> Iterator[Finding]:
    with orchestrator.database.transaction(read_only=True):
        is_paused = pause.is_paused()
        counts = status_counts()
    if is_paused:
        yield Finding(
            "engine", Verdict.NOTE, "It is paused: no step begins.", "Release it when nothing needs the pause."
        )
    else:
        yield Finding("engine", Verdict.OK, "It is not paused.")
    for status in (one for one in ProcessStatus if one.is_failure):
        if number := sum(count for (found, _), count in counts.items() if found == status):
            advice = f"`orchestrator process list --status {status}` shows them; resume or abort each."
            yield Finding("engine", Verdict.NOTE, f"{number} processes are {status}.", advice)


def _daemon(orchestrator: Orchestrator, instance: DagsterInstance) -> Iterator[Finding]:
    statuses = instance.get_daemon_statuses()
    if unhealthy := [name for name, one in statuses.items() if one.required and not one.healthy]:
        advice = "Start `dagster-daemon run` (or `dagster dev`): without it nothing continues automatically."
        yield Finding("daemon", Verdict.WRONG, f"No heartbeat of {', '.join(sorted(unhealthy))}.", advice)
    else:
        yield Finding("daemon", Verdict.OK, "Its heartbeat is fresh.")
    states = instance.all_instigator_state()
    stopped = {state.instigator_name for state in states if state.status.value == "STOPPED"}
    for name in (one for one in SENSORS if one in stopped):
        yield Finding("daemon", Verdict.WRONG, f"The sensor {name} is off.", "Switch it on in Dagster's page.")
    if not unhealthy:
        advice = "Its code server may have lost the code: restart that, or reload the location in Dagster's page."
        for found in late_sensors(orchestrator, states):
            yield Finding("daemon", Verdict.WRONG, found, advice)
    if not instance.run_monitoring_enabled:
        advice = "Set `run_monitoring: enabled: true` in dagster.yaml, as this project's does."
        yield Finding("daemon", Verdict.NOTE, "The workers of other launchers are not monitored.", advice)


def late_sensors(orchestrator: Orchestrator, states: Iterable[Any]) -> Iterator[str]:
    """The sensors of the location that do not run although they are on: the daemon asks a code server for each tick."""
    location = orchestrator.code.name if orchestrator.code else None
    for state in states:
        if state.name not in SENSORS or not state.is_running or state.sensor_instigator_data is None:
            continue
        last = state.sensor_instigator_data.last_tick_timestamp
        is_ours = state.origin.repository_origin.code_location_origin.location_name == location
        if is_ours and last is not None and (seconds := time.time() - last) > QUIET_SECONDS:
            yield f"The sensor {state.name} last ran {seconds:.0f} seconds ago, although it is on."


def _workers(_: Orchestrator, instance: DagsterInstance) -> Iterator[Finding]:
    launcher = instance.run_launcher
    if not isinstance(launcher, WarmRunLauncher):
        yield Finding("workers", Verdict.OK, f"Runs are launched by {type(launcher).__name__}.")
        return
    live, waiting = len(launcher.dispatch.workers()), sum(launcher.dispatch.waiting().values())
    if waiting and not live:
        advice = "Run `orchestrator workers start`; the log of those before is workers/workers.log in the data folder."
        yield Finding("workers", Verdict.WRONG, f"{waiting} runs wait, and no worker lives.", advice)
    else:
        yield Finding("workers", Verdict.OK, f"{live} live, {waiting} runs wait. The next launch starts those needed.")


def _processes(orchestrator: Orchestrator, instance: DagsterInstance) -> Iterator[Finding]:
    with orchestrator.database.transaction(read_only=True):
        quiet = [
            one
            for one in recovery.in_progress(Owner(orchestrator.name, storage_id(instance)), MOST)
            if one.quiet_seconds > QUIET_SECONDS
        ]
    ids = [one.run_id for one in quiet if one.run_id]
    runs = {run.run_id: run for run in instance.get_runs(RunsFilter(run_ids=ids))} if ids else {}
    inconsistent = {one: why for one in quiet if (why := _trouble(instance, one, runs.get(one.run_id or "")))}
    for one, why in inconsistent.items():
        found = f"{one.process_id} is {one.status}, and its run {why}."
        yield Finding("processes", Verdict.WRONG, found, "The sensor `sweeper` repairs this: check the daemon.")
    if not inconsistent:
        yield Finding("processes", Verdict.OK, "All states are consistent.")


def _trouble(instance: DagsterInstance, one: ProcessState, run: DagsterRun | None) -> str:
    """Why a run does not execute its process, although nothing has changed for long; empty when it may."""
    if run is None:
        return "is not there"
    if run.is_finished:
        return f"is over ({run.status.value})"
    is_launched = one.status is ProcessStatus.RUNNING or run.status not in LAUNCHING
    is_known = is_launched or is_entered(instance, run.run_id)
    return "" if is_known else f"is {run.status.value}, and no worker has heard of it"


def _locations(orchestrator: Orchestrator, _: DagsterInstance) -> Iterator[Finding]:
    with orchestrator.database.transaction(read_only=True):
        others = recovery.unfinished_elsewhere(orchestrator.name)
    for location, number in others.items():
        found = f"Code location '{location}' has unfinished processes, which wait until it is loaded: {number}."
        advice = f"`orchestrator doctor --location {location}` checks them, with that code location in the workspace."
        yield Finding("locations", Verdict.NOTE, found, advice)


def _schedules(orchestrator: Orchestrator, _: DagsterInstance) -> Iterator[Finding]:
    owners, late = (orchestrator.name, ENGINE), clock.now() - OVERDUE
    with orchestrator.database.transaction(read_only=True):
        found = [] if pause.is_paused() else schedules.in_trouble(late, owners, orchestrator.workflows, MOST)
    for one in found:
        what = f"{one.name!r} ({one.schedule_id}) of {one.workflow_name}"
        if one.next_run_at and one.workflow_name not in orchestrator.workflows:
            advice = f"Remove it (`orchestrator schedules remove {one.schedule_id}`), or bring the workflow back."
            yield Finding("schedules", Verdict.WRONG, f"{what}: the code has no such workflow any more.", advice)
        elif one.next_run_at and one.next_run_at < late:
            advice = "The sensor `run_time_schedules` fires it: check the daemon."
            yield Finding("schedules", Verdict.WRONG, f"{what} is due since {one.next_run_at:%F %T %Z}.", advice)
        elif one.last_run:
            refused = f"{what} started nothing at {one.last_run.due_at:%F %T %Z}: {one.last_run.refusal}"
            advice = f"See `orchestrator schedules show {one.schedule_id}`; change or remove it if that stays so."
            yield Finding("schedules", Verdict.NOTE, refused, advice)
    if not found:
        yield Finding("schedules", Verdict.OK, "None is late or was refused.")


def _waits(orchestrator: Orchestrator, instance: DagsterInstance) -> Iterator[Finding]:
    with orchestrator.database.transaction(read_only=True):
        owner = Owner(orchestrator.name, storage_id(instance))
        late = [] if pause.is_paused() else recovery.overdue_waits(owner, QUIET_SECONDS, MOST, orchestrator.workflows)
    for process_id in late:
        found = f"{process_id} still waits although its wait is due."
        yield Finding("waits", Verdict.WRONG, found, "The sensor `wake` continues it: check the daemon.")
    with orchestrator.database.transaction(read_only=True):
        aborting = [one for one in recovery.aborting(owner, MOST) if clock.now() > one.until + OVERDUE]
    for one in aborting:
        found = f"{one.process_id} is being aborted, and its step has not ended since {one.until:%F %T %Z}."
        advice = "Its reason names the process to end; the sensor `sweeper` then unlocks its subscriptions."
        yield Finding("waits", Verdict.WRONG, found, advice)
    if not (late or aborting):
        yield Finding("waits", Verdict.OK, "None is overdue.")


def _locks(orchestrator: Orchestrator, _: DagsterInstance) -> Iterator[Finding]:
    with orchestrator.database.transaction(read_only=True):
        left = recovery.left_locks(MOST)
    for subscription_id, process_id in left:
        found = f"Subscription {subscription_id} is locked by process {process_id}, which has ended."
        yield Finding(
            "locks", Verdict.WRONG, found, "Report this: the last step of a process unlocks its subscriptions."
        )
    if not left:
        yield Finding("locks", Verdict.OK, "No subscription is locked by a process that has ended.")


CHECKS: tuple[Check, ...] = (
    _database,
    _schema,
    _catalogue,
    _types,
    _validations,
    _engine,
    _daemon,
    _workers,
    _processes,
    _locations,
    _schedules,
    _waits,
    _locks,
)
