"""Puts a subscription in sync at a person's request, which its history records."""

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import (
    ProcessSubscriptionTable,
    ProcessTable,
    SubscriptionTable,
)
from resources.domain.saving.authorship import current_author
from resources.errors import UnfinishedProcesses, UnknownSubscription
from resources.settings import settings
from resources.subscriptions.history import write_reason
from resources.types import ProcessId, ProcessStatus, SubscriptionId

STEP_KEY = "set_in_sync"
"""The step's name in the history, which has no process for it."""
FINAL = [status.value for status in ProcessStatus if status.is_final]


def set_in_sync(subscription_id: SubscriptionId, reason: str | None = None) -> bool:
    """Put a subscription in sync, by the current author; False when it is already. The caller commits.

    Its history keeps the author and the reason. A lock on it stays. Raises UnknownSubscription, and UnfinishedProcesses
    while an unfinished process holds or has changed it, unless DISABLE_INSYNC_CHECK is set.
    """
    table = SubscriptionTable
    query = sa.select(table.insync, table.locked_by).where(table.subscription_id == subscription_id).with_for_update()
    row = current_session().execute(query).one_or_none()
    if row is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    if row.insync:
        return False
    if not settings().disable_insync_check:
        _refuse_while_unfinished(subscription_id, row.locked_by)
    author = current_author()
    write_reason(subscription_id, reason, replace(author, step_key=author.step_key or STEP_KEY), insync=True)
    return True


def _refuse_while_unfinished(subscription_id: SubscriptionId, holder: ProcessId | None) -> None:
    process, link = ProcessTable, ProcessSubscriptionTable
    linked = sa.select(link.process_id).where(link.subscription_id == subscription_id)
    query = (
        sa.select(process.process_id)
        .where(process.last_status.not_in(FINAL))
        .where(
            sa.or_(
                process.process_id == holder,
                sa.and_(
                    process.process_id == sa.any_(sa.func.array(linked.scalar_subquery())), sa.not_(process.is_task)
                ),
            )
        )
        .order_by(process.started_at, process.process_id)
    )
    if unfinished := current_session().scalars(query).all():
        raise UnfinishedProcesses(_sentence(subscription_id, unfinished))


def _sentence(subscription_id: SubscriptionId, unfinished: Sequence[ProcessId]) -> str:
    """The ids come last and in brackets: clients make links of them, and hide the text after them."""
    return (
        f"Subscription {subscription_id} cannot be put in sync while processes that changed it are unfinished; "
        f"resume or abort these first: [{', '.join(map(str, unfinished))}]"
    )
