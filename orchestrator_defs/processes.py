"""Start and resume processes: the one way in for every door."""

from typing import Any
from uuid import uuid4

from dagster import DagsterInstance

from ops.admission import StartRequest, admit
from ops.execution import CONTINUABLE
from ops.forms import as_pages
from orchestrator_defs.orchestrator import Orchestrator
from resources import processes, tags
from resources.errors import RunMayNotAct
from resources.launcher import execute_run
from resources.types import ProcessId, ProcessStatus


class Processes:
    """The processes of one orchestrator, executed in this process on one Dagster instance."""

    def __init__(self, orchestrator: Orchestrator, instance: DagsterInstance) -> None:
        self.orchestrator = orchestrator
        self.instance = instance

    def start(self, workflow_name: str, inputs: Any, *, user: str) -> ProcessId:
        """Check everything and write the process; `execute` then runs it. Commits.

        `inputs`: a list of pages, or one mapping for a one-page form. Raises UnknownWorkflow, FormInvalid,
        FormIncomplete, StartRefused, SubscriptionLocked; then nothing was written.
        """
        process_id = uuid4()
        request = StartRequest(
            workflow=self.orchestrator.workflow(workflow_name),
            pages=as_pages(inputs),
            user=user,
            process_id=process_id,
            run_id=str(process_id),
            resources=self.orchestrator.resources,
        )
        admit(request, self.orchestrator.prepare())
        return process_id

    def execute(self, process_id: ProcessId, *, user: str) -> ProcessStatus:
        """Run a process until it stops, and say how it stands then: its first segment, or the next one.

        Raises UnknownProcess and, if it is finished or in another run's hands, RunMayNotAct.
        """
        database = self.orchestrator.prepare()
        with database.transaction(read_only=True):
            claim = processes.find_claim(process_id)
            process = processes.get_process(process_id)
        if claim is None or claim.status not in CONTINUABLE:
            raise RunMayNotAct(f"Process {process_id} is {process.last_status}; there is nothing to go on with.")
        is_first = claim.status is ProcessStatus.CREATED
        self._run(claim.workflow_name, process_id, claim.run_id, user=user, is_first=is_first)
        with database.transaction(read_only=True):
            return ProcessStatus(processes.get_process(process_id).last_status)

    def _run(
        self, workflow_name: str, process_id: ProcessId, last_run_id: str | None, *, user: str, is_first: bool
    ) -> None:
        execute_run(
            self.instance,
            self.orchestrator.job(workflow_name),
            run_id=str(process_id) if is_first else None,
            tags={tags.PROCESS: str(process_id), tags.USER: user},
            root_run_id=None if is_first else str(process_id),
            parent_run_id=None if is_first else last_run_id,
        )
