"""Look at all rings."""

from orchestrator.core.services.subscriptions import query_in_use_by_subscriptions
from orchestrator.core.targets import Target
from orchestrator.core.workflow import StepList, done, init, step, workflow
from pydantic_forms.types import State


@step("Audit")
def audit_rings() -> State:
    """Count who uses whom."""
    return {"users": query_in_use_by_subscriptions}


@workflow("Audit rings", target=Target.SYSTEM)
def task_audit_rings() -> StepList:
    """A task without a subscription."""
    return init >> audit_rings >> done
