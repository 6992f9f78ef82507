"""The rights on workflows: the one place where routes ask the server about them."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import Depends
from starlette.requests import HTTPConnection

from orchestrator_defs.api.security.authorisation import AuthorisationDep

WorkflowCheck: TypeAlias = Callable[[str, str], None]
"""Called with a workflow's name and a verb: start, resume, retry, abort, skip, send back, note or delete.

It raises NotAuthorised. The workflow's own authorisation callbacks are called after it.
"""


async def _workflow_check(connection: HTTPConnection, authorisation: AuthorisationDep) -> WorkflowCheck:
    return authorisation.workflow_check(connection)


WorkflowCheckDep = Annotated[WorkflowCheck, Depends(_workflow_check)]
