"""What people read in their own language."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from orchestrator_defs.api.dependencies import ServedDep, SettingsDep
from orchestrator_defs.api.security.problems import problems
from resources.translations import LOCALES, translations

router = APIRouter(prefix="/translations", tags=["translations"])

EXAMPLE = {
    "forms": {"fields": {"note": "Note", "note_info": "A note that everybody sees with the subscription"}},
    "workflow": {"modify_note": "Modify note"},
    "subscription": {"not_in_sync": "This subscription is not in sync"},
}


@router.get(
    "/{language}",
    summary="Read the translations of a language",
    responses={200: {"content": {"application/json": {"example": EXAMPLE}}}, **problems(422)},
)
def get_translations(
    language: Annotated[str, Path(pattern="^[a-z]+-[A-Z]+$", max_length=20, examples=["en-GB"])],
    served: ServedDep,
    settings: SettingsDep,
) -> dict[str, Any]:
    """Labels and help of form fields, names of workflows, reasons why something may not start.

    For a language without translations: the descriptions of the workflows in the code.
    """
    own = [] if settings.translations_dir is None else [settings.translations_dir]
    workflows = {name: workflow.description for name, workflow in served.workflows.items()}
    known = {"forms": {"fields": {}}, "workflow": workflows}
    return translations(language, known, [LOCALES, *served.translations, *own])
