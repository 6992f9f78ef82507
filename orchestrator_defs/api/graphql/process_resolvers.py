"""What a process's own code adds to its row: steps that are still to come, the form, who may go on."""

from functools import partial
from typing import Any

from ops.starting.permission import UserPermissions, check_may_start, user_permissions
from ops.starting.process_detail import PendingForm, PendingStep, committed_of, pending_steps, step_detail
from ops.steps.state import masked, readable
from ops.steps.workflow import Workflow
from orchestrator_defs.api.graphql.executor import Context
from orchestrator_defs.api.graphql.selecting import Asked
from resources.errors import FormError, NotAuthorised
from resources.pages.selection import Line
from resources.processes.waits import WaitKind
from resources.types import StepStatus

START, RESUME = ("POST", "/api/processes/*"), ("PUT", "/api/processes/*/resume")


class _Located:
    """A process as `Served` finds its workflow."""

    def __init__(self, line: Line) -> None:
        self.process_id, self.workflow_name, self.location = line["_id"], line["_workflow"], line["_location"]


def _workflow(line: Line, info: Any) -> Workflow | None:
    context: Context = info.context
    return context.processes.queries.workflow_of(_Located(line))


def steps(line: Line, info: Any) -> list[Line]:
    """All steps: the attempted ones, then those to come."""
    pending = pending_steps(line["_status"], line["_step_keys"], line["_ledger"], _workflow(line, info))
    return [*map(_attempted, map(step_detail, line["_ledger"])), *map(_pending, pending)]


def _attempted(step: Any) -> Line:
    why = step.error if isinstance(step.error, dict) else {"error": step.error} if step.error else {}
    return {
        "stepId": step.step_id,
        "name": step.name,
        "status": StepStatus(step.status).value,
        "stateDelta": step.set | why,
        "createdBy": step.created_by,
        "started": step.started_at,
        "completed": step.finished_at,
        "executed": step.finished_at,
        "commitHash": step.commit_hash,
    }


def _pending(step: PendingStep) -> Line:
    return {"name": step.name, "status": "pending"}


def form(line: Line, info: Any) -> Any:
    """The page to fill in, as a JSON schema; None unless the process waits for input. A failing form is an error.

    It is evaluated when the query's transaction has ended: a form needs a connection of its own.
    """
    if WaitKind.INPUT not in (kind for kind, _ in line["_waits"]):
        return None
    context: Context = info.context

    def evaluated() -> Any:
        make = partial(context.processes.answers.pending_form, line["_id"])
        found: PendingForm = context.wait(lambda: context.evaluate(make))
        if found.error:
            raise FormError(found.error)
        return readable(found.form)

    context.later.append((info.path.as_list(), evaluated))
    return None


def permissions(line: Line, info: Any) -> Line:
    """What this user may do, when it applies."""
    context: Context = info.context
    workflow = _workflow(line, info)
    allowed = UserPermissions(retry_allowed=False, resume_allowed=False)
    if workflow is not None:
        committed = committed_of((one.step_key, StepStatus(one.status)) for one in line["_ledger"])
        waits_at = next((key for _, key in line["_waits"]), None)
        allowed = user_permissions(workflow, committed, context.user, waits_at=waits_at)
    return {
        "retryAllowed": allowed.retry_allowed and _may(context, RESUME, line["_workflow"], "retry"),
        "resumeAllowed": allowed.resume_allowed and _may(context, RESUME, line["_workflow"], "resume"),
    }


def _may(context: Context, rule: Asked, workflow_name: str, action: str) -> bool:
    if rule in context.refused:
        return False
    try:
        context.may(workflow_name, action)
    except NotAuthorised:
        return False
    return True


def state(line: Line, _info: Any) -> Any:
    """The state, with secrets masked."""
    return masked(line.get("currentState"))


def is_allowed(line: Line, info: Any) -> bool:
    """Whether this user may start a workflow; nobody may start one that is not loaded here."""
    context: Context = info.context
    workflow = context.processes.served.workflows.get(line["_workflow"])
    if workflow is None or not _may(context, START, workflow.name, "start"):
        return False
    try:
        check_may_start(workflow, context.user)
    except NotAuthorised:
        return False
    return True


def workflow_steps(line: Line, info: Any) -> list[Line]:
    """The steps of a workflow, with who acts when each stops."""
    context: Context = info.context
    workflow = context.processes.served.workflows.get(line["_workflow"])
    return (
        [{"name": one.label, "assignee": one.step.assignee.value} for one in workflow.ledger_steps] if workflow else []
    )
