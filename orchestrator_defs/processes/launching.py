"""Launches processes from the daemon: passes runs to workers, or requests them from Dagster.

With our run launcher, when runs start as they are launched, a process's next run is created here: its id is in the
process's row, and it has only the remaining steps. Any other launcher, or a queue, needs a RunRequest for the whole
job. Dagster then gives the run another id; committed steps return at once, and the run claims the process.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from dagster import RunRequest

from orchestrator_defs.processes.processes import Processes
from resources import tags
from resources.errors import OrchestratorError, RunMayNotAct
from resources.processes import process_rows, recovery
from resources.runs.launching.launcher import launches_to_workers
from resources.types import ProcessId

SYSTEM = "SYSTEM"
RUN_KEY = "dagster/run_key"
"""Dagster's tag of a run that a sensor has requested."""


@dataclass
class Launched:
    """The result of a launch: requests for Dagster, and lines for people about what failed."""

    requests: list[RunRequest] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def launch_all(service: Processes, process_ids: Collection[ProcessId]) -> Launched:
    """Launch the runs in the rows of these processes. May run twice: each run is executed once.

    A process that the code can no longer continue fails, with the reason; what the launcher cannot do now is retried.
    """
    launched = Launched()
    if not process_ids:
        return launched
    if not launches_to_workers(service.instance):
        launched.requests = _requests(service, process_ids)
        return launched
    for process_id in process_ids:
        try:
            service.runs.launch(process_id, user=SYSTEM)
        except RunMayNotAct:  # another has just launched it, or ended it
            continue
        except OrchestratorError as error:
            _mark_as_failed(service, process_id, str(error))
            launched.problems.append(f"{process_id} cannot continue: {error}")
        except Exception as error:  # noqa: BLE001  whatever a launcher raises, the other processes must be launched
            launched.problems.append(f"{process_id} is not launched yet: {error}")
    return launched


def _requests(service: Processes, process_ids: Collection[ProcessId]) -> list[RunRequest]:
    with service.database.transaction(read_only=True):
        found = recovery.states_of(process_ids)
    return [
        RunRequest(
            run_key=one.run_id,
            job_name=one.workflow_name,
            tags={tags.PROCESS: str(one.process_id), tags.USER: SYSTEM},
        )
        for one in found
        if one.status in recovery.IN_PROGRESS and one.workflow_name in service.orchestrator.workflows
    ]


def _mark_as_failed(service: Processes, process_id: ProcessId, reason: str) -> None:
    with service.database.transaction():
        process_rows.lock_row(process_id)
        for found in recovery.states_of([process_id]):
            if found.status in recovery.IN_PROGRESS:
                recovery.mark_as_failed(found, reason)
