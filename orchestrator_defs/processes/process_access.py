"""Access to processes: their rows, workflows and external systems, for all queries and changes."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from dagster import DagsterInstance, build_resources

from ops.starting.permission import check_may_retry, check_role
from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.decorators import form_resource_keys
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.jobs.served import Served
from resources.database.session import SubscriptionDatabase
from resources.errors import UnknownProcess
from resources.processes import pause, process_rows
from resources.processes.owner import Owner
from resources.processes.process_rows import Claim, Located
from resources.runs.run_events import report_event
from resources.runs.storage_identity import storage_id
from resources.types import ProcessId


class ProcessAccess:
    """Access to the processes of orchestrators, whose runs are in one Dagster instance."""

    def __init__(self, served: Served, instance: DagsterInstance) -> None:
        self.served = served
        self.instance = instance

    @property
    def database(self) -> SubscriptionDatabase:
        """The subscription database, migrated."""
        return self.served.prepare()

    @property
    def owners(self) -> list[Owner]:
        """The owners of the processes that are continued here."""
        return [self.owner_of(one) for one in self.served.orchestrators]

    def owner_of(self, orchestrator: Orchestrator) -> Owner:
        """The owner of the processes that an orchestrator starts here."""
        return Owner(orchestrator.name, storage_id(self.instance))

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
        return claim, self.served.of_process(claim).workflow(claim.workflow_name)

    @contextmanager
    def locked(self, process_id: ProcessId) -> Iterator[tuple[Claim, Workflow]]:
        """Lock a process's row, to resume it. Raises EnginePaused."""
        with self.database.transaction():
            process_rows.lock_row(process_id)
            pause.check_not_paused()
            yield self.claim(process_id)

    def lock_to_end(self, process_id: ProcessId, user: str, what: str) -> Claim:
        """Lock a process's row to end it, if this user may."""
        process_rows.lock_row(process_id)
        return self.claim_to_end(process_id, user, what)

    def claim_to_end(self, process_id: ProcessId, user: str, what: str) -> Claim:
        """A process that this user may end."""
        claim = self.find_claim(process_id)
        self.served.check_serves(claim)
        self.check_may(claim, user, what)
        return claim

    def check_may(self, claim: Claim, user: str, what: str) -> None:
        """Check what a user may do with a process; without its workflow in the code only the role counts.

        Raises NotAuthorised.
        """
        if (workflow := self.find_workflow(claim)) is not None:
            check_may_retry(workflow, claim.committed, user, what=what)
        else:
            check_role(claim.workflow_name, user, what)

    def report(self, claim: Claim, sentence: str) -> None:
        """Tell the readers of the run at which a process had stopped what a person did to it."""
        report_event(self.instance, claim.process_id, claim.run_id, sentence)

    def find_workflow(self, process: Located) -> Workflow | None:
        """The workflow of a process, None if its location is not served here or no longer has it."""
        orchestrator = self.served.find(process)
        return orchestrator.workflows[process.workflow_name] if orchestrator else None

    def form_resources(self, workflow: Workflow | None) -> AbstractContextManager[Mapping[str, Any]]:
        """The external systems of a workflow's forms, set up as for a run; none without a workflow."""
        if workflow is None:
            return nullcontext({})
        of_code = (one for one in self.served.orchestrators if one.workflows.get(workflow.name) is workflow)
        bound = next(of_code, self.served.first).bound_resources
        return self._set_up(bound, form_resource_keys(workflow))

    def resources_of(self, keys: Iterator[str]) -> AbstractContextManager[Mapping[str, Any]]:
        """The external systems of a form that belongs to no workflow, set up as for a run."""
        return self._set_up(self.served.resources, keys)

    @contextmanager
    def _set_up(self, bound: Mapping[str, Any], keys: Iterator[str]) -> Iterator[Mapping[str, Any]]:
        asked = set(keys)
        wanted = {key: found for key, found in bound.items() if key in asked}
        if not wanted:
            yield {}
            return
        with build_resources(wanted, instance=self.instance) as built:
            yield {key: getattr(built, key) for key in wanted}
