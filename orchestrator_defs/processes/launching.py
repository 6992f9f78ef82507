"""Launches processes from the daemon and from runs: passes runs to workers, or requests them from Dagster.

With our run launcher, when runs start as they are launched, a process's next run is created here: its id is in the
process's row, and it has only the remaining steps. Any other launcher, or a queue, needs a RunRequest for the whole
job. Dagster then gives the run another id; committed steps return at once, and the run claims the process.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunRequest, RunsFilter

from orchestrator_defs.jobs.launchpad import continuing
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.processes import Processes
from resources import clock, tags
from resources.errors import OrchestratorError, RunMayNotAct, SettingsError
from resources.processes import process_rows, recovery
from resources.processes.recovery import ProcessState
from resources.runs.code_location import CodeLocation
from resources.runs.launched_by import launched_by
from resources.runs.launching.launcher import PARENT_RUN, ROOT_RUN, launches_to_workers
from resources.runs.run_events import report_event
from resources.types import ProcessId
from resources.users import SYSTEM
from resources.validations import failing

PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 600.0
"""The back-off of a request whose run ended before it claimed the process; it doubles after each further time."""
LAUNCHES_SECONDS = 10.0
"""How long the launches of one tick may take; what waits for a locked row takes half a second."""
RUN_KEY = "dagster/run_key"
"""Dagster's tag of a run that a sensor has requested."""


@dataclass
class Launched:
    """The result of a launch: requests for Dagster, and lines for people about what failed."""

    requests: list[RunRequest] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: "Launched") -> "Launched":
        return Launched([*self.requests, *other.requests], [*self.problems, *other.problems])


def launch_all(service: Processes, process_ids: Collection[ProcessId]) -> Launched:
    """Launch the runs in the rows of these processes. May run twice: each run is executed once.

    A process that the code can no longer continue fails, with the reason; what the launcher cannot do now is retried.
    """
    launched = Launched()
    if not process_ids:
        return launched
    if not launches_to_workers(service.instance):
        return request_all(service, process_ids)
    give_up = time.monotonic() + LAUNCHES_SECONDS
    for process_id in process_ids:
        if time.monotonic() > give_up:
            launched.problems.append(f"{process_id} is not launched yet: the next tick does it")
            continue
        try:
            service.runs.launch(process_id, user=SYSTEM)
        except RunMayNotAct:  # another has just launched it, or ended it
            continue
        except SettingsError as error:  # of this process, not of theirs
            launched.problems.append(f"{process_id} is not launched yet: {error}")
        except OrchestratorError as error:
            _mark_as_failed(service, process_id, str(error))
            launched.problems.append(f"{process_id} cannot continue: {error}")
        except Exception as error:  # noqa: BLE001  whatever a launcher raises, the other processes must be launched
            launched.problems.append(f"{process_id} is not launched yet: {error}")
    return launched


def launch_next(
    orchestrator: Orchestrator,
    instance: DagsterInstance,
    run: DagsterRun,
    ready: Sequence[ProcessId],
    stopped: ProcessId | None,
) -> None:
    """Launch, from a run of this location, what its step has made ready, and what waits for a process that has stopped.

    Commits. May run twice, also beside the sensors: the id of each run is in the process's row. A run whose code is
    not known from a workspace (`dagster job execute`) leaves all to the sensors.
    """
    orchestrator.code = orchestrator.code or CodeLocation.of_run(run)
    if orchestrator.code is None or not launches_to_workers(instance):
        return
    service = Processes(orchestrator, instance)
    service.runs.launch_ready(ready, user=launched_by(instance, run.tags))
    if stopped is not None:
        service.runs.launch_after(stopped)


def request_all(service: Processes, process_ids: Collection[ProcessId]) -> Launched:
    """Request the runs in the rows of these processes. Writes nothing."""
    with service.database.transaction(read_only=True):
        found = recovery.states_of(process_ids)
    requests = [
        RunRequest(
            run_key=one.run_id,
            job_name=one.workflow_name,
            run_config=continuing(one.process_id),
            tags={tags.PROCESS: str(one.process_id), **tags.of_user(SYSTEM)},
        )
        for one in found
        if one.status in recovery.IN_PROGRESS and one.workflow_name in service.served.workflows
    ]
    return Launched(requests)


def request_continuations(processes: Collection[ProcessState], instance: DagsterInstance) -> list[RunRequest]:
    """Request a run for each of these stopped processes, unless one is requested already. Writes nothing."""
    earlier = runs_by_tag(instance, tags.PROCESS, [str(one.process_id) for one in processes])
    requests = []
    for one in processes:
        process_id, parent = str(one.process_id), one.run_id or str(one.process_id)
        runs = [run for run in earlier.get(process_id, []) if run.dagster_run.tags.get(PARENT_RUN) == parent]
        if (run_key := next_run_key(parent, runs)) is None:
            continue
        known = {tags.PROCESS: process_id, **tags.of_user(SYSTEM), ROOT_RUN: process_id, PARENT_RUN: parent}
        requests.append(
            RunRequest(
                run_key=run_key,
                job_name=one.workflow_name,
                run_config=continuing(one.process_id),
                tags=known,
            )
        )
    return requests


def is_requested(runs: Collection[RunRecord]) -> bool:
    """Whether one of these runs is to come, or at work. Dagster launches again what was only created."""
    found = [run.dagster_run for run in runs]
    return any(not run.is_finished and run.status is not DagsterRunStatus.NOT_STARTED for run in found)


def next_run_key(key: str, runs: Collection[RunRecord]) -> str | None:
    """The run key of a request for which these runs exist; None while one is to come, or has just ended in vain.

    Each key is new to Dagster: a run that ended before it could claim its process must not prevent the next one, which
    follows after a back-off.
    """
    in_vain = [run.end_time or run.create_timestamp.timestamp() for run in runs if run.dagster_run.is_finished]
    pause = min(PAUSE_SECONDS * 2.0 ** (len(in_vain) - 1), LONGEST_PAUSE_SECONDS)
    is_too_soon = bool(in_vain) and clock.now().timestamp() < max(in_vain) + pause
    return None if is_too_soon or is_requested(runs) else f"{key}:{len(in_vain)}"


def runs_by_tag(instance: DagsterInstance, tag: str, values: Collection[str]) -> dict[str, list[RunRecord]]:
    """The runs that have one of these values of a tag, by value."""
    found: dict[str, list[RunRecord]] = {}
    for run in instance.get_run_records(RunsFilter(tags={tag: list(values)})) if values else ():
        found.setdefault(run.dagster_run.tags[tag], []).append(run)
    return found


def _mark_as_failed(service: Processes, process_id: ProcessId, reason: str) -> None:
    with service.database.transaction():
        process_rows.lock_row(process_id)
        found = [one for one in recovery.states_of([process_id]) if one.status in recovery.IN_PROGRESS]
        for one in found:
            failing.mark_as_failed(one, reason)
    for one in found:
        report_event(service.instance, process_id, one.run_id, f"The process has failed: {reason}")
