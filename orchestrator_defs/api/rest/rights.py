"""Who may do what with a workflow: the one place in which routes ask the server's policy about it."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import Depends
from starlette.requests import HTTPConnection

WorkflowCheck: TypeAlias = Callable[[str, str], None]
"""Takes a workflow's name and a verb: start, resume, retry, abort, skip, send back, note or delete.

It raises NotAuthorised. It is asked before the workflow's own authorisation callbacks, which have their say as well."""


async def check_workflow(_connection: HTTPConnection) -> WorkflowCheck:
    """What asks the policy for the user of this request. Until a policy has rules per workflow, it forbids nothing."""

    def check(_workflow_name: str, _action: str) -> None:
        return None

    return check


WorkflowCheckDep = Annotated[WorkflowCheck, Depends(check_workflow)]
