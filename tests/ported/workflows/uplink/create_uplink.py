"""Create an uplink: it is ordered, and the carrier calls back."""

from uuid import uuid4

from orchestrator.core.config.assignee import Assignee
from orchestrator.core.forms import FormPage
from orchestrator.core.types import SubscriptionLifecycle
from orchestrator.core.utils.errors import ProcessFailureError
from orchestrator.core.workflow import StepList, begin, callback_step, inputstep, step
from orchestrator.core.workflows.steps import store_process_subscription
from orchestrator.core.workflows.utils import create_workflow
from products.product_types.site import Site
from products.product_types.uplink import UplinkInactive, UplinkProvisioning
from products.services.description import description
from pydantic_forms.types import FormGenerator, State, UUIDstr

from workflows.shared import confirm_form


def initial_input_form_generator(product_name: str) -> FormGenerator:
    """Ask where it begins."""

    class CreateUplinkForm(FormPage):
        customer_id: str
        site_id: UUIDstr
        interface: str

    user_input = yield CreateUplinkForm
    return user_input.model_dump()


@step("Construct subscription")
def construct_uplink(product: UUIDstr, customer_id: str, site_id: UUIDstr, interface: str) -> State:
    """Make the model, on the block of the site."""
    uplink = UplinkInactive.from_product_id(product, customer_id)
    uplink.uplink.interface = interface
    uplink.uplink.site = Site.from_subscription(site_id).site
    uplink = UplinkProvisioning.from_other_lifecycle(uplink, SubscriptionLifecycle.PROVISIONING)
    uplink.description = description(uplink)
    return {"subscription": uplink, "subscription_id": uplink.subscription_id}


@step("Order")
def order(subscription: UplinkProvisioning, callback_route: str) -> State:
    """Order it at the carrier."""
    return {"order_id": f"{uuid4()}", "ordered_with": callback_route}


@step("Check the answer")
def check_order(callback_result: dict) -> State:
    """Whether the carrier can."""
    if callback_result.get("state") != "delivered":
        raise ProcessFailureError("The carrier cannot.", details=callback_result)
    return {}


@inputstep("Confirm delivery", assignee=Assignee.NOC)
def confirm(subscription: UplinkProvisioning) -> FormGenerator:
    """Ask the NOC."""
    user_input = yield from confirm_form(subscription.description)
    return user_input


@step("Take over")
def take_over(subscription: UplinkProvisioning, order_id: str) -> State:
    """Keep the number of the order."""
    subscription.uplink.order_id = order_id
    return {"subscription": subscription}


@create_workflow("Create uplink", initial_input_form=initial_input_form_generator)
def create_uplink() -> StepList:
    """An uplink from nothing."""
    return (
        begin
        >> construct_uplink
        >> store_process_subscription()
        >> callback_step(name="Deliver", action_step=order, validate_step=check_order)
        >> confirm
        >> take_over
    )
