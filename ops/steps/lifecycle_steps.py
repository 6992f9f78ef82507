"""Steps that change the lifecycle of a subscription."""

from functools import cache

from ops.steps.context import StepContext
from ops.steps.step import AnySteps, CallableStep, Step, StepList, begin, step
from resources.declaring import declares
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import StateError
from resources.processes import locks, validations
from resources.types import ProcessId, State, SubscriptionLifecycle


@declares
def set_status(status: SubscriptionLifecycle) -> Step:
    """Make a step that sets the status of the subscription in the state.

    The model is converted to the product's class for that status, so required values must be present. Reads and sets
    `subscription`. Active sets the start date and terminated the end date, where they are empty.
    """
    return _set_status(SubscriptionLifecycle(status))


@cache
def _set_status(status: SubscriptionLifecycle) -> Step:

    def convert(subscription: SubscriptionModel) -> State:
        return {"subscription": SubscriptionModel.from_other_lifecycle(subscription, status)}

    return Step(f"set_status_{status}", f"Set subscription to '{status}'", convert)


def _nothing() -> None:
    """The step's effect does the work."""


def _in_sync(process_id: ProcessId) -> None:
    locks.release(process_id, in_sync=True)


resync = Step("resync", "Unlock subscription", _nothing, effect=_in_sync)
"""Put the process's subscriptions in sync and unlock them."""


def _reconciled(process_id: ProcessId) -> None:
    _in_sync(process_id)
    validations.end_those_reconciled(process_id)


resync_reconciled = Step("resync", "Unlock subscription", _nothing, effect=_reconciled)
"""The same at the end of a reconcile workflow, which also ends the validations that found the drift."""


@step("Lock subscription")
def unsync(subscription: SubscriptionModel, context: StepContext) -> None:
    """Lock the subscription for this process and put it out of sync."""
    locks.lock(context.process_id, subscription.subscription_id, unsync=True)
    locks.link(context.process_id, subscription.subscription_id)


def _link(state: State, context: StepContext) -> None:
    if not (subscription_id := state.get("subscription_id")):
        raise StateError("There is no `subscription_id` in the state to relate the process to.")
    locks.link(context.process_id, subscription_id)


store_process_subscription = CallableStep("store_process_subscription", "Create Process Subscription relation", _link)
"""Link this process to the subscription; the engine also does this for what a step saves."""


@step("Keep the place of a step")
def obsolete_step() -> None:
    """Nothing, in the place of a step that has gone."""


@declares
def ensure_provisioning_status(modify_steps: AnySteps) -> StepList:
    """Put steps between the statuses provisioning and active."""
    provisioning, active = SubscriptionLifecycle.PROVISIONING, SubscriptionLifecycle.ACTIVE
    return begin >> set_status(provisioning) >> modify_steps >> set_status(active)
