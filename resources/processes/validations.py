"""Which subscriptions to validate next: in batches, or by the oldest last validation.

Only subscriptions to products of the current owner's location count: another may have a product type of the same name.
Everything here works in the current transaction and leaves the commit to the caller.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, or_, select, update

from resources.database.session import current_session
from resources.database.tables import (
    ProcessSubscriptionTable,
    ProcessTable,
    ProductTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.domain.saving.authorship import Author, authored_by
from resources.processes import interventions
from resources.processes.owner import current_owner
from resources.subscriptions.insync import set_in_sync
from resources.types import ProcessId, ProcessStatus, SubscriptionId, SubscriptionLifecycle, Target

log = logging.getLogger(__name__)

UNDER_WAY = [
    ProcessStatus.CREATED,
    ProcessStatus.RUNNING,
    ProcessStatus.RESUMED,
    ProcessStatus.WAITING,
    ProcessStatus.ABORTING,
]
"""Statuses of a validation that will still end by itself."""

Usable = Mapping[str, frozenset[SubscriptionLifecycle]]
"""Product type to the statuses in which its subscriptions can be validated."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subscription that can be validated, and when its last validation began."""

    subscription_id: SubscriptionId
    product_type: str
    status: SubscriptionLifecycle
    last: datetime | None


def batch(usable: Usable, *, after: SubscriptionId | None, limit: int, out_of_sync: bool = False) -> list[Candidate]:
    """The next subscriptions in the order of their ids; nothing is skipped or met twice from batch to batch."""
    where: list[Any] = [] if after is None else [SubscriptionTable.subscription_id > after]
    if not out_of_sync:
        where.append(SubscriptionTable.insync)
    return _candidates(usable, where, [SubscriptionTable.subscription_id], limit)


def oldest(usable: Usable, *, limit: int) -> list[Candidate]:
    """The subscriptions in sync, held by no process, whose last validation began first, or never."""
    order = [SubscriptionTable.validation_started_at.nulls_first(), SubscriptionTable.subscription_id]
    return _candidates(usable, [SubscriptionTable.insync, SubscriptionTable.locked_by.is_(None)], order, limit)


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


def note_start(subscription_id: SubscriptionId) -> None:
    """Record the start of a validation: other subscriptions come first now."""
    current_session().execute(
        update(SubscriptionTable)
        .where(SubscriptionTable.subscription_id == subscription_id)
        .values(validation_started_at=func.clock_timestamp())
    )


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


def _candidates(usable: Usable, where: Iterable[Any], order: Iterable[Any], limit: int) -> list[Candidate]:
    row = SubscriptionTable
    query = (
        select(row.subscription_id, ProductTable.product_type, row.status, row.validation_started_at)
        .join(ProductTable, ProductTable.product_id == row.product_id)
        .where(_is_usable(usable), current_owner().owns_product(), *where)
        .order_by(*order)
        .limit(limit)
    )
    return [
        Candidate(subscription_id, product_type, SubscriptionLifecycle(status), last)
        for subscription_id, product_type, status, last in current_session().execute(query)
    ]


def _is_usable(usable: Usable) -> ColumnElement[bool]:
    kinds = [
        and_(ProductTable.product_type == product_type, SubscriptionTable.status.in_(sorted(statuses)))
        for product_type, statuses in usable.items()
    ]
    return or_(*kinds) if kinds else false()
