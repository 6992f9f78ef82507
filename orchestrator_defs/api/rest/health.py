"""Whether the server is well: for those who watch over it, without a login."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from orchestrator_defs.api.dependencies import OrchestratorDep, SettingsDep
from orchestrator_defs.api.patience import Question
from orchestrator_defs.api.problems import problem, problems
from orchestrator_defs.readiness import Readiness, readiness
from resources.errors import DatabaseUnreachable
from resources.pulse import feel_pulse

router = APIRouter(prefix="/health", tags=["health"])

OK = "OK"


class Ready(BaseModel):
    """What each check has found."""

    database: str = Field(examples=["ok"])
    schema_: str = Field(serialization_alias="schema", examples=["ok"])
    catalogue: str = Field(examples=["ok"])


@router.get("/", summary="Ask whether the database answers", responses=problems(503))
async def get_health(request: Request, orchestrator: OrchestratorDep, settings: SettingsDep) -> str:
    """OK after a small statement. 503 when the database does not answer, or not in time."""
    question = _question(request, "health", lambda: feel_pulse(orchestrator.database))
    await _in_time(question, settings.health_timeout_seconds)
    return OK


@router.get("/live", summary="Ask whether the server answers")
async def get_liveness() -> str:
    """OK, without a look at anything else: a server that does not say so is to be started again."""
    return OK


@router.get("/ready", summary="Ask whether requests can be answered", response_model=Ready, responses=problems(503))
async def get_readiness(request: Request, orchestrator: OrchestratorDep, settings: SettingsDep) -> Ready | Response:
    """Whether the database answers, and has the schema and the catalogue of this version.

    503 names what is missing, in `detail` and per check in `checks`: send requests elsewhere meanwhile.
    """
    question = _question(request, "ready", lambda: readiness(orchestrator))
    found: Readiness = await _in_time(question, settings.health_timeout_seconds)
    if found.missing:
        return problem(503, found.missing, checks=found.checks)
    return Ready(database=found.checks["database"], schema_=found.checks["schema"], catalogue=found.checks["catalogue"])


def _question(request: Request, name: str, put: Callable[[], Any]) -> Question[Any]:
    """The application's question of this name; all who ask at the same time share it."""
    if not hasattr(request.app.state, "questions"):
        request.app.state.questions = {}
    asked: dict[str, Question[Any]] = request.app.state.questions
    return asked.setdefault(name, Question(put))


async def _in_time(question: Question[Any], seconds: float) -> Any:
    try:
        return await question.answer(seconds)
    except TimeoutError:
        raise DatabaseUnreachable(f"The database has not answered in {seconds:g} s.") from None
