"""Create a ring of two uplinks."""

from orchestrator.core.forms import FormPage
from orchestrator.core.workflow import StepList, begin, conditional, step
from orchestrator.core.workflows.steps import store_process_subscription
from orchestrator.core.workflows.utils import create_workflow
from products.product_types.ring import RingInactive
from products.product_types.uplink import Uplink
from pydantic_forms.types import FormGenerator, State, UUIDstr

is_watched = conditional(lambda state: state["watched"])


def initial_input_form_generator(product_name: str) -> FormGenerator:
    """Ask for both."""

    class CreateRingForm(FormPage):
        customer_id: str
        uplink_ids: list[UUIDstr]
        vlan: int
        watched: bool = False

    user_input = yield CreateRingForm
    return user_input.model_dump()


@step("Construct subscription")
def construct_ring(product: UUIDstr, customer_id: str, uplink_ids: list[UUIDstr], vlan: int) -> State:
    """Make the model; each place holds the block of an uplink."""
    ring = RingInactive.from_product_id(product, customer_id)
    for member, uplink_id in zip(ring.ring.members, uplink_ids, strict=True):
        member.vlan = vlan
        member.uplink = Uplink.from_subscription(uplink_id).uplink
    return {"subscription": ring, "subscription_id": ring.subscription_id}


@step("Watch")
def watch() -> State:
    """Let somebody look."""
    return {"watcher": "noc"}


@create_workflow("Create ring", initial_input_form=initial_input_form_generator)
def create_ring() -> StepList:
    """A ring from nothing."""
    return begin >> construct_ring >> store_process_subscription() >> is_watched(watch)
