"""Start, resume and abort processes: the one way in for every door."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from dagster import DagsterInstance, build_resources

from ops.admission import StartRequest, admit
from ops.execution import check_may_act
from ops.forms import as_pages
from ops.permission import ask_to_retry
from ops.workflow import Workflow
from orchestrator_defs.orchestrator import Orchestrator
from orchestrator_defs.workflow import form_resource_keys
from resources import processes, tags
from resources.errors import UnknownProcess
from resources.launcher import execute_run
from resources.processes import Claim
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
        workflow = self.orchestrator.workflow(workflow_name)
        process_id = uuid4()
        with self._resources_of(workflow) as resources:
            request = StartRequest(
                workflow=workflow,
                pages=as_pages(inputs),
                user=user,
                process_id=process_id,
                run_id=str(process_id),
                resources=resources,
            )
            admit(request, self.orchestrator.prepare())
        return process_id

    def execute(self, process_id: ProcessId, *, user: str) -> ProcessStatus:
        """Run a process until it stops, and say how it stands then: its first segment, or the next one.

        Raises UnknownProcess, RunMayNotAct when it has ended or is in another run's hands, StepsChanged, and
        NotAuthorised when this user may not go on with it.
        """
        database = self.orchestrator.prepare()
        with database.transaction(read_only=True):
            claim = processes.find_claim(process_id)
        if claim is None:
            raise UnknownProcess(
                f"There is no process {process_id}; `orchestrator process list` shows those there are."
            )
        workflow = self.orchestrator.workflow(claim.workflow_name)
        has_run = self.instance.get_run_by_id(str(process_id)) is not None
        check_may_act(claim, workflow, self.instance, None if has_run else str(process_id))
        if has_run:
            ask_to_retry(workflow, claim.committed, user)
        self._run(claim, user=user, is_first=not has_run)
        with database.transaction(read_only=True):
            return ProcessStatus(processes.get_process(process_id).last_status)

    def abort(self, process_id: ProcessId, *, user: str) -> None:
        """End a process for good: what it has done stays, what it holds is let go of, out of sync. Commits.

        A run that is at work for it commits nothing more. Raises UnknownProcess, ProcessError when it has ended.
        """
        with self.orchestrator.prepare().transaction():
            processes.abort(process_id, user=user)

    def _run(self, claim: Claim, *, user: str, is_first: bool) -> None:
        process_id = str(claim.process_id)
        execute_run(
            self.instance,
            self.orchestrator.job(claim.workflow_name),
            run_id=process_id if is_first else None,
            tags={tags.PROCESS: process_id, tags.USER: user},
            root_run_id=None if is_first else process_id,
            parent_run_id=None if is_first else claim.run_id,
        )

    @contextmanager
    def _resources_of(self, workflow: Workflow) -> Iterator[Mapping[str, Any]]:
        """The external systems that the form asks, set up as a run has them; none are set up for other forms."""
        keys = set(form_resource_keys(workflow))
        wanted = {key: found for key, found in self.orchestrator.bound_resources.items() if key in keys}
        if not wanted:
            yield {}
            return
        with build_resources(wanted, instance=self.instance) as built:
            yield {key: getattr(built, key) for key in wanted}
