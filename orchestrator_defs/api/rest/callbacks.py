"""Callbacks from external systems that a process waits for. A token in the path is the login."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Body

from ops.starting.submitted_answers import Verdict
from orchestrator_defs.api.dependencies import ProcessesDep
from orchestrator_defs.api.rest.fields import JsonObject
from orchestrator_defs.api.rest.process_models import Received
from orchestrator_defs.api.security.problems import problems
from resources.errors import NotWaiting
from resources.users import SYSTEM

router = APIRouter(tags=["callbacks"])

CALLER = SYSTEM
OTHERWISE = "The process has another answer with this token already, and keeps it; nothing was changed."
LATE = "The process no longer waits for an answer with this token; nothing was changed."


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
    """The path holds a token that is valid for one answer. An answer that arrives early, or while the engine is paused,
    is stored. Repeating the same answer changes nothing: 200. A different one is 409, and so is any when no process
    waits for it any longer, because the process ended or the step was completed in another way. A token that is not
    valid for the process is 404, whether or not the process exists.
    """
    verdict = processes.answers.callback(process_id, token, result)
    if verdict is Verdict.TOO_LATE:
        raise NotWaiting(LATE)
    if verdict is Verdict.ANSWERED_OTHERWISE:
        raise NotWaiting(OTHERWISE)
    if verdict is Verdict.RESUMED:
        background.add_task(processes.runs.try_to_launch, [process_id], user=CALLER)
    return Received(verdict=verdict)


@router.post(
    "/{process_id}/callback/{token}/progress",
    summary="Report progress",
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
    """Progress for people to read. It does not change how long the process waits; only the latest report is shown."""
    if not processes.answers.progress(process_id, token, progress):
        raise NotWaiting(LATE)
    return Received(verdict="noted")
