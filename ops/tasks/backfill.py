"""The back-fill: brings the subscriptions that a change of the catalogue has yet to reach up to the models."""

from collections.abc import Callable
from datetime import timedelta

from ops.steps.context import StepContext
from ops.steps.step import Step, step
from resources import clock, tags
from resources.catalogue.backlog import Backlog, bring_up_batch, forget_faults, read_backlog
from resources.catalogue.catalogue import Catalogue
from resources.database.session import SubscriptionDatabase
from resources.errors import InconsistentData
from resources.processes.owner import current_owner
from resources.processes.waits import Wait, WaitKind
from resources.types import State

PAUSE = timedelta(minutes=10)
"""After so long it returns to subscriptions that a process holds."""


def bring_up(catalogue: Callable[[], Catalogue]) -> Step:
    """Make a step that brings up all that wait, a batch at a time.

    What a process holds is left to it, and is brought up afterwards: until then the step waits. What cannot be brought
    up is named in InconsistentData at the end. Adds `subscriptions_brought_up`.
    """

    @step("Bring subscriptions up to the models")
    def bring_subscriptions_up(context: StepContext, database: SubscriptionDatabase) -> State | Wait:
        mine, splits = current_owner().owns_product(), catalogue().splits
        with database.detached():
            with database.transaction():
                forget_faults(mine)
                left = read_backlog(mine)
            done, total = 0, left.waiting
            while left.waiting:
                with database.transaction():
                    now_done, failed = bring_up_batch(mine, splits)
                    left = read_backlog(mine)
                done += now_done
                if not now_done + failed:
                    break  # others hold the rows of all that are left
                _report(context, done, max(total, done + left.total), left)
        context.shown.update({"brought up": done, "left": str(left)})
        if left.waiting or left.held:
            reason = f"{left}; the back-fill returns to what is held in {PAUSE.seconds // 60} minutes."
            return Wait(WaitKind.POLL, deadline=clock.now() + PAUSE, reason=reason)
        if left.faulty:
            faults = [{"subscription_id": str(key), "error": fault} for key, fault in left.faults]
            raise InconsistentData(f"{left.faulty:,} subscriptions cannot be brought up to the models.", faults)
        return {"subscriptions_brought_up": done}

    return bring_subscriptions_up


def _report(context: StepContext, done: int, total: int, left: Backlog) -> None:
    """Say how far it is, in the log of the run and as a tag of it."""
    context.log.info("%s of %s subscriptions are brought up; %s.", f"{done:,}", f"{total:,}", left)
    if context.instance is not None:
        context.instance.add_run_tags(context.run_id, {tags.PROGRESS: f"{done:,} of {total:,}"})
