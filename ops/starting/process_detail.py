"""A process in detail for people: committed and pending steps, waits. Secrets are masked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from ops.starting import submitted_answers
from ops.steps.state import masked
from ops.steps.workflow import Workflow
from resources.database.tables import ProcessStepTable, ProcessWaitTable
from resources.errors import OrchestratorError
from resources.processes import ledger, process_rows, waits
from resources.processes.process_lists import ProcessLine
from resources.processes.process_rows import Child
from resources.processes.statements import OTHER_LINES
from resources.processes.waits import WaitKind
from resources.subscriptions.usability import reconcile_command
from resources.types import ProcessId, ProcessStatus, State, StepKey, StepStatus, SubscriptionId, Target


@dataclass(frozen=True, slots=True)
class StepDetail:
    """A line of the ledger. `set` and `removed` are its change of state; `error` is why it failed, or was skipped."""

    step_id: UUID
    key: StepKey
    name: str
    status: StepStatus
    attempts: int
    started_at: datetime
    finished_at: datetime
    set: State
    removed: list[str]
    error: Any
    created_by: str | None
    run_id: str | None
    commit_hash: str | None

    @property
    def seconds(self) -> float:
        """The duration of its last attempt."""
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class PendingStep:
    """A step that has not started."""

    key: StepKey
    name: str


@dataclass(frozen=True, slots=True)
class PendingForm:
    """The page to fill in: its JSON schema and further data for the client, or why it cannot be shown."""

    form: dict[str, Any] | None = None
    meta: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class WaitDetail:
    """What a process waits for. `form` is the JSON schema of the page to fill in, `meta` further data for the client;
    `form_error` says why a required form cannot be shown.
    """

    kind: WaitKind
    step_key: StepKey
    since: datetime
    deadline: datetime | None
    reason: str | None
    progress: Any
    form: dict[str, Any] | None = None
    meta: Any = None
    form_error: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessDetail:
    """A process with its state, steps, waits, subscriptions and children."""

    line: ProcessLine
    state: State
    traceback: str | None
    steps: list[StepDetail]
    pending: list[PendingStep]
    waits: list[WaitDetail]
    subscriptions: list[SubscriptionId]
    children: list[Child]
    cure: str = ""
    """The command that puts right what a validation has found, and ends it."""

    @property
    def committed(self) -> list[StepKey]:
        """The keys of the committed steps, in order."""
        return committed_of((step.key, step.status) for step in self.steps)

    @property
    def wait(self) -> WaitDetail | None:
        """The wait that stops the process; others may be open for tokens."""
        own = [wait for wait in self.waits if wait.kind.process_status is self.line.status]
        return own[0] if own else None


def process_detail(
    line: ProcessLine,
    workflow: Workflow | None,
    resources: Mapping[str, Any] | None = None,
    *,
    with_form: bool = True,
) -> ProcessDetail:
    """Read a process in detail. `workflow` is None when the code has dropped it; `resources` are those of its forms.

    Needs a transaction, in which a form is evaluated unless `with_form` is False. Raises UnknownProcess.
    """
    process_id = line.process_id
    row = process_rows.get_process(process_id)
    lines = ledger.steps_of(process_id)
    form = partial(pending_form, process_id, workflow, resources or {})
    subscriptions, children = process_rows.subscriptions_of(process_id), process_rows.children_of(process_id)
    has_drifted = line.target is Target.VALIDATE and line.status is ProcessStatus.INCONSISTENT_DATA
    return ProcessDetail(  # the form comes last: it may break the transaction
        line=line,
        state=masked(row.state),
        traceback=row.traceback,
        steps=[step_detail(one) for one in lines],
        pending=pending_steps(row.last_status, row.step_keys, lines, workflow),
        waits=[
            _wait(wait, form() if with_form and wait.kind == WaitKind.INPUT else PendingForm())
            for wait in waits.find_open(process_id)
        ],
        subscriptions=subscriptions,
        children=children,
        cure=reconcile_command(subscriptions[0]) if has_drifted and subscriptions else "",
    )


def committed_of(steps: Iterable[tuple[StepKey, StepStatus]]) -> list[StepKey]:
    """The keys of the committed steps, in order."""
    done = (key for key, status in steps if status.is_committed)
    return [key for key in done if not (key.startswith(OTHER_LINES) or ledger.is_of_item(key))]


def step_detail(line: ProcessStepTable) -> StepDetail:
    """A line of the ledger, with secrets masked."""
    return StepDetail(
        step_id=line.step_id,
        key=line.step_key,
        name=line.name,
        status=StepStatus(line.status),
        attempts=line.attempts,
        started_at=line.started_at,
        finished_at=line.finished_at,
        set=masked(line.set),
        removed=line.removed,
        error=masked(line.error),
        created_by=line.created_by,
        run_id=line.run_id,
        commit_hash=line.commit_hash,
    )


def pending_steps(
    status: str, step_keys: Sequence[StepKey], lines: Sequence[ProcessStepTable], workflow: Workflow | None
) -> list[PendingStep]:
    """The steps of a process that have not started; of a dropped workflow, those that it had at the start."""
    if ProcessStatus(status).is_final:
        return []
    tried = {line.step_key for line in lines}
    if workflow is None:
        return [PendingStep(key, key) for key in step_keys if key not in tried]
    done = [
        line.step_key
        for line in lines
        if StepStatus(line.status).is_committed and not line.step_key.startswith(OTHER_LINES)
    ]
    return [PendingStep(step.key, step.label) for step in workflow.left(done) if step.key not in tried]


def _wait(wait: ProcessWaitTable, page: PendingForm) -> WaitDetail:
    progress = wait.progress or {}
    return WaitDetail(
        kind=WaitKind(wait.kind),
        step_key=wait.step_key,
        since=wait.created_at,
        deadline=wait.deadline,
        reason=progress.get("reason"),
        progress=masked(progress.get("progress")),
        form=page.form,
        meta=page.meta,
        form_error=page.error,
    )


def pending_form(process_id: ProcessId, workflow: Workflow | None, resources: Mapping[str, Any]) -> PendingForm:
    """The first page of the form that a process waits with; a failing form says why. Needs a transaction, which a form
    may break.
    """
    if workflow is None:
        return PendingForm(error="The code no longer has this workflow.")
    try:
        page = submitted_answers.next_page(workflow, process_id, (), resources)
    except OrchestratorError as error:
        return PendingForm(error=str(error))
    except Exception as error:  # noqa: BLE001  # an organisation's form may raise anything
        return PendingForm(error=f"The form fails with {type(error).__name__}: {error}")
    return PendingForm(page.schema, page.meta) if page else PendingForm()
