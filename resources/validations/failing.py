"""Fails a process that its run could not end, and says what that means for the subscriptions that it validated.

Everything here works in the current transaction and leaves the commit to the caller.
"""

import logging
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from resources import clock
from resources.database.session import current_session
from resources.database.tables import ProcessTable, WorkflowTable
from resources.processes import recovery
from resources.processes.recovery import IN_PROGRESS, ProcessState, states_of
from resources.types import ProcessId, Target, ValidationResult
from resources.users import SYSTEM
from resources.validations import due
from resources.validations.pace import next_due, unreachable_pause
from resources.validations.results import Outcome, record

log = logging.getLogger(__name__)

FAILED = ValidationResult.FAILED


def mark_as_failed(found: ProcessState, reason: str) -> bool:
    """Mark a process whose run is lost as failed; False when that is no longer needed. A person may resume it."""
    if not recovery.mark_as_failed(found, reason):
        return False
    record_failed(found.process_id, reason)
    return True


def fail_after_run(process_id: ProcessId, run_id: str, reason: str) -> bool:
    """Mark a process as failed after a run that knows its own end; False when another run has it, or it has stopped."""
    found = [one for one in states_of([process_id]) if one.run_id == run_id and one.status in IN_PROGRESS]
    return bool(found) and mark_as_failed(found[0], reason)


def record_failed(process_id: ProcessId, reason: str) -> None:
    """Record that a validation has failed, or let what a batch had claimed be due later: nothing is repeated at once.

    What cannot be recorded is logged, for the process must fail all the same.
    """
    process, workflow = ProcessTable, WorkflowTable
    query = select(process.process_id, process.run_id, process.created_by, process.state, workflow.name)
    found = current_session().execute(
        query.add_columns(workflow.target).join(workflow).where(process.process_id == process_id)
    )
    row = found.one()
    try:
        with current_session().begin_nested():
            if row.target == Target.SYSTEM:
                due.release(process_id, clock.now() + unreachable_pause())
            elif row.target == Target.VALIDATE:
                _record(row, reason)
    except Exception:
        log.exception("Process %s has failed, which is not recorded as the result of a validation.", process_id)


def _record(process: Row[Any], reason: str) -> None:
    state = process.state
    subscription_id, product, version = (state.get(key) for key in ("subscription_id", "product_name", "version"))
    if not (subscription_id and product and version):
        return
    outcome = Outcome(UUID(subscription_id), process.name, product, FAILED, version, seconds=None, reason=reason)
    user, due_at = process.created_by or SYSTEM, next_due(FAILED, product)
    record(outcome, process_id=process.process_id, run_id=process.run_id, user=user, due_at=due_at)
