"""Read processes: lists, counts, and one process with all its steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ops.starting.permission import UserPermissions, user_permissions
from ops.starting.process_detail import PendingForm, ProcessDetail
from orchestrator_defs.api.dependencies import DatabaseDep, ProcessesDep, UserDep
from orchestrator_defs.api.form_threads import FormThreadsDep
from orchestrator_defs.api.rest.conditional import tagged
from orchestrator_defs.api.rest.lists import PartDep, SearchQuery, filter_query, list_answers, sort_query
from orchestrator_defs.api.rest.process_models import Permissions, Process, ProcessWithSteps, Run, StatusCounts
from orchestrator_defs.api.security.problems import problems
from orchestrator_defs.api.security.rights import WorkflowCheck, WorkflowCheckDep
from orchestrator_defs.processes.processes import Processes
from resources.domain.saving.headers import SubscriptionHeader
from resources.errors import FormsBusy, FormTimedOut, NotAuthorised
from resources.figures.counts import status_counts
from resources.processes.process_fields import PROCESS_FIELDS
from resources.processes.process_lists import find_processes, linked_subscriptions
from resources.processes.waits import WaitKind
from resources.subscriptions.history import Comparison, compare_around
from resources.subscriptions.list_fields import read_pairs
from resources.types import ProcessId, State, SubscriptionId
from resources.users import User

router = APIRouter()

NOUN = "processes"
OLD = "__old_subscriptions__"
PROGRESS = "callback_progress"

_list_of_processes = TypeAdapter(list[Process])


# --- counts ---


@router.get("/status-counts", summary="Count processes and tasks by status", responses=problems(403, 503))
def count_by_status(database: DatabaseDep) -> StatusCounts:
    """Statuses without any process are left out."""
    with database.transaction(read_only=True):
        found = status_counts()
    counts: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for (status, is_task), count in found.items():
        counts[is_task][status] = count
    return StatusCounts(process_counts=counts[False], task_counts=counts[True])


# --- one ---


@dataclass(frozen=True)
class _View:
    """What is read of a process before its form is evaluated."""

    detail: ProcessDetail
    linked: list[SubscriptionHeader]
    comparison: Comparison | None
    permissions: UserPermissions

    @property
    def needs_form(self) -> bool:
        """Whether the process waits for input."""
        return self.detail.wait is not None and self.detail.wait.kind is WaitKind.INPUT

    @property
    def state(self) -> State:
        """The state, with the subscription before and after, and the progress that an external system reports."""
        state = dict(self.detail.state)
        for wait in self.detail.waits:
            if wait.progress is not None:
                state[PROGRESS] = wait.progress
        if self.comparison is None:
            return state
        if isinstance(state.get("subscription"), Mapping) and self.comparison.after is not None:
            state["subscription"] = self.comparison.after
        before = self.comparison.before
        return {**state, OLD: {} if before is None else {str(self.comparison.subscription_id): before}}


@router.get("/{process_id}", summary="Look at a process", responses=problems(403, 404, 422, 503))
async def get_process(
    process_id: UUID,
    request: Request,
    processes: ProcessesDep,
    forms: FormThreadsDep,
    user: UserDep,
    check: WorkflowCheckDep,
) -> ProcessWithSteps:
    """The process with its steps, pending ones included, its state, and the form that it waits with. When the form
    fails or takes too long, `form_error` says why.
    """
    view = await run_in_threadpool(_read, processes, process_id, user)
    pending_form = PendingForm()
    if view.needs_form:
        try:
            pending_form = await forms.run(lambda: processes.answers.pending_form(process_id))
        except (FormTimedOut, FormsBusy) as error:
            pending_form = PendingForm(error=str(error))
    return ProcessWithSteps.of_detail(
        view.detail,
        view.linked,
        state=view.state,
        pending_form=pending_form,
        runs=list(_runs(view.detail, request.scope.get("root_path", ""))),
        permissions=_permissions(view, check),
    )


def _read(processes: Processes, process_id: ProcessId, user: User) -> _View:
    with processes.database.transaction(read_only=True):
        detail = processes.queries.detail(process_id, with_form=False)
        linked = linked_subscriptions([process_id])[process_id]
        subject = _subject(detail.state, linked)
        comparison = compare_around(process_id, subject) if subject else None
    return _View(detail, linked, comparison, _callback_permissions(processes, detail, user))


def _subject(state: State, linked: list[SubscriptionHeader]) -> SubscriptionId | None:
    """The linked subscription that the state is about."""
    about = state.get("subscription")
    named = about.get("subscription_id") if isinstance(about, Mapping) else state.get("subscription_id")
    return next((one.subscription_id for one in linked if str(one.subscription_id) == named), None)


def _callback_permissions(processes: Processes, detail: ProcessDetail, user: User) -> UserPermissions:
    """Nothing is allowed for a workflow that the code has dropped."""
    workflow = processes.queries.workflow_of(detail.line)
    if workflow is None:
        return UserPermissions(retry_allowed=False, resume_allowed=False)
    wait = detail.wait
    return user_permissions(workflow, detail.committed, user, waits_at=wait.step_key if wait else None)


def _permissions(view: _View, check: WorkflowCheck) -> Permissions:
    def may(action: str) -> bool:
        try:
            check(view.detail.line.workflow_name, action)
        except NotAuthorised:
            return False
        return True

    return Permissions(
        retry_allowed=view.permissions.retry_allowed and may("retry"),
        resume_allowed=view.permissions.resume_allowed and may("resume"),
    )


def _runs(detail: ProcessDetail, prefix: str) -> Iterator[Run]:
    """The known Dagster runs of the process, oldest first."""
    ids = [step.run_id for step in detail.steps]
    for run_id in dict.fromkeys(one for one in (*ids, detail.line.run_id) if one):
        yield Run(run_id=run_id, url=f"{prefix}/runs/{run_id}")


# --- many ---


@router.get(
    "/",
    summary="List processes",
    response_model=list[Process],
    responses={
        **list_answers(NOUN, 400, 403, 422, 503),
        304: {"description": "the list has not changed"},
    },
)
def list_processes(
    request: Request,
    database: DatabaseDep,
    part: PartDep,
    sort: Annotated[str, sort_query(PROCESS_FIELDS, "lastModifiedAt,desc")] = "",
    filter_: Annotated[str, filter_query(PROCESS_FIELDS, "isTask,false,lastStatus,failed-suspended")] = "",
    query: SearchQuery = "",
) -> Response:
    """The newest first, unless sorted."""
    filters, order = read_pairs(filter_, "filter"), read_pairs(sort, "sort")
    with database.transaction(read_only=True):
        page = find_processes(filters, order, search=query, offset=part.first, limit=part.limit)
        linked = linked_subscriptions([line.process_id for line in page.lines]) if page.lines else {}
    found = [Process.of(line, linked[line.process_id]) for line in page.lines]
    shown = part.shown(NOUN, found, page.total)
    return tagged(request, _list_of_processes.dump_json(found), {"Content-Range": shown})
