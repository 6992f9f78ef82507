"""Who may start or retry a workflow: its authorisation callbacks, asked."""

import asyncio
import inspect
from typing import Any

from ops.step import LedgerStep
from ops.workflow import AuthCallback, AuthContext, Workflow
from resources.errors import NotAuthorised
from resources.types import StepKey


def ask_to_start(workflow: Workflow, user: str) -> None:
    """Ask the workflow's callback; without one everybody may. Raises NotAuthorised."""
    _ask(workflow.authorize_callback, AuthContext(user, "start_workflow", workflow))


def ask_to_resume(workflow: Workflow, place: LedgerStep, user: str) -> None:
    """Ask who may answer a step that waits: the last resume callback up to it, else the workflow's own of the start.

    Raises NotAuthorised.
    """
    callback = workflow.authorize_callback
    for step in _up_to(workflow, place):
        callback = step.step.resume_auth_callback or callback
    _ask(callback, AuthContext(user, "resume_workflow", workflow, place))


def ask_to_retry(workflow: Workflow, committed: list[StepKey], user: str) -> None:
    """Ask who may go on with a failed process: the last callback that the workflow and its steps so far name.

    The steps so far are those committed and the one that comes next; of branches, each that has not ended is asked for.
    Raises NotAuthorised.
    """
    for place in workflow.heads(committed) or [workflow.ledger_steps[-1]]:
        callback = workflow.retry_auth_callback or workflow.authorize_callback
        for step in _up_to(workflow, place):
            callback = step.step.retry_auth_callback or step.step.resume_auth_callback or callback
        _ask(callback, AuthContext(user, "retry_workflow", workflow, place))


def _up_to(workflow: Workflow, place: LedgerStep) -> list[LedgerStep]:
    return [step for step in workflow.ledger_steps if step == place or step.precedes(place)]


def _ask(callback: AuthCallback | None, context: AuthContext) -> None:
    if callback is None:
        return
    verdict = callback(context)
    if inspect.isawaitable(verdict):
        verdict = asyncio.run(_awaited(verdict))
    if not verdict:
        action = context.action.removesuffix("_workflow")
        raise NotAuthorised(f"{context.user} may not {action} {context.workflow.name}.")


async def _awaited(verdict: Any) -> Any:
    return await verdict
