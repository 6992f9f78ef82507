"""Processes: start them, and intervene in those that run or have stopped."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Body, Depends, Header, Query
from starlette.concurrency import run_in_threadpool

from ops.starting.admission import LONGEST_KEY
from orchestrator_defs.api.dependencies import DatabaseDep, ProcessesDep, SettingsDep, UserDep
from orchestrator_defs.api.form_threads import FormThreadsDep
from orchestrator_defs.api.rest import callbacks, process_views
from orchestrator_defs.api.rest.fields import Text
from orchestrator_defs.api.rest.process_models import (
    Back,
    Count,
    Note,
    Page,
    Pages,
    Process,
    ProcessReference,
    Skip,
    StepReference,
)
from orchestrator_defs.api.security.problems import problems
from orchestrator_defs.api.security.rights import WorkflowCheckDep
from resources.processes.process_lists import linked_subscriptions, process_line
from resources.types import ProcessStatus
from resources.users import User

router = APIRouter(prefix="/processes", tags=["processes"])
router.include_router(callbacks.router)
router.include_router(process_views.router)

REFUSALS = (403, 404, 409, 422, 503)
"""The error answers of interventions: not authorised, unknown, wrong status, not understood, paused."""


def _reporter(
    user: UserDep,
    settings: SettingsDep,
    reporter: Annotated[
        Text | None,
        Query(max_length=100, description="who starts it, when the server requires no login; otherwise ignored"),
    ] = None,
) -> User:
    """The logged-in user; nobody acts in another user's name."""
    if settings.oauth2_active or not reporter:
        return user
    return User(reporter, claims=user.claims, roles=user.roles)


ReporterDep = Annotated[User, Depends(_reporter)]


@router.post(
    "/{workflow_key}",
    status_code=201,
    summary="Start a workflow",
    responses=problems(400, 403, 404, 409, 412, 422, 503, 504, 510),
)
async def start_process(
    workflow_key: str,
    processes: ProcessesDep,
    forms: FormThreadsDep,
    user: ReporterDep,
    check: WorkflowCheckDep,
    background: BackgroundTasks,
    pages: Annotated[
        Pages | None,
        Body(
            description="all pages of the form that are filled in so far, in order",
            openapi_examples={
                "the first page of a create workflow": {"value": [{"product": "Node"}]},
                "nothing yet": {"value": []},
            },
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=LONGEST_KEY, description="the same start with the same key gives the same process"),
    ] = None,
) -> ProcessReference:
    """Start a process once its form is complete and no rule forbids it.

    While the form needs another page the response is 510, with the page's JSON schema in `form`; post all pages so far
    plus the next one. An invalid page is 400 with `validation_errors`. A rule that forbids the start (a predicate, the
    state of the subscription, another process that holds its lock) is 412 with a sentence in `detail`.

    The process is launched right after this response. Where the instance's run launcher accepts no runs from the server
    (any launcher but the warm workers'), the process stays `created` until the sweeper launches it some seconds later.
    """
    workflow = processes.served.workflows.get(workflow_key)
    if workflow is None:  # another location's, perhaps, which the database knows
        workflow = await run_in_threadpool(processes.served.workflow, workflow_key)
    check(workflow.name, "start")
    start = partial(
        processes.starts.start,
        workflow.name,
        pages,
        user=user,
        idempotency_key=idempotency_key,
        empty_page_is_asked=True,
    )
    process_id = await forms.run(start)
    background.add_task(processes.runs.try_to_launch, [process_id], user=user)
    return ProcessReference(id=process_id)


@router.put(
    "/resume-all",
    summary="Retry all tasks that failed or wait for a retry",
    responses=problems(403, 503),
)
def resume_all(processes: ProcessesDep, user: UserDep, check: WorkflowCheckDep, background: BackgroundTasks) -> Count:
    """How many are resumed; tasks whose workflow the user may not retry are left out."""
    resumed = processes.interventions.resume_all(user=user, check=lambda name: check(name, "retry"))
    background.add_task(processes.runs.try_to_launch, resumed, user=user)
    return Count(count=len(resumed))


