"""Steps that change the lifecycle of a subscription."""

from functools import cache

from ops.steps.context import StepContext
from ops.steps.step import Step, step
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import StateError
from resources.processes import locks
from resources.types import ProcessId, State, SubscriptionLifecycle


@cache
def set_status(status: SubscriptionLifecycle) -> Step:
    """Make a step that sets the status of the subscription in the state.

    The model is converted to the product's class for that status, so required values must be present. Reads and sets
    `subscription`. Active sets the start date and terminated the end date, where they are empty.
    """

    def convert(subscription: SubscriptionModel) -> State:
        return {"subscription": SubscriptionModel.from_other_lifecycle(subscription, status)}

    return Step(f"set_status_{status}", f"Set subscription to '{status}'", convert)


def _nothing() -> None:
    """The step's effect does the work."""


def _in_sync(process_id: ProcessId) -> None:
    locks.release(process_id, in_sync=True)


resync = Step("resync", "Unlock subscription", _nothing, effect=_in_sync)
"""Put the process's subscriptions in sync and unlock them."""


@step("Lock subscription")
def unsync(subscription: SubscriptionModel, context: StepContext) -> None:
    """Lock the subscription for this process and put it out of sync."""
    locks.lock(context.process_id, subscription.subscription_id, unsync=True)
    locks.link(context.process_id, subscription.subscription_id)


@step("Create Process Subscription relation")
def store_process_subscription(state: State, context: StepContext) -> None:
    """Link this process to the subscription; the engine also does this for what a step saves."""
    if not (subscription_id := state.get("subscription_id")):
        raise StateError("There is no `subscription_id` in the state to relate the process to.")
    locks.link(context.process_id, subscription_id)
