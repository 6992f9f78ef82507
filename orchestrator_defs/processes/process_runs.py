"""The runs of a process: the next one is created here, then launched to a worker or executed in this process."""

import logging
from collections.abc import Iterable, Sequence

from dagster import DagsterRun

from ops.running.segment import check_may_act
from ops.starting.permission import check_may_retry
from orchestrator_defs.jobs.launchpad import continuing
from orchestrator_defs.processes.process_access import ProcessAccess
from orchestrator_defs.processes.process_answers import ProcessAnswers
from orchestrator_defs.processes.process_queries import ProcessQueries
from resources import tags
from resources.errors import RunMayNotAct
from resources.processes import interventions, pause, process_rows, recovery
from resources.processes.process_rows import Claim
from resources.runs import launched_by
from resources.runs.launching.launcher import WarmRunLauncher, create_run, execute_run, launches_to_workers
from resources.types import ProcessId, ProcessStatus
from resources.users import SYSTEM

log = logging.getLogger(__name__)

CHILDREN_AT_ONCE = 500
"""How many children are launched at once."""
READY = (ProcessStatus.CREATED, ProcessStatus.RESUMED)


class ProcessRuns:
    """The next run of a process. Its id is in the process's row, so it is created at most once."""

    def __init__(self, access: ProcessAccess, queries: ProcessQueries, answers: ProcessAnswers) -> None:
        self._access = access
        self._queries = queries
        self._answers = answers

    def execute(self, process_id: ProcessId, *, user: str) -> ProcessStatus:
        """Run a process here until it stops; returns its status. It was just started, was resumed, or has failed.

        Raises UnknownProcess, RunMayNotAct when it has ended, waits or is claimed by another run, StepsChanged, and
        NotAuthorised when this user may not continue it.
        """
        claim = self._next(process_id, user)
        orchestrator = self._access.served.of_process(claim)
        execute_run(self._access.instance, orchestrator.job(claim.workflow_name), self._create(claim, user))
        return self._queries.status(process_id)

    @property
    def can_launch(self) -> bool:
        """Whether the instance's launcher takes runs from here; others need a workspace, as Dagster itself has."""
        return isinstance(self._access.instance.run_launcher, WarmRunLauncher)

    def launch_or_execute(self, process_id: ProcessId, *, user: str) -> ProcessStatus:
        """Launch a process, or execute it here if the launcher takes no runs; its status then. Raises as `execute`."""
        if not self.can_launch:
            return self.execute(process_id, user=user)
        self.launch(process_id, user=user)
        return self._queries.status(process_id)

    def launch(self, process_id: ProcessId, *, user: str) -> str:
        """Pass a process's next run to the instance's run launcher; returns the run's id. Raises as `execute`."""
        claim = self._next(process_id, user)
        run = self._create(claim, user)
        self._access.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]  # our launcher needs no workspace
        return run.run_id

    def try_to_launch(self, process_ids: Iterable[ProcessId], *, user: str) -> None:
        """Launch processes that were just started or resumed. Raises nothing: the sweeper launches the rest."""
        for process_id in process_ids if self.can_launch else ():
            try:
                self.launch(process_id, user=user)
            except RunMayNotAct:
                log.debug("Process %s was launched already.", process_id)
            except Exception:
                log.exception("Process %s could not be launched; the sweeper tries again.", process_id)

    def launch_ready(self, process_ids: Sequence[ProcessId], *, user: str) -> None:
        """Launch those of these processes that are new or resumed. Raises nothing for one that cannot be launched."""
        with self._access.database.transaction(read_only=True):
            ready = {one.process_id for one in recovery.states_of(process_ids) if one.status in READY}
        self.try_to_launch((one for one in process_ids if one in ready), user=user)

    def launch_after(self, stopped: ProcessId) -> None:
        """Launch what no longer has to wait when a process has stopped: its parent, or itself if its children ended
        just before. Commits. Raises nothing: the sensor `wake` tries again.
        """
        if not launches_to_workers(self._access.instance):
            return
        try:
            for one in (stopped, self._parent_of(stopped)):
                if one is not None:
                    self.try_to_launch(self._answers.wake(of=one), user=SYSTEM)
        except Exception:
            log.exception("What waits for process %s is not continued yet; the sensor tries again.", stopped)

    def children_to_launch(self, of: ProcessId, limit: int = CHILDREN_AT_ONCE) -> list[ProcessId]:
        """The children of a process that are new or resumed; a run may exist for them."""
        with self._access.database.transaction(read_only=True):
            return [
                child
                for one in self._access.served.orchestrators
                for child in process_rows.children_to_launch(limit, self._access.owner_of(one), one.workflows, of=of)
            ]

    def _parent_of(self, process_id: ProcessId) -> ProcessId | None:
        with self._access.database.transaction(read_only=True):
            claim = process_rows.find_claim(process_id)
        return claim.parent if claim else None

    def _next(self, process_id: ProcessId, user: str) -> Claim:
        """Check that a process may continue, and let a run claim it that is yet to be created."""
        with self._access.database.transaction():
            process_rows.lock_row(process_id)
            claim, workflow = self._access.claim(process_id)
            has_run = claim.run_id is not None and self._access.instance.get_run_by_id(claim.run_id) is not None
            check_may_act(claim, workflow, self._access.instance, None if has_run else claim.run_id)
            if has_run:
                pause.check_not_paused()
                check_may_retry(workflow, claim.committed, user)
                interventions.resume(process_id, user=user, at=interventions.UNFINISHED)
                stopped, (claim, _) = claim, self._access.claim(process_id)
        if has_run:
            self._access.report(stopped, f"{user} resumed the process; it continues in run {claim.run_id}.")
        return claim

    def _create(self, claim: Claim, user: str) -> DagsterRun:
        """Create the run that claims the process, with the remaining steps."""
        process_id = str(claim.process_id)
        orchestrator = self._access.served.of_process(claim)
        workflow = orchestrator.workflow(claim.workflow_name)
        is_first = claim.run_id == process_id
        known = {
            tags.PROCESS: process_id,
            **launched_by.of_user(self._access.instance, user),
            tags.PARENT: claim.parent,
            tags.SUBSCRIPTION: claim.state.get("subscription_id"),
        }
        with self._access.database.transaction(read_only=True):
            parent = None if is_first else process_rows.last_run(claim.process_id) or process_id
        return create_run(
            self._access.instance,
            orchestrator.job(claim.workflow_name),
            run_id=claim.run_id,
            run_config=continuing(process_id),
            tags=tags.written(known),
            root_run_id=None if is_first else process_id,
            parent_run_id=parent,
            step_keys=[step.key for step in workflow.left(claim.committed)] if claim.committed else None,
            location=orchestrator.code,
        )
