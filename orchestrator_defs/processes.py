"""Start, answer, resume, retry, skip, send back and abort processes: the one way in for every door.

What is said to a process is committed first; its next segment is launched after that. If that is the last that this
process of ours does, the sweeper launches it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from dagster import DagsterInstance, DagsterRun, build_resources

from ops import answers
from ops.admission import StartRequest, admit
from ops.answers import Verdict
from ops.forms import as_pages
from ops.permission import ask_to_retry
from ops.segment import check_may_act
from ops.workflow import Workflow
from orchestrator_defs.orchestrator import Orchestrator
from orchestrator_defs.workflow import form_resource_keys
from resources import interventions, ledger, processes, tags, waits
from resources.database import SubscriptionDatabase
from resources.errors import NotWaiting, RunMayNotAct, UnknownProcess
from resources.interventions import Aborted
from resources.launcher import WarmRunLauncher, create_run, execute_run
from resources.processes import Claim
from resources.types import ProcessId, ProcessStatus, StepKey

log = logging.getLogger(__name__)

WAKE_AT_ONCE = 500
"""How many processes one look at the clock sets going."""


class Processes:
    """The processes of one orchestrator on one Dagster instance."""

    def __init__(self, orchestrator: Orchestrator, instance: DagsterInstance) -> None:
        self.orchestrator = orchestrator
        self.instance = instance

    @property
    def database(self) -> SubscriptionDatabase:
        """The subscription database, ready for use."""
        return self.orchestrator.prepare()

    # --- start ---

    def start(self, workflow_name: str, inputs: Any, *, user: str) -> ProcessId:
        """Check everything and write the process; `execute` or `launch` then runs it. Commits.

        `inputs`: a list of pages, or one mapping for a one-page form. Raises UnknownWorkflow, FormInvalid,
        FormIncomplete, StartRefused, SubscriptionLocked; then nothing was written.
        """
        workflow = self.orchestrator.workflow(workflow_name)
        process_id = uuid4()
        with self._resources_of(form_resource_keys(workflow)) as resources:
            request = StartRequest(
                workflow=workflow,
                pages=as_pages(inputs),
                user=user,
                process_id=process_id,
                run_id=str(process_id),
                resources=resources,
            )
            admit(request, self.database)
        return process_id

    # --- go on ---

    def execute(self, process_id: ProcessId, *, user: str) -> ProcessStatus:
        """Run a process in this process until it stops, and say how it stands then: one that was just started, that was
        told to go on, or that failed.

        Raises UnknownProcess, RunMayNotAct when it has ended, waits or is in another run's hands, StepsChanged, and
        NotAuthorised when this user may not go on with it.
        """
        claim = self._next(process_id, user)
        execute_run(self.instance, self.orchestrator.job(claim.workflow_name), self._create(claim, user))
        workflow = self.orchestrator.workflow(claim.workflow_name)
        if any(place.step.starts for place in workflow.ledger_steps) and isinstance(
            self.instance.run_launcher, WarmRunLauncher
        ):
            self.launch_children(process_id, user=user)
        return self.status(process_id)

    def launch(self, process_id: ProcessId, *, user: str) -> str:
        """Have a process run by the instance's run launcher; the id of the run. Raises what `execute` raises."""
        claim = self._next(process_id, user)
        run = self._create(claim, user)
        self.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]  # our launcher needs no workspace
        return run.run_id

    def launch_children(self, of: ProcessId | None = None, *, user: str, limit: int = WAKE_AT_ONCE) -> list[ProcessId]:
        """Launch the children, of one process or of all, that no run has in hand yet; which."""
        return [child for child in self.children_to_launch(of, limit) if self._is_launched(child, user)]

    def children_to_launch(self, of: ProcessId | None = None, limit: int = WAKE_AT_ONCE) -> list[ProcessId]:
        """The children, of one process or of all, that are new or told to go on; a run may be there for them by now."""
        with self.database.transaction(read_only=True):
            return processes.children_to_launch(limit, of=of)

    def _is_launched(self, process_id: ProcessId, user: str) -> bool:
        try:
            self.launch(process_id, user=user)
        except RunMayNotAct:
            log.debug("Somebody else has launched process %s.", process_id)
            return False
        return True

    def status(self, process_id: ProcessId) -> ProcessStatus:
        """How a process stands. Raises UnknownProcess."""
        with self.database.transaction(read_only=True):
            return ProcessStatus(processes.get_process(process_id).last_status)

    # --- what a process waits for ---

    def answer(self, process_id: ProcessId, inputs: Any, *, user: str) -> None:
        """Fill the form that a suspended process waits with. Commits.

        Raises UnknownProcess, NotWaiting, NotAuthorised, FormInvalid, FormIncomplete; then nothing was changed.
        """
        workflow = self._workflow_of(process_id)
        with self._resources_of(form_resource_keys(workflow)) as resources:
            answers.answer(
                workflow, process_id, as_pages(inputs), user=user, database=self.database, resources=resources
            )

    def callback(self, process_id: ProcessId, token: str, result: Any) -> Verdict:
        """Take an external system's answer, whenever it comes. Commits. Raises UnknownToken, StateError."""
        verdict, _ = answers.receive(process_id, token, result, database=self.database)
        return verdict

    def progress(self, process_id: ProcessId, token: str, progress: Any) -> bool:
        """Keep what an external system says of its work; False when nobody waits for it. Commits.

        Raises UnknownToken, StateError.
        """
        return answers.note_progress(process_id, token, progress, database=self.database)

    def wake(self, limit: int = WAKE_AT_ONCE) -> list[ProcessId]:
        """End the waits whose time has come; which processes are to be launched. Commits, one at a time."""
        with self.database.transaction(read_only=True):
            found = waits.due(limit)
            names = processes.workflow_names([due.process_id for due in found])
        known = self.orchestrator.workflows
        return [
            due.process_id
            for due in found
            if (workflow := known.get(names[due.process_id])) and answers.wake(workflow, due, database=self.database)
        ]

    # --- hands on a process ---

    def resume(self, process_id: ProcessId, *, user: str) -> None:
        """Have a process that failed, or waits for better times, try again now. Commits.

        Raises UnknownProcess, NotWaiting, NotAuthorised, StepsChanged.
        """
        with self.database.transaction():
            claim, workflow = self._claim(process_id)
            workflow.check_fits(claim.committed)
            ask_to_retry(workflow, claim.committed, user)
            interventions.set_going(process_id, user=user)

    def skip(
        self,
        process_id: ProcessId,
        *,
        user: str,
        reason: str,
        changes: Mapping[str, Any] | None = None,
        removed: Sequence[str] = (),
    ) -> StepKey:
        """Spare a process the step that it failed at; the step's key. Commits.

        `changes` and `removed` are what it would have done to the state. Raises UnknownProcess, NotWaiting,
        NotAuthorised.
        """
        with self.database.transaction():
            claim, workflow = self._claim(process_id)
            ask_to_retry(workflow, claim.committed, user)
            place = workflow.standing(claim.committed, ledger.tried_last(process_id))
            if place is None:
                raise NotWaiting(f"Process {process_id} has no step left to be spared.")
            interventions.skip(
                process_id,
                key=place.key,
                name=place.label,
                user=user,
                reason=reason,
                changes=changes,
                removed=removed,
            )
        return place.key

    def go_back(self, process_id: ProcessId, to: StepKey, *, user: str, reason: str) -> None:
        """Send a process that stands still back to a step that it has done. Commits.

        Raises UnknownProcess, NotWaiting, NotAuthorised, StepsChanged, ProcessError.
        """
        with self.database.transaction():
            claim, workflow = self._claim(process_id)
            ask_to_retry(workflow, claim.committed, user)
            place = workflow.place(to)
            undo = [step.key for step in workflow.onwards(place)]
            interventions.go_back(process_id, to=to, undo=undo, user=user, reason=reason)

    def abort(self, process_id: ProcessId, *, user: str, reason: str = "") -> Aborted:
        """End a process for good: what it has done stays, what it holds is let go of, out of sync. Commits.

        A run that is at work for it is terminated, and commits nothing more. Raises UnknownProcess, ProcessError when
        it has ended.
        """
        with self.database.transaction():
            found = interventions.abort(process_id, user=user, reason=reason)
        self._terminate(found.run_id)
        return found

    def _terminate(self, run_id: str | None) -> None:
        run = self.instance.get_run_by_id(run_id) if run_id else None
        if run is not None and not run.is_finished and self.instance.run_launcher is not None:
            self.instance.run_launcher.terminate(run.run_id)

    # --- inside ---

    def _workflow_of(self, process_id: ProcessId) -> Workflow:
        with self.database.transaction(read_only=True):
            return self._claim(process_id)[1]

    def _claim(self, process_id: ProcessId) -> tuple[Claim, Workflow]:
        claim = processes.find_claim(process_id)
        if claim is None:
            raise UnknownProcess(
                f"There is no process {process_id}; `orchestrator process list` shows those there are."
            )
        return claim, self.orchestrator.workflow(claim.workflow_name)

    def _next(self, process_id: ProcessId, user: str) -> Claim:
        """Check that a process may go on, and put it into the hands of a run that is yet to be created."""
        with self.database.transaction():
            processes.hold_from_outside(process_id)
            claim, workflow = self._claim(process_id)
            has_run = claim.run_id is not None and self.instance.get_run_by_id(claim.run_id) is not None
            check_may_act(claim, workflow, self.instance, None if has_run else claim.run_id)
            if has_run:
                ask_to_retry(workflow, claim.committed, user)
                interventions.set_going(process_id, user=user, at=interventions.UNFINISHED)
                claim, _ = self._claim(process_id)
        return claim

    def _create(self, claim: Claim, user: str) -> DagsterRun:
        """Create the run that has the process in hand: of the steps that are left."""
        process_id = str(claim.process_id)
        workflow = self.orchestrator.workflow(claim.workflow_name)
        is_first = claim.run_id == process_id
        state = claim.state
        known = {
            tags.PROCESS: process_id,
            tags.USER: user,
            tags.PARENT: claim.parent,
            tags.PRODUCT: state.get("product_name"),
            tags.SUBSCRIPTION: state.get("subscription_id"),
            tags.CUSTOMER: state.get("customer_id"),
        }
        with self.database.transaction(read_only=True):
            parent = None if is_first else processes.last_run(claim.process_id) or process_id
        return create_run(
            self.instance,
            self.orchestrator.job(claim.workflow_name),
            run_id=claim.run_id,
            tags={key: str(value) for key, value in known.items() if value},
            root_run_id=None if is_first else process_id,
            parent_run_id=parent,
            step_keys=[step.key for step in workflow.left(claim.committed)] if claim.committed else None,
        )

    @contextmanager
    def _resources_of(self, keys: Iterator[str]) -> Iterator[Mapping[str, Any]]:
        """The external systems that a form asks, set up as a run has them; none are set up for other forms."""
        asked = set(keys)
        wanted = {key: found for key, found in self.orchestrator.bound_resources.items() if key in asked}
        if not wanted:
            yield {}
            return
        with build_resources(wanted, instance=self.instance) as built:
            yield {key: getattr(built, key) for key in wanted}
