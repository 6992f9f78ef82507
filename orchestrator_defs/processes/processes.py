"""Start, answer, retry, skip, send back and abort processes, pause the engine: the one way in for every door.

`user` is who, as the door has authenticated them; who did what is in the ledger and in the tags of runs. What is said
to a process is committed first; its next segment is launched after that. If that is the last that this process of ours
does, the sweeper launches it.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import uuid4

from dagster import DagsterInstance, DagsterRun, build_resources

from ops.running.segment import check_may_act
from ops.starting import named_forms, submitted_answers
from ops.starting.admission import Ask, StartRequest, admit
from ops.starting.permission import ask_to_retry
from ops.starting.process_detail import Asked, ProcessDetail, asked, process_detail
from ops.starting.schedule_form import KEY as SCHEDULE_FORM
from ops.starting.schedule_form import schedule_form
from ops.starting.startable import startable
from ops.starting.state_edits import check_next, check_sparable, edited
from ops.starting.submitted_answers import Verdict
from ops.steps.branches import state_of
from ops.steps.forms import Page, as_pages
from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.decorators import form_resource_keys
from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources import tags
from resources.database.session import SubscriptionDatabase
from resources.errors import (
    FormIncomplete,
    NotAuthorised,
    NotWaiting,
    OrchestratorError,
    ProcessError,
    RunMayNotAct,
    StepsChanged,
    UnknownProcess,
    UnknownWorkflow,
)
from resources.processes import interventions, ledger, process_rows, waits
from resources.processes import pause as engine
from resources.processes.interventions import Aborted
from resources.processes.pause import EngineState
from resources.processes.process_lists import ProcessLine, process_line
from resources.processes.process_rows import Claim
from resources.runs.launching.launcher import WarmRunLauncher, create_run, execute_run
from resources.systems import slack
from resources.types import ProcessId, ProcessStatus, StepKey, SubscriptionId

log = logging.getLogger(__name__)

WAKE_AT_ONCE = 500
"""How many processes one look at the clock sets going."""
RESUME_AT_ONCE = 100
"""How many tasks are resumed in one transaction."""


class Processes:
    """The processes of one orchestrator on one Dagster instance."""

    def __init__(self, orchestrator: Orchestrator, instance: DagsterInstance) -> None:
        self.orchestrator = orchestrator
        self.instance = instance
        self._schedule_form = schedule_form(lambda: orchestrator.workflows, self.form_resources)

    @property
    def database(self) -> SubscriptionDatabase:
        """The subscription database, ready for use."""
        return self.orchestrator.prepare()

    # --- start ---

    def start(
        self,
        workflow_name: str,
        inputs: Any,
        *,
        user: str,
        idempotency_key: str | None = None,
        empty_page_is_asked: bool = False,
    ) -> ProcessId:
        """Check everything and write the process; `execute` or `launch` then runs it. Commits.

        `inputs`: a list of pages, or one mapping for a one-page form. With an `idempotency_key` the same start may be
        asked for again: it gives the process that it gave before, however that stands now. With `empty_page_is_asked` a
        workflow without fields starts only when its one page, `{}`, is given.

        Raises UnknownWorkflow, FormInvalid, FormIncomplete, StartRefused, SubscriptionLocked, and KeyUsed when
        the key stands for another start; then nothing was written.
        """
        workflow = self.orchestrator.workflow(workflow_name)
        pages = as_pages(inputs)
        if idempotency_key is None:
            return self._admit(workflow, pages, user, empty_page_is_asked=empty_page_is_asked)
        ask = Ask.of(idempotency_key, workflow.name, pages, user)
        if (found := self._started_with(ask)) is not None:
            return found
        try:
            return self._admit(workflow, pages, user, ask, empty_page_is_asked=empty_page_is_asked)
        except OrchestratorError:
            if (found := self._started_with(ask)) is not None:  # at the same moment, by the same one who asks
                return found
            raise

    def _admit(
        self,
        workflow: Workflow,
        pages: Sequence[Page],
        user: str,
        ask: Ask | None = None,
        *,
        empty_page_is_asked: bool,
    ) -> ProcessId:
        process_id = uuid4()
        with self._resources_of(form_resource_keys(workflow)) as resources:
            request = StartRequest(
                workflow=workflow,
                pages=pages,
                user=user,
                process_id=process_id,
                run_id=str(process_id),
                idempotency_key=ask.key if ask else None,
                asked=ask.hash if ask else None,
                empty_page_is_asked=empty_page_is_asked,
                resources=resources,
            )
            admit(request, self.database)
        return process_id

    def _started_with(self, ask: Ask) -> ProcessId | None:
        with self.database.transaction(read_only=True):
            return ask.find()

    def startable(self, subscription_id: SubscriptionId, *, user: Any) -> dict[str, Any]:
        """Which workflows may run on a subscription now, and if not why; see `ops.starting.startable`."""
        with self.database.transaction(read_only=True):
            return startable(subscription_id, self.orchestrator.workflows.values(), user=user)

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

    @property
    def can_launch(self) -> bool:
        """Whether the instance's launcher takes runs from here; others want a workspace, which only Dagster's own
        processes have.
        """
        return isinstance(self.instance.run_launcher, WarmRunLauncher)

    def proceed(self, process_id: ProcessId, *, user: str) -> ProcessStatus:
        """Launch a process, or execute it here where that cannot be; how it stands then. Raises as `execute`."""
        if not self.can_launch:
            return self.execute(process_id, user=user)
        self.launch(process_id, user=user)
        return self.status(process_id)

    def launch(self, process_id: ProcessId, *, user: str) -> str:
        """Have a process run by the instance's run launcher; the id of the run. Raises what `execute` raises."""
        claim = self._next(process_id, user)
        run = self._create(claim, user)
        self.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]  # our launcher needs no workspace
        return run.run_id

    def launch_what_can_be(self, process_ids: Iterable[ProcessId], *, user: str) -> None:
        """Launch processes that were just started or set going, and raise nothing: what is not launched now, because
        this instance's launcher takes no runs from here or it fails, the sweeper launches.
        """
        for process_id in process_ids if self.can_launch else ():
            try:
                self.launch(process_id, user=user)
            except RunMayNotAct:
                log.debug("Somebody else has launched process %s.", process_id)
            except Exception:
                log.exception("Process %s could not be launched; the sweeper tries again.", process_id)

    def launch_children(self, of: ProcessId | None = None, *, user: str, limit: int = WAKE_AT_ONCE) -> list[ProcessId]:
        """Launch the children, of one process or of all, that no run has in hand yet; which."""
        return [child for child in self.children_to_launch(of, limit) if self._is_launched(child, user)]

    def children_to_launch(self, of: ProcessId | None = None, limit: int = WAKE_AT_ONCE) -> list[ProcessId]:
        """The children, of one process or of all, that are new or told to go on; a run may be there for them by now."""
        with self.database.transaction(read_only=True):
            return process_rows.children_to_launch(limit, of=of)

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
            return ProcessStatus(process_rows.get_process(process_id).last_status)

    # --- what a process waits for ---

    def answer(self, process_id: ProcessId, inputs: Any, *, user: str) -> None:
        """Fill the form that a suspended process waits with. Commits.

        Raises UnknownProcess, NotWaiting, NotAuthorised, EnginePaused, FormInvalid, FormIncomplete; then nothing was
        changed.
        """
        workflow = self._workflow_of(process_id)
        with self._resources_of(form_resource_keys(workflow)) as resources:
            submitted_answers.answer(
                workflow, process_id, as_pages(inputs), user=user, database=self.database, resources=resources
            )

    def callback(self, process_id: ProcessId, token: str, result: Any) -> Verdict:
        """Take an external system's answer, whenever it comes. Commits. Raises UnknownToken, StateError."""
        verdict, _ = submitted_answers.receive(process_id, token, result, database=self.database)
        return verdict

    def progress(self, process_id: ProcessId, token: str, progress: Any) -> bool:
        """Keep what an external system says of its work; False when nobody waits for it. Commits.

        Raises UnknownToken, StateError.
        """
        return submitted_answers.note_progress(process_id, token, progress, database=self.database)

    def wake(self, limit: int = WAKE_AT_ONCE) -> list[ProcessId]:
        """End the waits whose time has come; which processes are to be launched. Commits, one at a time."""
        with self.database.transaction(read_only=True):
            found = waits.due(limit)
            names = process_rows.workflow_names([due.process_id for due in found])
        known = self.orchestrator.workflows
        return [
            due.process_id
            for due in found
            if (workflow := known.get(names[due.process_id]))
            and submitted_answers.wake(workflow, due, database=self.database)
        ]

    # --- hands on a process ---

    def resume(self, process_id: ProcessId, inputs: Any = None, *, user: str) -> None:
        """Have a process go on that stands still: `answer` when it waits for input, else `retry`. Commits."""
        if self.status(process_id) is ProcessStatus.SUSPENDED:
            self.answer(process_id, inputs, user=user)
        else:
            self.retry(process_id, user=user)

    def retry(self, process_id: ProcessId, *, user: str) -> None:
        """Have a process that failed, or waits for better times, try again now. Commits.

        Raises UnknownProcess, NotWaiting, NotAuthorised, EnginePaused, StepsChanged.
        """
        with self._in_hand(process_id) as (claim, workflow):
            workflow.check_fits(claim.committed)
            ask_to_retry(workflow, claim.committed, user)
            interventions.set_going(process_id, user=user)

    def resume_all(self, *, user: str, check: Callable[[str], None] = lambda _: None) -> list[ProcessId]:
        """Have all tasks that failed, or wait for better times, try again; those that are to be launched. Commits.

        Those whose steps have changed, or that this user may not retry, are passed by; `check` is asked too, with the
        workflow's name, and raises NotAuthorised. Two at once share the tasks between them, and each is set going once.
        Raises EnginePaused.
        """
        going: list[ProcessId] = []
        last: ProcessId | None = None
        while True:
            with self.database.transaction():
                engine.check_not_paused()
                found = interventions.hold_tasks_to_resume(RESUME_AT_ONCE, after=last)
                going += [process_id for process_id in found if self._is_set_going(process_id, user, check)]
            if not found:
                return going
            last = found[-1]

    def _is_set_going(self, process_id: ProcessId, user: str, check: Callable[[str], None]) -> bool:
        try:
            claim, workflow = self._claim(process_id)
            check(workflow.name)
            workflow.check_fits(claim.committed)
            ask_to_retry(workflow, claim.committed, user)
        except (StepsChanged, UnknownWorkflow, NotAuthorised) as refusal:
            log.info("Process %s is not resumed: %s", process_id, refusal)
            return False
        interventions.set_going(process_id, user=user)
        return True

    def skip(
        self,
        process_id: ProcessId,
        *,
        user: str,
        reason: str,
        changes: Mapping[str, Any] | None = None,
        removed: Sequence[str] = (),
    ) -> StepKey:
        """Spare a process the step that it failed or waits at, because a person has done it; the step's key. Commits.

        `changes` and `removed` are what the step would have returned. The next step must find in the state what it
        takes. Raises UnknownProcess, NotWaiting, NotAuthorised, EnginePaused, StepsChanged, StateError, and
        ProcessError for a step that is the engine's own, or without a reason.
        """
        with self._in_hand(process_id) as (claim, workflow):
            workflow.check_fits(claim.committed)
            place = workflow.standing(claim.committed, ledger.tried_last(process_id))
            if place is None:
                raise NotWaiting(f"Process {process_id} has no step left to be spared.")
            ask_to_retry(workflow, claim.committed, user, what="skip a step of")
            check_sparable(place)
            seen = state_of(workflow, place, process_id, claim.state)
            delta = edited(place, seen, changes or {}, removed)
            interventions.skip(
                process_id,
                key=place.key,
                name=place.label,
                user=user,
                reason=reason,
                changes=delta.set,
                removed=delta.removed,
            )
            behind = [step for step in workflow.left(claim.committed) if place.precedes(step)]
            check_next([step for step in behind if step.branch == place.branch], delta.applied_to(seen))
        return place.key

    def go_back(self, process_id: ProcessId, to: StepKey, *, user: str, reason: str) -> StepKey:
        """Send a process that stands still back to a step that it has done; the step's key. Commits.

        A group's name stands for its first step. What it has let go of meanwhile, it takes again. Raises
        UnknownProcess, NotWaiting, NotAuthorised, EnginePaused, StepsChanged, SubscriptionLocked, ProcessError.
        """
        with self._in_hand(process_id) as (claim, workflow):
            ask_to_retry(workflow, claim.committed, user, what="send back")
            place = workflow.entrance(to)
            if place.position == 0:
                raise ProcessError("A process cannot be sent back to its start: abort it, and start another.")
            behind = workflow.onwards(place)
            undo = [*(step.key for step in behind), *workflow.lost(claim.committed, place)]
            interventions.go_back(process_id, to=place.key, undo=undo, user=user, reason=reason)
            if any(step.step.effect is not None and step.key in claim.committed for step in behind):
                interventions.take_again(process_id)
            workflow.check_fits(self._claim(process_id)[0].committed)
        return place.key

    def abort(self, process_id: ProcessId, *, user: str, reason: str = "") -> Aborted:
        """End a process for good: what it has done stays, what it holds is let go of, out of sync. Commits.

        A run that is at work for it is terminated, and commits nothing more. Also while the engine is paused, and when
        the code has the workflow no more. Raises UnknownProcess, NotAuthorised, ProcessEnded.
        """
        with self.database.transaction():
            self._ask_about(process_id, user, "abort")
            found = interventions.abort(process_id, user=user, reason=reason)
        self._terminate(found.run_id)
        return found

    def _terminate(self, run_id: str | None) -> None:
        """Stop a run that is at work; where that cannot be, its step is refused when it wants to commit."""
        run = self.instance.get_run_by_id(run_id) if run_id else None
        if run is None or run.is_finished or self.instance.run_launcher is None:
            return
        try:
            self.instance.run_launcher.terminate(run.run_id)
        except Exception as error:  # noqa: BLE001  whatever a launcher raises, the abort is committed
            log.warning("Run %s could not be terminated: %s", run_id, error)

    def delete(self, process_id: ProcessId, *, user: str) -> None:
        """Remove a task that has ended, with its ledger; its Dagster runs stay. Commits.

        Raises UnknownProcess, NotAuthorised, and ProcessError for what is no task, has not ended, or has children.
        """
        with self.database.transaction():
            self._ask_about(process_id, user, "delete")
            interventions.delete_task(process_id)
        log.info("Process %s was deleted by %s.", process_id, user)

    def note(self, process_id: ProcessId, note: str | None, *, user: str) -> None:
        """Write a note on a process, in place of the one it had; None takes it away. Commits.

        Raises UnknownProcess, and ProcessError when it is too long.
        """
        with self.database.transaction():
            interventions.write_note(process_id, note)
        log.info("The note of process %s was written by %s.", process_id, user)

    # --- looking ---

    def line(self, process_id: ProcessId) -> ProcessLine:
        """A process as lists show it, in one statement. Raises UnknownProcess."""
        with self.database.transaction(read_only=True):
            return process_line(process_id)

    def detail(self, process_id: ProcessId, *, with_form: bool = True) -> ProcessDetail:
        """All of a process, with what it asks now, if that is wanted. Raises UnknownProcess."""
        with self.database.transaction(read_only=True):
            line = process_line(process_id)
        workflow = self.orchestrator.workflows.get(line.workflow)
        asks = workflow is not None and with_form and line.status is ProcessStatus.SUSPENDED
        with (
            self._resources_of(form_resource_keys(workflow) if workflow and asks else iter(())) as resources,
            self.database.transaction(read_only=True),
        ):
            return process_detail(line, workflow, resources, with_form=with_form)

    def asked(self, process_id: ProcessId) -> Asked:
        """The first page of the form that a process waits with, or why there is none. Raises UnknownProcess."""
        workflow = self.orchestrator.workflows.get(self.line(process_id).workflow)
        keys = form_resource_keys(workflow) if workflow else iter(())
        with self._resources_of(keys) as resources, self.database.transaction(read_only=True):
            return asked(process_id, workflow, resources)

    def fill_form(self, key: str, inputs: Any, *, user: str) -> dict[str, Any]:
        """What a named form makes of these pages: one of the organisation's, or the one that schedules a task.

        Raises UnknownForm, FormInvalid, FormIncomplete.
        """
        form = self._schedule_form if key == SCHEDULE_FORM else named_forms.named_form(key)
        keys = named_forms.resource_keys(form)
        with self._resources_of(keys) as resources, self.database.transaction(read_only=True):
            return named_forms.fill_named_form(key, form, as_pages(inputs), user=user, resources=resources)

    def next_page(self, process_id: ProcessId, inputs: Any = None) -> FormIncomplete | None:
        """What the form that a process waits with asks after these pages; None when they are all.

        Raises UnknownProcess, NotWaiting, StepsChanged, FormInvalid.
        """
        workflow = self._workflow_of(process_id)
        with (
            self._resources_of(form_resource_keys(workflow)) as resources,
            self.database.transaction(read_only=True),
        ):
            return submitted_answers.next_page(workflow, process_id, as_pages(inputs), resources)

    # --- the engine as a whole ---

    def pause(self, *, user: str) -> EngineState:
        """Have nothing new begin; steps in progress end, and waits stay. Commits. May be done twice."""
        return self._set_paused(True, user)

    def release(self, *, user: str) -> list[ProcessId]:
        """End the pause: what it stopped goes on, once. Those processes that are to be launched now. Commits.

        What is not launched, or was too much for one look, the sensor finds. May be done twice.
        """
        self._set_paused(False, user)
        return self.wake()

    def _set_paused(self, is_paused: bool, user: str) -> EngineState:
        with self.database.transaction():
            is_changed = engine.set_paused(is_paused, user=user)
            state = engine.state()
        if is_changed:
            said = f"The engine was {'paused' if is_paused else 'released'} by {user}."
            log.info("%s", said)
            slack.tell(said)
        return state

    def engine_status(self) -> EngineState:
        """Whether the engine is paused, and whether anything is still at work."""
        with self.database.transaction(read_only=True):
            return engine.state()

    # --- inside ---

    def _workflow_of(self, process_id: ProcessId) -> Workflow:
        with self.database.transaction(read_only=True):
            return self._claim(process_id)[1]

    def _find_claim(self, process_id: ProcessId) -> Claim:
        claim = process_rows.find_claim(process_id)
        if claim is None:
            raise UnknownProcess(
                f"There is no process {process_id}; `orchestrator process list` shows those there are."
            )
        return claim

    def _claim(self, process_id: ProcessId) -> tuple[Claim, Workflow]:
        claim = self._find_claim(process_id)
        return claim, self.orchestrator.workflow(claim.workflow_name)

    @contextmanager
    def _in_hand(self, process_id: ProcessId) -> Iterator[tuple[Claim, Workflow]]:
        """A transaction that has a process's row, in which it may be told to go on. Raises EnginePaused."""
        with self.database.transaction():
            process_rows.hold_from_outside(process_id)
            engine.check_not_paused()
            yield self._claim(process_id)

    def _ask_about(self, process_id: ProcessId, user: str, what: str) -> None:
        """Ask whether this user may do what ends a process; a workflow that the code has no more forbids nothing."""
        process_rows.hold_from_outside(process_id)
        claim = self._find_claim(process_id)
        if (workflow := self.orchestrator.workflows.get(claim.workflow_name)) is not None:
            ask_to_retry(workflow, claim.committed, user, what=what)

    def _next(self, process_id: ProcessId, user: str) -> Claim:
        """Check that a process may go on, and put it into the hands of a run that is yet to be created."""
        with self.database.transaction():
            process_rows.hold_from_outside(process_id)
            claim, workflow = self._claim(process_id)
            has_run = claim.run_id is not None and self.instance.get_run_by_id(claim.run_id) is not None
            check_may_act(claim, workflow, self.instance, None if has_run else claim.run_id)
            if has_run:
                engine.check_not_paused()
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
            parent = None if is_first else process_rows.last_run(claim.process_id) or process_id
        return create_run(
            self.instance,
            self.orchestrator.job(claim.workflow_name),
            run_id=claim.run_id,
            tags={key: str(value) for key, value in known.items() if value},
            root_run_id=None if is_first else process_id,
            parent_run_id=parent,
            step_keys=[step.key for step in workflow.left(claim.committed)] if claim.committed else None,
        )

    def form_resources(self, workflow: Workflow) -> AbstractContextManager[Mapping[str, Any]]:
        """The external systems that a workflow's forms ask, set up as a run has them."""
        return self._resources_of(form_resource_keys(workflow))

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
