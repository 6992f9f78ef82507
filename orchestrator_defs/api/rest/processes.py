"""Processes: start them, and lay hands on those that there are."""

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
"""What may be answered to whoever lays hands on a process: not allowed, none such, not as it stands, not understood,
paused."""


def _reporter(
    user: UserDep,
    settings: SettingsDep,
    reporter: Annotated[
        Text | None,
        Query(max_length=100, description="who starts it, where no login is asked for; else it changes nothing"),
    ] = None,
) -> User:
    """Whoever is logged in is who they are; nobody speaks for somebody else."""
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
                "the first page of a workflow that creates": {"value": [{"product": "Node"}]},
                "nothing yet": {"value": []},
            },
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=LONGEST_KEY, description="the same start with the same key gives the same process"),
    ] = None,
) -> ProcessReference:
    """Start a process, when its form is filled in and nothing stands against it.

    While the form asks for another page the answer is 510, with the page's JSON schema in `form`; post all pages so far
    and the next one. A page that is not valid is a 400 with `validation_errors`. Whatever stands in the way of a start
    (a predicate, the state of the subscription, another process that has it) is a 412 with a sentence in `detail`.

    The process is launched as soon as it is written, after this answer. Where the instance's run launcher takes no runs
    from the server (any but the warm workers' own), the process stays `created` until the sweeper's sensor launches it,
    some seconds later.
    """
    workflow = processes.orchestrator.workflow(workflow_key)
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
    summary="Try all tasks again that failed or wait for better times",
    responses=problems(403, 503),
)
def resume_all(processes: ProcessesDep, user: UserDep, check: WorkflowCheckDep, background: BackgroundTasks) -> Count:
    """How many are set going; those of which the user may not retry the workflow are passed by."""
    resumed = processes.interventions.resume_all(user=user, check=lambda name: check(name, "retry"))
    background.add_task(processes.runs.try_to_launch, resumed, user=user)
    return Count(count=len(resumed))


@router.put(
    "/{process_id}/resume",
    status_code=204,
    summary="Answer what a process asks, or have it try again",
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
    """A process that is suspended takes the pages as its answer, by the protocol of a start: 510 for the next page, 400
    for one that is not valid. One that failed, or waits for better times, tries the same step again.

    One that waits for a callback is not resumed by hand: its callback is what it waits for.
    """
    line = await run_in_threadpool(processes.queries.line, process_id)
    if line.status is ProcessStatus.SUSPENDED:
        check(line.workflow, "resume")
        await forms.run(partial(processes.answers.answer, process_id, pages or None, user=user))
    else:
        check(line.workflow, "retry")
        await run_in_threadpool(processes.interventions.retry, process_id, user=user)
    background.add_task(processes.runs.try_to_launch, [process_id], user=user)


@router.put("/{process_id}/abort", status_code=204, summary="End a process for good", responses=problems(*REFUSALS))
def abort_process(process_id: UUID, processes: ProcessesDep, user: UserDep, check: WorkflowCheckDep) -> None:
    """What it has done stays; what it holds is let go of, out of sync. A run that is at work for it is stopped. Also
    while the engine is paused. One that has ended cannot be aborted: 409.
    """
    check(processes.queries.line(process_id).workflow, "abort")
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
    """Because a person has done it; the ledger keeps who and why. What the step would have added to the state is given
    in its place. The process goes on with the next step.
    """
    check(processes.queries.line(process_id).workflow, "skip")
    step = processes.interventions.skip(
        process_id, user=user, reason=skip.reason, changes=skip.changes, removed=skip.removed
    )
    background.add_task(processes.runs.try_to_launch, [process_id], user=user)
    return StepReference(step=step)


@router.put(
    "/{process_id}/back",
    summary="Send a process back to a step that it has done",
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
    """With the state that it had then. What the steps from there on did is not undone: it is done again."""
    check(processes.queries.line(process_id).workflow, "send back")
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
    """In the place of the one it had; the process as it is then."""
    check(processes.queries.line(process_id).workflow, "note")
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
    """With its ledger; its Dagster runs stay. What is no task, or has not ended, is kept: 400."""
    check(processes.queries.line(process_id).workflow, "delete")
    processes.interventions.delete(process_id, user=user)
