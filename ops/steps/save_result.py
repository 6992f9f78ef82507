"""Save the models in a result, and lock their subscriptions for the process."""

from collections.abc import Callable
from typing import Any

from ops.steps.state import models_in
from resources.domain.saving.changes import SubscriptionChange
from resources.domain.subscription_model import saved_in_transaction
from resources.processes import locks
from resources.types import ProcessId, SubscriptionId


def save_models(
    result: Any, process_id: ProcessId, holds: list[SubscriptionId], *, lock_row: Callable[[], None]
) -> tuple[SubscriptionChange, ...]:
    """Save the models of a result, and lock everything saved in this transaction for the process.

    `lock_row` locks the process's row, which comes first; subscriptions follow in the order of their ids, so that two
    processes never deadlock. `holds` are the locked subscriptions; new ones are added.
    """
    found = sorted(models_in(result), key=lambda model: model.subscription_id)
    saved = saved_in_transaction()
    if not (found or saved):
        return ()
    lock_row()
    for model in found:
        if not model.is_new:
            _lock(process_id, model.subscription_id, holds)
        model.save()
    saved += saved_in_transaction()
    for one in saved:
        if one.change is not None and one.change.before is None:
            locks.link(process_id, one.subscription_id)
        _lock(process_id, one.subscription_id, holds)
    return tuple(one.change for one in saved if one.change is not None)


def _lock(process_id: ProcessId, subscription_id: SubscriptionId, holds: list[SubscriptionId]) -> None:
    """Lock a subscription; it stays in or out of sync."""
    if subscription_id not in holds:
        locks.lock(process_id, subscription_id, unsync=False)
        holds.append(subscription_id)