@router.put(
    "/{process_id}/resume",
    status_code=204,
    summary="Answer a suspended process, or retry a failed one",
    responses=problems(400, 412, *REFUSALS, 504, 510),
)
async def resume_process(
    process_id: UUID,
    processes: ProcessesDep,
    forms: FormThreadsDep,
    user: UserDep,
    check: WorkflowCheckDep,
    background: BackgroundTasks,
    pages: Annotated[
        Pages | Page | None,
        Body(
            description="all pages of the input step's form that are filled in so far; nothing for a retry",
            openapi_examples={"a retry": {"value": {}}, "an answer": {"value": [{"approved": True}]}},
        ),
    ] = None,
) -> None:
    """A suspended process takes the pages as its answer, as when a process starts: 510 with the next page, 400 for an
    invalid page. A process that failed or waits for a retry repeats the same step.

    A process that waits for a callback cannot be resumed by hand.
    """
    line = await run_in_threadpool(processes.queries.line, process_id)
    if line.status is ProcessStatus.SUSPENDED:
        check(line.workflow_name, "resume")
        await forms.run(partial(processes.answers.answer, process_id, pages or None, user=user))
    else:
        check(line.workflow_name, "retry")
        await run_in_threadpool(processes.interventions.retry, process_id, user=user)
    background.add_task(processes.runs.try_to_launch, [process_id], user=user)


@router.put("/{process_id}/abort", status_code=204, summary="Abort a process", responses=problems(*REFUSALS))
def abort_process(process_id: UUID, processes: ProcessesDep, user: UserDep, check: WorkflowCheckDep) -> None:
    """What it has done stays; its subscriptions are unlocked, and out of sync. Its current run is terminated; while a
    step of it is still in progress the process is `aborting` and keeps its subscriptions. Also works while the engine
    is paused. A process that has ended cannot be aborted: 409.
    """
    check(processes.queries.line(process_id).workflow_name, "abort")
    processes.interventions.abort(process_id, user=user)


@router.put(
    "/{process_id}/skip",
    summary="Skip the step at which a process has stopped",
    responses=problems(400, *REFUSALS),
)
def skip_step(
    process_id: UUID,
    skip: Skip,
    processes: ProcessesDep,
    user: UserDep,
    check: WorkflowCheckDep,
    background: BackgroundTasks,
) -> StepReference:
    """Skip the step because a person has done its work; the ledger keeps who and why. The body gives what the step
    would have added to the state. The process continues with the next step.
    """
    check(processes.queries.line(process_id).workflow_name, "skip")
    step = processes.interventions.skip(
        process_id, user=user, reason=skip.reason, changes=skip.changes, removed=skip.removed
    )
    background.add_task(processes.runs.try_to_launch, [process_id], user=user)
    return StepReference(step=step)


@router.put(
    "/{process_id}/back",
    summary="Send a process back to a committed step",
    responses=problems(400, 412, *REFUSALS),
)
def go_back(
    process_id: UUID,
    back: Back,
    processes: ProcessesDep,
    user: UserDep,
    check: WorkflowCheckDep,
    background: BackgroundTasks,
) -> StepReference:
    """The process gets back the state that it had then. Nothing is undone: the steps from there on run again."""
    check(processes.queries.line(process_id).workflow_name, "send back")
    step = processes.interventions.go_back(process_id, back.step, user=user, reason=back.reason)
    background.add_task(processes.runs.try_to_launch, [process_id], user=user)
    return StepReference(step=step)


@router.patch("/{process_id}", summary="Write a note on a process", responses=problems(400, 403, 404, 422, 503))
def write_note(
    process_id: UUID,
    note: Note,
    processes: ProcessesDep,
    database: DatabaseDep,
    user: UserDep,
    check: WorkflowCheckDep,
) -> Process:
    """Replace the note; returns the process."""
    check(processes.queries.line(process_id).workflow_name, "note")
    processes.interventions.note(process_id, note.note, user=user)
    with database.transaction(read_only=True):
        return Process.of(process_line(process_id), linked_subscriptions([process_id])[process_id])


@router.delete(
    "/{process_id}",
    status_code=204,
    summary="Delete a task that has ended",
    responses=problems(400, 403, 404, 422, 503),
)
def delete_process(process_id: UUID, processes: ProcessesDep, user: UserDep, check: WorkflowCheckDep) -> None:
    """Delete the task with its ledger; its Dagster runs stay. A process that is not a task, or has not ended, is kept:
    400.
    """
    check(processes.queries.line(process_id).workflow_name, "delete")
    processes.interventions.delete(process_id, user=user)
