"""Answers to waits of processes: a person's input, an external system's callback, a time."""

import logging
from collections.abc import Collection, Sequence
from typing import Any

from ops.starting import submitted_answers
from ops.starting.process_detail import PendingForm, pending_form
from ops.starting.submitted_answers import Verdict
from ops.steps.forms import as_pages
from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.process_access import ProcessAccess
from orchestrator_defs.processes.process_queries import ProcessQueries
from resources.errors import DatabaseBusy, FormIncomplete, OrchestratorError
from resources.processes import process_rows, recovery, waits
from resources.processes.recovery import ProcessState
from resources.types import ProcessId

log = logging.getLogger(__name__)

WAKE_BATCH = 500
"""How many due waits one call ends."""


class ProcessAnswers:
    """Answers to waits. They are committed; `ProcessRuns` then continues the process."""

    def __init__(self, access: ProcessAccess, queries: ProcessQueries) -> None:
        self._access = access
        self._queries = queries

    def pending_form(self, process_id: ProcessId) -> PendingForm:
        """The first page of the form for which a process waits, or why there is none. Raises UnknownProcess."""
        workflow = self._access.find_workflow(self._queries.line(process_id))
        with self._access.form_resources(workflow) as resources, self._access.database.transaction(read_only=True):
            return pending_form(process_id, workflow, resources)

    def next_page(self, process_id: ProcessId, inputs: Any = None) -> FormIncomplete | None:
        """The next page of the form for which a process waits, after these pages; None after the last.

        Raises UnknownProcess, NotWaiting, StepsChanged, FormInvalid.
        """
        workflow = self._access.workflow_of(process_id)
        with (
            self._access.form_resources(workflow) as resources,
            self._access.database.transaction(read_only=True),
        ):
            return submitted_answers.next_page(workflow, process_id, as_pages(inputs), resources)

    def answer(self, process_id: ProcessId, inputs: Any, *, user: str) -> None:
        """Fill in the form for which a suspended process waits. Commits.

        Raises UnknownProcess, NotWaiting, NotAuthorised, EnginePaused, FormInvalid, FormIncomplete; then nothing was
        changed.
        """
        with self._access.database.transaction(read_only=True):
            claim, workflow = self._access.claim(process_id)
        with self._access.form_resources(workflow) as resources:
            submitted_answers.answer(
                workflow, process_id, as_pages(inputs), user=user, database=self._access.database, resources=resources
            )
        self._access.report(claim, f"{user} filled in the form; the process continues in its next run.")

    def callback(self, process_id: ProcessId, token: str, result: Any) -> Verdict:
        """Store an external system's callback, early or late. Commits. Raises UnknownToken, StateError."""
        verdict, _ = submitted_answers.receive(process_id, token, result, database=self._access.database)
        return verdict

    def progress(self, process_id: ProcessId, token: str, progress: Any) -> bool:
        """Store an external system's progress report; False when no process waits for it. Commits.

        Raises UnknownToken, StateError.
        """
        return submitted_answers.record_progress(process_id, token, progress, database=self._access.database)

    def due(self, limit: int, without: Collection[ProcessId] = ()) -> list[ProcessState]:
        """The processes whose wait is due, and whose workflow the code has, the oldest deadline first."""
        with self._access.database.transaction(read_only=True):
            found = [
                one for orchestrator in self._orchestrators for one in self._due(orchestrator, limit, None, without)
            ]
            states = {one.process_id: one for one in recovery.states_of({one.process_id for one in found})}
        return [states[process_id] for process_id in dict.fromkeys(one.process_id for one in found)]

    def wake(self, limit: int = WAKE_BATCH, of: ProcessId | None = None) -> list[ProcessId]:
        """End the waits that are due, or those of one process; returns the processes to launch. Commits each wait by
        itself.
        """
        return [woken for orchestrator in self._orchestrators for woken in self._wake(orchestrator, limit, of)]

    @property
    def _orchestrators(self) -> Sequence[Orchestrator]:
        return self._access.served.orchestrators

    def _due(
        self, orchestrator: Orchestrator, limit: int, of: ProcessId | None, without: Collection[ProcessId] = ()
    ) -> list[waits.Due]:
        owner = self._access.owner_of(orchestrator)
        return waits.due(owner, limit, of=of, workflows=orchestrator.workflows, without=without)

    def _wake(self, orchestrator: Orchestrator, limit: int, of: ProcessId | None) -> list[ProcessId]:
        with self._access.database.transaction(read_only=True):
            found = self._due(orchestrator, limit, of)
            names = process_rows.workflow_names([due.process_id for due in found])
        return [due.process_id for due in found if self._has_ended(orchestrator.workflows[names[due.process_id]], due)]

    def _has_ended(self, workflow: Workflow, due: waits.Due) -> bool:
        try:
            return submitted_answers.wake(workflow, due, database=self._access.database) is not None
        except (OrchestratorError, DatabaseBusy) as error:  # the waits behind it must end
            log.warning("The wait of process %s cannot be ended: %s", due.process_id, error)
            return False
