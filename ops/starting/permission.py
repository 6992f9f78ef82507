"""Who may start, answer or retry a workflow: WORKFLOW_ROLES and its authorisation callbacks decide, behind every door.

Conditions, lenses and groups around a step change nothing: a step keeps its callbacks, and inherits those of its group.
"""

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ops.steps.step import LedgerStep
from ops.steps.workflow import AuthCallback, AuthContext, Workflow
from resources.errors import NotAuthorised
from resources.settings import settings
from resources.types import StepKey
from resources.users import Role, User

_least_roles: ContextVar[Mapping[str, Role] | None] = ContextVar("least_roles", default=None)


@contextmanager
def least_roles(patterns: Mapping[str, Role]) -> Iterator[None]:
    """Let these least roles decide in the block, instead of the environment's WORKFLOW_ROLES."""
    token = _least_roles.set(patterns)
    try:
        yield
    finally:
        _least_roles.reset(token)


def check_role(workflow_name: str, user: Any, what: str) -> None:
    """Check the least roles for a workflow. A plain name has no role. Raises NotAuthorised."""
    given = _least_roles.get()
    for pattern, role in (settings().workflow_roles if given is None else given).items():
        if fnmatchcase(workflow_name, pattern) and not (isinstance(user, User) and user.has_role(role)):
            needs = f"{user} may not {what} {workflow_name}: that needs the role {role}."
            raise NotAuthorised(f"{needs} {getattr(user, 'doubt', '')}".rstrip())


def check_may_start(workflow: Workflow, user: Any) -> None:
    """Check the workflow's least role and its callback; without them everybody may. Raises NotAuthorised."""
    _check(workflow.authorize_callback, AuthContext(user, "start_workflow", workflow), "start")


def check_may_resume(workflow: Workflow, place: LedgerStep, user: Any) -> None:
    """Check who may answer a waiting step: the last resume callback up to it decides, else the workflow's callback for
    the start.

    Raises NotAuthorised.
    """
    callback = workflow.authorize_callback
    for step in _up_to(workflow, place):
        callback = step.step.resume_auth_callback or callback
    _check(callback, AuthContext(user, "resume_workflow", workflow, place), "resume")


def check_may_retry(workflow: Workflow, committed: Collection[StepKey], user: Any, *, what: str = "retry") -> None:
    """Check who may intervene in a process: the last callback of the workflow and its steps so far decides.

    The steps so far are the committed ones and the next one; in branches, the next one of each unfinished branch is
    checked. A step uses its retry callback, else that of its group, else its resume callback. `what` is the verb for a
    refusal. Raises NotAuthorised.
    """
    for place in workflow.heads(committed) or [workflow.ledger_steps[-1]]:
        callback = workflow.retry_auth_callback or workflow.authorize_callback
        for step in _up_to(workflow, place):
            callback = _retry_callback(step) or callback
        _check(callback, AuthContext(user, "retry_workflow", workflow, place), what)


@dataclass(frozen=True, slots=True)
class UserPermissions:
    """What a user may do with a process now, whether or not it can be retried or answered."""

    retry_allowed: bool
    resume_allowed: bool


def user_permissions(
    workflow: Workflow, committed: Collection[StepKey], user: Any, *, waits_at: StepKey | None = None
) -> UserPermissions:
    """Check the callbacks as a retry and an answer now would. `waits_at` is the step that waits for input."""
    places = [step for step in workflow.ledger_steps if step.key == waits_at]
    place = (places or workflow.heads(committed) or [workflow.ledger_steps[-1]])[0]
    return UserPermissions(
        retry_allowed=_may(lambda: check_may_retry(workflow, committed, user)),
        resume_allowed=_may(lambda: check_may_resume(workflow, place, user)),
    )


def _may(check: Callable[[], None]) -> bool:
    try:
        check()
    except NotAuthorised:
        return False
    return True


def _up_to(workflow: Workflow, place: LedgerStep) -> list[LedgerStep]:
    return [step for step in workflow.ledger_steps if step == place or step.precedes(place)]


def _retry_callback(place: LedgerStep) -> AuthCallback | None:
    of_group = place.group.retry_auth_callback if place.group else None
    return place.step.retry_auth_callback or of_group or place.step.resume_auth_callback


def _check(callback: AuthCallback | None, context: AuthContext, what: str) -> None:
    check_role(context.workflow.name, context.user, what)
    if callback is None:
        return
    if doubt := getattr(context.user, "doubt", ""):
        raise NotAuthorised(f"{context.user} may not {what} {context.workflow.name}: that is for some. {doubt}")
    whole = context.user if type(context.user) is not str else User(context.user)
    verdict = callback(replace(context, user=whole))
    if inspect.isawaitable(verdict):
        verdict = _awaited(verdict)
    if not verdict:
        raise NotAuthorised(f"{context.user} may not {what} {context.workflow.name}.")


def _awaited(verdict: Any) -> bool:
    """Wait for an async callback, also inside a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_wait_for(verdict))
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(contextvars.copy_context().run, asyncio.run, _wait_for(verdict)).result()


async def _wait_for(verdict: Any) -> bool:
    return bool(await verdict)
