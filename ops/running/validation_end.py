"""The result of a validation that is a process of its own, recorded in the transaction that ends or fails it."""

from typing import Any
from uuid import UUID

from ops.running.segment import Segment
from ops.steps.failure_words import reason_of
from ops.steps.step import Step
from ops.validating.outcome import differences_of, result_of_error
from resources.types import State, StepStatus, Target, ValidationResult
from resources.validations.pace import next_due
from resources.validations.results import Outcome, record

NOT_RECORDED = "The result is not recorded: the subscription has changed, or another process holds it; it stays due."


def record_pass(segment: Segment, state: State, outcome: StepStatus) -> dict[str, str]:
    """Record that a validation passed, if this outcome of a step ends one; what the step's event says about it."""
    if segment.workflow.target is not Target.VALIDATE or outcome is not StepStatus.COMPLETE:
        return {}
    is_recorded = _record(segment, state, ValidationResult.PASSED)
    return {"validation": f"{ValidationResult.PASSED}{'' if is_recorded else ', not recorded'}"}


def record_failure(segment: Segment, state: State, step: Step, error: BaseException) -> None:
    """Record the error with which a step of a validation has ended it: drift, an outage, or a validation that broke."""
    result = result_of_error(error)
    reason = None if result is ValidationResult.DRIFTED else reason_of(error)
    _record(segment, state, result, differences=differences_of(error, step), reason=reason)


def _record(segment: Segment, state: State, result: ValidationResult, **found: Any) -> bool:
    subscription_id, product, version = (state.get(key) for key in ("subscription_id", "product_name", "version"))
    if segment.workflow.target is not Target.VALIDATE or not (subscription_id and product and version):
        return False
    outcome = Outcome(UUID(subscription_id), segment.workflow.name, product, result, version, seconds=None, **found)
    is_recorded = record(
        outcome,
        process_id=segment.process_id,
        run_id=segment.run_id,
        user=segment.user,
        due_at=next_due(result, product),
    )
    if not is_recorded:
        segment.op.log.info(NOT_RECORDED)
    return is_recorded
