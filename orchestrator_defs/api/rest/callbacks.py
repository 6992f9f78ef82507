"""Callbacks: what external systems say about the work that a process waits for. A token is their login."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Body

from ops.starting.submitted_answers import Verdict
from orchestrator_defs.api.dependencies import ProcessesDep
from orchestrator_defs.api.rest.process_models import JsonObject, Received
from orchestrator_defs.api.security.problems import problems
from resources.errors import NotWaiting

router = APIRouter(tags=["callbacks"])

CALLER = "SYSTEM"
LATE = "This process waits for no answer with this token any more; nothing was changed."


@router.post(
    "/{process_id}/callback/{token}",
    summary="Answer a process that waits for an external system",
    responses=problems(400, 404, 409, 422, 503),
)
def callback(
    process_id: UUID,
    token: str,
    processes: ProcessesDep,
    background: BackgroundTasks,
    result: Annotated[
        JsonObject,
        Body(description="any JSON object", openapi_examples={"a result": {"value": {"status": "done"}}}),
    ],
) -> Received:
    """The address comes with the token, which is good for one answer. One that comes early, or while the engine is
    paused, is kept. The same again changes nothing, and is no fault: 200. One for which nobody waits any more, because
    the process ended or the step was done otherwise, is a 409. A token that is not good for this process is a 404,
    whether there is such a process or not.
    """
    verdict = processes.answers.callback(process_id, token, result)
    if verdict is Verdict.TOO_LATE:
        raise NotWaiting(LATE)
    if verdict is Verdict.RESUMED:
        background.add_task(processes.runs.try_to_launch, [process_id], user=CALLER)
    return Received(verdict=verdict)


@router.post(
    "/{process_id}/callback/{token}/progress",
    summary="Say how far the work is",
    responses=problems(400, 404, 409, 422, 503),
)
def progress(
    process_id: UUID,
    token: str,
    processes: ProcessesDep,
    progress: Annotated[
        str | JsonObject,
        Body(
            description="a text, or any JSON object",
            openapi_examples={"a text": {"value": "half of it"}, "an object": {"value": {"percent": 50}}},
        ),
    ],
) -> Received:
    """For people to read while they wait; the answer is awaited as before, and no longer. The last one is shown."""
    if not processes.answers.progress(process_id, token, progress):
        raise NotWaiting(LATE)
    return Received(verdict="noted")
