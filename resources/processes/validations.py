"""Processes that validate: how many are unfinished, and the end of those whose drift is put right.

Everything here works in the current transaction and leaves the commit to the caller.
"""

import logging

from sqlalchemy import ColumnElement, and_, func, select

from resources.database.session import current_session
from resources.database.tables import (
    ProcessSubscriptionTable,
    ProcessTable,
    WorkflowTable,
)
from resources.domain.saving.authorship import Author, authored_by
from resources.processes import interventions
from resources.processes.owner import current_owner
from resources.subscriptions.insync import set_in_sync
from resources.types import ProcessId, ProcessStatus, SubscriptionId, Target

log = logging.getLogger(__name__)

UNDER_WAY = [
    ProcessStatus.CREATED,
    ProcessStatus.RUNNING,
    ProcessStatus.RESUMED,
    ProcessStatus.WAITING,
    ProcessStatus.AWAITING_CALLBACK,
    ProcessStatus.ABORTING,
]
"""Statuses of a validation that will still end by itself."""
UNFINISHED = [*UNDER_WAY, ProcessStatus.SUSPENDED]
"""Statuses of a validation beside which none is started."""


def under_way() -> int:
    """How many validations are unfinished."""
    found = current_session().scalar(
        select(func.count())
        .select_from(ProcessTable)
        .join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
        .where(WorkflowTable.target == Target.VALIDATE, ProcessTable.last_status.in_(UNDER_WAY), current_owner().owns())
        .where(ProcessTable.last_status != ProcessStatus.COMPLETED)  # as the partial index says
    )
    return found or 0


def end_those_reconciled(reconcile: ProcessId) -> None:
    """Abort the validations that found the drift which a process has put right."""
    mine = select(ProcessSubscriptionTable.subscription_id).where(ProcessSubscriptionTable.process_id == reconcile)
    _end(
        ProcessSubscriptionTable.subscription_id.in_(mine),
        user="SYSTEM",
        reason=f"Process {reconcile} has reconciled the subscription.",
    )


def end_those_that_drifted(subscription_id: SubscriptionId, workflow: str, *, passed: ProcessId | None) -> None:
    """Abort the processes of a workflow that found drift of a subscription, since the workflow has passed now."""
    by = f"Process {passed}" if passed else "A later validation"
    about = and_(ProcessSubscriptionTable.subscription_id == subscription_id, WorkflowTable.name == workflow)
    _end(about, user="SYSTEM", reason=f"{by} found no difference any more.")


def end_those_answered(subscription_id: SubscriptionId, answer: ProcessId, *, user: str, reason: str) -> None:
    """Abort the validations that found the drift which a process accepts."""
    why = f"Process {answer} accepts what was found: {reason}"
    _end(ProcessSubscriptionTable.subscription_id == subscription_id, user=user, reason=why)


def confirm_in_sync(subscription_id: SubscriptionId, *, user: str, reason: str | None) -> bool:
    """Put a subscription in sync because a person says so, and abort the validations that found the drift.

    False when it is in sync already. Raises what `set_in_sync` raises.
    """
    with authored_by(Author(user)):
        if not set_in_sync(subscription_id, reason):
            return False
    why = f"{user} has put the subscription in sync{f': {reason}' if reason else '.'}"
    _end(ProcessSubscriptionTable.subscription_id == subscription_id, user=user, reason=why)
    log.info("Subscription %s was put in sync by %r, reason %r.", subscription_id, str(user), reason)
    return True


def _end(about: ColumnElement[bool], *, user: str, reason: str) -> None:
    """Abort the validations that found drift; those that run again are left alone."""
    found = current_session().scalars(
        select(ProcessTable.process_id)
        .join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
        .join(ProcessSubscriptionTable, ProcessSubscriptionTable.process_id == ProcessTable.process_id)
        .where(WorkflowTable.target == Target.VALIDATE, ProcessTable.last_status == ProcessStatus.INCONSISTENT_DATA)
        .where(about)
        .with_for_update(skip_locked=True, of=ProcessTable)
    )
    for process_id in found.all():
        interventions.abort(process_id, user=user, reason=reason)
