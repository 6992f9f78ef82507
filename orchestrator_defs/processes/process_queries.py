"""Queries on processes: their status, their details, and the forms for people."""

from typing import Any

from ops.starting import named_forms
from ops.starting.process_detail import ProcessDetail, process_detail
from ops.starting.schedule_form import KEY as SCHEDULE_FORM
from ops.starting.schedule_form import schedule_form
from ops.steps.forms import as_pages
from ops.steps.workflow import Workflow
from orchestrator_defs.processes.process_access import ProcessAccess
from resources.processes import process_rows
from resources.processes.process_lists import ProcessLine, process_line
from resources.processes.process_rows import Located
from resources.types import ProcessId, ProcessStatus


class ProcessQueries:
    """Queries on processes; none writes."""

    def __init__(self, access: ProcessAccess) -> None:
        self._access = access
        self._schedule_form = schedule_form(lambda: access.served.workflows, access.form_resources)

    def status(self, process_id: ProcessId) -> ProcessStatus:
        """The status of a process. Raises UnknownProcess."""
        with self._access.database.transaction(read_only=True):
            return ProcessStatus(process_rows.get_process(process_id).last_status)

    def workflow_of(self, process: Located) -> Workflow | None:
        """The workflow of a process, None if its location is not served here or no longer has it."""
        return self._access.find_workflow(process)

    def line(self, process_id: ProcessId) -> ProcessLine:
        """A process in a list. Raises UnknownProcess."""
        with self._access.database.transaction(read_only=True):
            return process_line(process_id)

    def detail(self, process_id: ProcessId, *, with_form: bool = True) -> ProcessDetail:
        """All about a process, and the form for which it waits, if wanted. Raises UnknownProcess."""
        with self._access.database.transaction(read_only=True):
            line = process_line(process_id)
        workflow = self._access.find_workflow(line)
        needs_form = with_form and line.status is ProcessStatus.SUSPENDED
        with (
            self._access.form_resources(workflow if needs_form else None) as resources,
            self._access.database.transaction(read_only=True),
        ):
            return process_detail(line, workflow, resources, with_form=with_form)

    def fill_form(self, key: str, inputs: Any, *, user: str) -> dict[str, Any]:
        """The result of a named form for these pages: one of the organisation's, or the one that schedules a task.

        Raises UnknownForm, FormInvalid, FormIncomplete.
        """
        form = self._schedule_form if key == SCHEDULE_FORM else named_forms.named_form(key)
        keys = named_forms.resource_keys(form)
        with self._access.resources_of(keys) as resources, self._access.database.transaction(read_only=True):
            return named_forms.fill_named_form(key, form, as_pages(inputs), user=user, resources=resources)
