"""Which process works on which subscription: the permanent links, and the lock that one process at a time holds.

Everything here works in the current transaction and leaves the commit to the caller.
"""

from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert

from resources.database.session import current_session
from resources.database.tables import ProcessSubscriptionTable, ProcessTable, SubscriptionTable, WorkflowTable
from resources.errors import SubscriptionLocked, UnknownSubscription
from resources.types import ProcessId, ProcessStatus, SubscriptionId


def link(process_id: ProcessId, subscription_id: SubscriptionId) -> None:
    """Link a process to a subscription that it touches. May run twice."""
    current_session().execute(
        insert(ProcessSubscriptionTable)
        .values(process_id=process_id, subscription_id=subscription_id)
        .on_conflict_do_nothing()
    )


def lock(process_id: ProcessId, subscription_id: SubscriptionId, *, unsync: bool) -> None:
    """Lock a subscription for a process, its only writer; `unsync` also puts it out of sync.

    The update matches only an unlocked row, so there cannot be two writers. May run twice for the same process. Raises
    SubscriptionLocked naming the holder, UnknownSubscription.
    """
    values: dict[str, Any] = {"locked_by": process_id}
    if unsync:
        values["insync"] = False
    taken = current_session().execute(
        update(SubscriptionTable)
        .where(
            SubscriptionTable.subscription_id == subscription_id,
            or_(SubscriptionTable.locked_by.is_(None), SubscriptionTable.locked_by == process_id),
        )
        .values(**values)
        .returning(SubscriptionTable.subscription_id)
    )
    if taken.first() is None:
        raise_locked(subscription_id)


def raise_locked(subscription_id: SubscriptionId) -> None:
    """Raise SubscriptionLocked, which names the holder and what the reader can do."""
    holder = (
        current_session()
        .execute(
            select(ProcessTable, WorkflowTable.name)
            .join(SubscriptionTable, SubscriptionTable.locked_by == ProcessTable.process_id)
            .join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
            .where(SubscriptionTable.subscription_id == subscription_id)
        )
        .first()
    )
    if holder is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}, or it was just unlocked; try again.")
    process, workflow_name = holder
    status = ProcessStatus(process.last_status)
    advice = "wait for it"
    if status is ProcessStatus.ABORTING:
        raise SubscriptionLocked(
            f"Subscription {subscription_id} is still held by process {process.process_id} ({workflow_name}), which is "
            f"being aborted. {process.failed_reason} Try again when it has ended."
        )
    if status.is_failure:
        advice = f"resume it with `orchestrator resume {process.process_id}` once the cause is fixed"
    raise SubscriptionLocked(
        f"Subscription {subscription_id} is being changed by process {process.process_id} "
        f"({workflow_name}, {status}, last step {process.last_step!r}): {advice}."
    )


def held_by(process_id: ProcessId) -> list[SubscriptionId]:
    """The subscriptions that a process holds."""
    return list(
        current_session().scalars(
            select(SubscriptionTable.subscription_id).where(SubscriptionTable.locked_by == process_id)
        )
    )


def release(process_id: ProcessId, *, in_sync: bool) -> None:
    """Unlock every subscription that a process holds. May run twice.

    `in_sync` puts those in sync that the process was started on or has created; others that it changed keep their mark.
    """
    values: dict[str, Any] = {"locked_by": None}
    if in_sync:
        own = select(ProcessSubscriptionTable.subscription_id).where(ProcessSubscriptionTable.process_id == process_id)
        values["insync"] = or_(SubscriptionTable.insync, SubscriptionTable.subscription_id.in_(own))
    current_session().execute(
        update(SubscriptionTable).where(SubscriptionTable.locked_by == process_id).values(**values)
    )
