"""What every question to a process and every change of one begins with: its row, its workflow, its external systems."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from dagster import DagsterInstance, build_resources

from ops.starting.permission import check_may_retry
from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.decorators import form_resource_keys
from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.database.session import SubscriptionDatabase
from resources.errors import UnknownProcess
from resources.processes import pause, process_rows
from resources.processes.owner import Owner
from resources.processes.process_rows import Claim
from resources.runs.storage_identity import storage_id
from resources.types import ProcessId


class ProcessAccess:
    """The way to the processes of one orchestrator, whose runs are those of one Dagster instance."""

    def __init__(self, orchestrator: Orchestrator, instance: DagsterInstance) -> None:
        self.orchestrator = orchestrator
        self.instance = instance

    @property
    def database(self) -> SubscriptionDatabase:
        """The subscription database, ready for use."""
        return self.orchestrator.prepare()

    @property
    def owner(self) -> Owner:
        """Whose the processes are that are started here, and that this location looks after."""
        return Owner(self.orchestrator.name, storage_id(self.instance))

    def workflow_of(self, process_id: ProcessId) -> Workflow:
        """The workflow that a process runs. Raises UnknownProcess, UnknownWorkflow."""
        with self.database.transaction(read_only=True):
            return self.claim(process_id)[1]

    def find_claim(self, process_id: ProcessId) -> Claim:
        """The claim of a process, also one whose workflow the code no longer has. Raises UnknownProcess."""
        claim = process_rows.find_claim(process_id)
        if claim is None:
            raise UnknownProcess(
                f"There is no process {process_id}; `orchestrator process list` shows those there are."
            )
        return claim

    def claim(self, process_id: ProcessId) -> tuple[Claim, Workflow]:
        """The claim of a process, with its workflow. Raises UnknownProcess, UnknownWorkflow."""
        claim = self.find_claim(process_id)
        return claim, self.orchestrator.workflow(claim.workflow_name)

    @contextmanager
    def locked(self, process_id: ProcessId) -> Iterator[tuple[Claim, Workflow]]:
        """A transaction that holds a process's row, in which it may be resumed. Raises EnginePaused."""
        with self.database.transaction():
            process_rows.lock_row(process_id)
            pause.check_not_paused()
            yield self.claim(process_id)

    def lock_to_end(self, process_id: ProcessId, user: str, what: str) -> None:
        """Hold a process's row to end it, if this user may; a workflow that the code no longer has forbids nothing."""
        process_rows.lock_row(process_id)
        claim = self.find_claim(process_id)
        if (workflow := self.orchestrator.workflows.get(claim.workflow_name)) is not None:
            check_may_retry(workflow, claim.committed, user, what=what)

    def form_resources(self, workflow: Workflow) -> AbstractContextManager[Mapping[str, Any]]:
        """The external systems that a workflow's forms ask, set up as a run has them."""
        return self.resources_of(form_resource_keys(workflow))

    @contextmanager
    def resources_of(self, keys: Iterator[str]) -> Iterator[Mapping[str, Any]]:
        """The external systems that a form asks, set up as a run has them; none are set up for other forms."""
        asked = set(keys)
        wanted = {key: found for key, found in self.orchestrator.bound_resources.items() if key in asked}
        if not wanted:
            yield {}
            return
        with build_resources(wanted, instance=self.instance) as built:
            yield {key: getattr(built, key) for key in wanted}
