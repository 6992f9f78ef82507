"""Processes in flight: whether the workflows of this code could continue every unfinished process."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.errors import StepsChanged
from resources.processes import recovery
from resources.processes.owner import Owner
from resources.processes.recovery import Unfinished
from resources.types import ProcessId

BATCH = 500


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A process that the code could not continue, and why."""

    process_id: ProcessId
    workflow: str
    status: str
    problem: str


def mismatches(orchestrator: Orchestrator) -> Iterator[Mismatch | int]:
    """Compare the code with every unfinished process: yields each mismatch, and after each batch its size.

    Only reads; the schema may be that of the running code.
    """
    owner = Owner(orchestrator.name)
    after: ProcessId | None = None
    while True:
        with orchestrator.database.transaction(read_only=True):
            batch = recovery.unfinished(owner, BATCH, after)
        for one in batch:
            if problem := _problem(orchestrator, one):
                yield Mismatch(one.process_id, one.workflow_name, one.status.value, problem)
        yield len(batch)
        if len(batch) < BATCH:
            return
        after = batch[-1].process_id


def _problem(orchestrator: Orchestrator, one: Unfinished) -> str | None:
    workflow = orchestrator.workflows.get(one.workflow_name)
    if workflow is None:
        return f"The code no longer has workflow {one.workflow_name!r}."
    try:
        workflow.check_fits(one.committed)
    except StepsChanged as error:
        return str(error)
    gone = [key for key in one.waiting if key not in workflow.step_keys]
    return f"{workflow.name} no longer has step {gone[0]!r}, at which the process waits." if gone else None
