"""Health checks for monitoring and load balancers; they need no login."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field

from orchestrator_defs.api.rest.shared_question import Question
from orchestrator_defs.api.security.problems import example, problem, problems
from orchestrator_defs.health.readiness import Readiness, readiness, sensors
from orchestrator_defs.jobs.served import Served
from resources.database.ping import ping

router = APIRouter(prefix="/health", tags=["health"])

OK = "OK"


class Ready(BaseModel):
    """What each check has found."""

    database: str = Field(examples=["ok"])
    schema_: str = Field(serialization_alias="schema", examples=["ok"])
    catalogue: str = Field(examples=["ok"])
    sensors: str = Field(examples=["ok"])


@router.get("/", summary="Ask whether the database answers", responses=example(OK) | problems(503))
async def get_health(request: Request) -> str:
    """OK when the database answers a small statement in time, else 503."""
    await _answer(request, "health", lambda served: ping(served.first.database))
    return OK


@router.get("/live", summary="Ask whether the server answers", responses=example(OK))
async def get_liveness() -> str:
    """OK without any further check: restart a server that does not answer."""
    return OK


@router.get("/ready", summary="Ask whether requests can be answered", response_model=Ready, responses=problems(503))
async def get_readiness(request: Request) -> Ready | Response:
    """Whether the database answers and has the schema and the catalogue of this version.

    503 names what is missing, in `detail` and per check in `checks`: send requests to another server until it is ready.
    `sensors` says when one is late, which is no reason for another server: `orchestrator doctor` has the advice.
    """
    found: Readiness = await _answer(request, "ready", readiness)
    if found.missing:
        return problem(503, found.missing, checks=found.checks)
    instance = request.app.state.processes.instance
    late: str = await _answer(request, "sensors", lambda served: sensors(served, instance))
    return Ready(
        database=found.checks["database"],
        schema_=found.checks["schema"],
        catalogue=found.checks["catalogue"],
        sensors=late,
    )


async def _answer(request: Request, name: str, ask: Callable[[Served], Any]) -> Any:
    """The answer of a check within its time limit; concurrent requests share one check (single flight).

    It uses none of the threads that serve requests: they may all be waiting for the same database.
    """
    state = request.app.state
    if not hasattr(state, "questions"):
        state.questions = {}
    question: Question[Any] = state.questions.setdefault(name, Question(lambda: ask(state.processes.served)))
    seconds: float = state.settings.health_timeout_seconds
    try:
        return await question.answer(seconds)
    except TimeoutError:
        raise HTTPException(503, f"The database has not answered in {seconds:g} s.") from None
