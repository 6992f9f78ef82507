"""Named forms, which belong to no workflow."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body

from orchestrator_defs.api.dependencies import ProcessesDep, UserDep
from orchestrator_defs.api.form_threads import FormThreadsDep
from orchestrator_defs.api.rest.process_models import Pages
from orchestrator_defs.api.security.problems import example, problems

router = APIRouter(prefix="/forms", tags=["forms"])


@router.post(
    "/{form_key}",
    summary="Fill a named form",
    responses=example({"workflow_id": "1536102c-8f09-50c9-9ca0-3b56588ba97e", "scheduled_type": "create"})
    | problems(400, 403, 404, 422, 503, 504, 510),
)
async def fill_form(
    form_key: str,
    processes: ProcessesDep,
    forms: FormThreadsDep,
    user: UserDep,
    pages: Annotated[
        Pages | None,
        Body(
            description="all pages of the form that are filled in so far, in order",
            openapi_examples={"nothing yet": {"value": []}},
        ),
    ] = None,
) -> dict[str, Any]:
    """The result of the form for these pages. As when a process starts: 510 with the next page, 400 for an invalid
    page. Nothing is written.
    """
    return await forms.run(partial(processes.queries.fill_form, form_key, pages, user=user))
