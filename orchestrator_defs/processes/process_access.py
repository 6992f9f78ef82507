"""Access to processes: their rows, workflows and external systems, for all queries and changes."""

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
    """Access to the processes of one orchestrator, whose runs are in one Dagster instance."""

    def __init__(self, orchestrator: Orchestrator, instance: DagsterInstance) -> None:
        self.orchestrator = orchestrator
        self.instance = instance

    @property
    def database(self) -> SubscriptionDatabase:
        """The subscription database, migrated."""
        return self.orchestrator.prepare()

    @property
    def owner(self) -> Owner:
        """The owner of processes that are started here, and that this location sweeps."""
        return Owner(self.orchestrator.name, storage_id(self.instance))

    def workflow_of(self, process_id: ProcessId) -> Workflow:
        """The workflow of a process. Raises UnknownProcess, UnknownWorkflow."""
        with self.database.transaction(read_only=True):
            return self.claim(process_id)[1]

    def find_claim(self, process_id: ProcessId) -> Claim:
        """The claim of a process, also one whose workflow the code no longer has. Raises UnknownProcess."""
        claim = process_rows.find_claim(process_id)
        if claim is None:
            raise UnknownProcess(f"There is no process {process_id}; `orchestrator process list` shows all.")
        return claim

    def claim(self, process_id: ProcessId) -> tuple[Claim, Workflow]:
        """The claim of a process, with its workflow. Raises UnknownProcess, UnknownWorkflow."""
        claim = self.find_claim(process_id)
        return claim, self.orchestrator.workflow(claim.workflow_name)

    @contextmanager
    def locked(self, process_id: ProcessId) -> Iterator[tuple[Claim, Workflow]]:
        """Lock a process's row, to resume it. Raises EnginePaused."""
        with self.database.transaction():
            process_rows.lock_row(process_id)
            pause.check_not_paused()
            yield self.claim(process_id)

    def lock_to_end(self, process_id: ProcessId, user: str, what: str) -> None:
        """Lock a process's row to end it, if this user may; without its workflow in the code everybody may."""
        process_rows.lock_row(process_id)
        claim = self.find_claim(process_id)
        if (workflow := self.orchestrator.workflows.get(claim.workflow_name)) is not None:
            check_may_retry(workflow, claim.committed, user, what=what)

    def form_resources(self, workflow: Workflow) -> AbstractContextManager[Mapping[str, Any]]:
        """The external systems of a workflow's forms, set up as for a run."""
        return self.resources_of(form_resource_keys(workflow))

    @contextmanager
    def resources_of(self, keys: Iterator[str]) -> Iterator[Mapping[str, Any]]:
        """The external systems of a form, set up as for a run; empty for a form without any."""
        asked = set(keys)
        wanted = {key: found for key, found in self.orchestrator.bound_resources.items() if key in asked}
        if not wanted:
            yield {}
            return
        with build_resources(wanted, instance=self.instance) as built:
            yield {key: getattr(built, key) for key in wanted}
