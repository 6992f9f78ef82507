"""Steps that move a subscription through its life."""

from functools import cache

from ops.steps.context import StepContext
from ops.steps.step import Step, step
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import StateError
from resources.processes import locks
from resources.types import ProcessId, State, SubscriptionLifecycle


@cache
def set_status(status: SubscriptionLifecycle) -> Step:
    """Make a step that gives the subscription in the state another status.

    The model is converted to the product's class for that status, so what the class requires has to be there.
    Reads and sets `subscription`. Active sets the start date and terminated the end date, where they are empty.
    """

    def convert(subscription: SubscriptionModel) -> State:
        return {"subscription": SubscriptionModel.from_other_lifecycle(subscription, status)}

    return Step(f"set_status_{status}", f"Set subscription to '{status}'", convert)


def _nothing() -> None:
    """What is to be done, the step's effect does."""


def _in_sync(process_id: ProcessId) -> None:
    locks.release(process_id, in_sync=True)


resync = Step("resync", "Unlock subscription", _nothing, effect=_in_sync)
"""Put what the process holds in sync and let go of it."""


@step("Lock subscription")
def unsync(subscription: SubscriptionModel, context: StepContext) -> None:
    """Take the subscription for this process and put it out of sync; a workflow on a subscription starts with it."""
    locks.lock(context.process_id, subscription.subscription_id, unsync=True)
    locks.link(context.process_id, subscription.subscription_id)


@step("Create Process Subscription relation")
def store_process_subscription(state: State, context: StepContext) -> None:
    """Remember that this process works on the subscription; the engine does it for what a step saves, too."""
    if not (subscription_id := state.get("subscription_id")):
        raise StateError("There is no `subscription_id` in the state to relate the process to.")
    locks.link(context.process_id, subscription_id)
