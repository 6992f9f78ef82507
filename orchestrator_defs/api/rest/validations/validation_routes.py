"""What validations found about a subscription, and the two answers to drift: the routes."""

from functools import partial
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Header, Response

from ops.starting.admission import LONGEST_KEY
from ops.starting.drift_answer import Answer
from orchestrator_defs.api.dependencies import DatabaseDep, ProcessesDep, UserDep
from orchestrator_defs.api.form_threads import FormThreadsDep
from orchestrator_defs.api.rest.lists import PartDep, list_answers
from orchestrator_defs.api.rest.process_models import ProcessReference
from orchestrator_defs.api.rest.validations.validation_shapes import DriftAnswered, NewestValidation, PastValidation
from orchestrator_defs.api.security.problems import problems
from resources.database.session import use_one_snapshot
from resources.validations.reading import count_results, newest_result, past_results

router = APIRouter(prefix="/subscriptions", tags=["subscriptions"])


@router.get(
    "/{subscription_id}/validation", summary="Read the newest result of a validation", responses=problems(403, 404, 422)
)
def read_validation(subscription_id: UUID, database: DatabaseDep) -> NewestValidation:
    """What the newest validation found, and whether there is drift to answer."""
    with database.transaction(read_only=True):
        return NewestValidation.model_validate(newest_result(subscription_id))


@router.get(
    "/{subscription_id}/validations",
    summary="Read the results of validations",
    responses=list_answers("validations", 400, 403, 404, 422),
)
def list_validations(
    subscription_id: UUID, response: Response, database: DatabaseDep, part: PartDep
) -> list[PastValidation]:
    """The results, the newest first, as far back as they are kept."""
    with database.transaction(read_only=True):
        use_one_snapshot()
        newest_result(subscription_id)
        total = count_results(subscription_id)
        found = past_results(subscription_id, limit=part.limit, offset=part.first)
    part.note(response, "validations", found, total)
    return [PastValidation.model_validate(one) for one in found]


IdempotencyKey: TypeAlias = Annotated[
    str | None, Header(max_length=LONGEST_KEY, description="the same answer with the same key gives the same process")
]


def _route(answer: Answer, summary: str, about: str) -> None:
    @router.post(
        f"/{{subscription_id}}/{answer}",
        status_code=201,
        name=answer.value,
        summary=summary,
        description=f"{about} The newest validation must have found drift in the present version, else the answer"
        " is 412 with a sentence. The reason is kept with the process and in the history of the subscription.",
        responses=problems(400, 403, 404, 409, 412, 422, 503, 504),
    )
    async def answer_drift(
        subscription_id: UUID,
        asked: DriftAnswered,
        processes: ProcessesDep,
        forms: FormThreadsDep,
        user: UserDep,
        background: BackgroundTasks,
        idempotency_key: IdempotencyKey = None,
    ) -> ProcessReference:
        start = partial(
            processes.starts.answer_drift,
            answer,
            subscription_id,
            reason=asked.reason,
            user=user,
            workflow_name=asked.workflow,
            idempotency_key=idempotency_key,
        )
        process_id = await forms.run(start)
        background.add_task(processes.runs.try_to_launch, [process_id], user=user)
        return ProcessReference(id=process_id)


_route(
    Answer.PUSH_INTENT,
    "Answer drift: push the intent",
    "Starts the workflow that reconciles: the subscription is right.",
)
_route(
    Answer.ACCEPT_REALITY,
    "Answer drift: accept reality",
    "Starts a modification whose input is what was found, through its form and its rules; what cannot be accepted is"
    " named, with the reason.",
)
