"""Who may do what with a workflow: the one place in which routes ask the server about it."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import Depends
from starlette.requests import HTTPConnection

from orchestrator_defs.api.security.authorisation import AuthorisationDep

WorkflowCheck: TypeAlias = Callable[[str, str], None]
"""Takes a workflow's name and a verb: start, resume, retry, abort, skip, send back, note or delete.

It raises NotAuthorised. It is asked before the workflow's own authorisation callbacks, which have their say as well."""


async def _workflow_check(connection: HTTPConnection, authorisation: AuthorisationDep) -> WorkflowCheck:
    return authorisation.workflow_check(connection)


WorkflowCheckDep = Annotated[WorkflowCheck, Depends(_workflow_check)]
