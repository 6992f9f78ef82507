"""Client messages: written to the server's log and nowhere else."""

import json
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path

from orchestrator_defs.api.dependencies import UserDep
from orchestrator_defs.api.rest.fields import JsonObject
from orchestrator_defs.api.security.problems import example, problems

log = logging.getLogger(__name__)

router = APIRouter(prefix="/user", tags=["user log"])

LONGEST = 10_000
"""Characters of one line; the rest is cut off."""

Said = Annotated[
    JsonObject, Body(description="anything", examples=[{"message": "TypeError: x is undefined", "page": "/tasks"}])
]


@router.post("/error", summary="Log an error of a client", responses=example({}) | problems(400, 422))
def log_error(said: Said, user: UserDep) -> dict[str, Any]:
    """Write it to the server's log, with the name of who is logged in."""
    log.error("The client of %s reports an error: %s", _line(user), _line(said))
    return {}


@router.post("/log/{user_name}", summary="Log what a client says", responses=example({}) | problems(400, 422))
def log_message(user_name: Annotated[str, Path(examples=["ada"])], said: Said, user: UserDep) -> dict[str, Any]:
    """Write it to the server's log, with the name of who is logged in; `user_name` is only what the client says."""
    log.info("The client of %s, as %s, says: %s", _line(user), _line(user_name), _line(said))
    return {}


def _line(said: Any) -> str:
    """As JSON in ASCII on one line, so that no client can forge log lines."""
    text = json.dumps(said)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
