"""Create a port, written out with its first and last steps, as was done before there were decorators for each kind."""

from carried_over.products.node import Node
from carried_over.products.port import ChannelBlockInactive, Port, PortInactive, PortProvisioning
from orchestrator.core.config.assignee import Assignee
from orchestrator.core.forms import FormPage, SubmitFormPage
from orchestrator.core.forms.validators import VlanRanges
from orchestrator.core.targets import Target
from orchestrator.core.types import SubscriptionLifecycle
from orchestrator.core.workflow import (
    StepList,
    abort,
    begin,
    conditional,
    done,
    init,
    inputstep,
    retrystep,
    step,
    step_group,
    workflow,
)
from orchestrator.core.workflows.steps import resync, set_status, store_process_subscription
from orchestrator.core.workflows.utils import obsolete_step, wrap_create_initial_input_form
from pydantic_forms.types import FormGenerator, State, UUIDstr


def initial_input_form_generator(state: State, product_name: str) -> FormGenerator:
    class SelectNode(FormPage):
        customer_id: str
        node_subscription_id: UUIDstr

    yield SelectNode
    node = Node.from_subscription(state["node_subscription_id"])

    class CreatePort(SubmitFormPage):
        port_name: str = f"{node.node.node_name}-1"
        vlans: VlanRanges
        wanted: bool = True

    user_input = yield CreatePort
    return {**state, **user_input.model_dump()}


@step("Construct port")
def construct_port(
    product: UUIDstr, customer_id: str, port_name: str, vlans: VlanRanges, node_subscription_id: UUIDstr
) -> State:
    subscription = PortInactive.from_product_id(product, customer_id)
    subscription.port.port_name = port_name
    subscription.port.vlans = vlans
    subscription.port.node = Node.from_subscription(node_subscription_id).node
    subscription.port.channels = [
        ChannelBlockInactive.new(subscription.subscription_id, lane=lane) for lane in range(2)
    ]
    subscription = PortProvisioning.from_other_lifecycle(subscription, SubscriptionLifecycle.PROVISIONING)
    return {"subscription": subscription, "subscription_id": subscription.subscription_id}


@inputstep("Confirm", assignee=Assignee.NOC)
def confirm(subscription: PortProvisioning) -> FormGenerator:
    class Confirm(SubmitFormPage):
        label: str = subscription.port.node.title

    user_input = yield Confirm
    return user_input.model_dump()


@retrystep("Provision in NMS")
def provision(subscription: Port) -> State:
    return {"provisioned": subscription.port.vlans}


@step("Describe")
def describe(subscription: PortProvisioning, label: str) -> State:
    subscription.description = f"port {subscription.port.port_name} on {label}"
    return {"subscription": subscription}


is_unwanted = conditional(lambda state: not state["wanted"])


@workflow(
    "Create port",
    initial_input_form=wrap_create_initial_input_form(initial_input_form_generator),
    target=Target.CREATE,
    product_type="Carried Port",
)
def create_port() -> StepList:
    return (
        init
        >> is_unwanted(abort)
        >> construct_port
        >> store_process_subscription(Target.CREATE)
        >> confirm
        >> step_group(name="NMS", steps=begin >> provision >> describe)
        >> obsolete_step
        >> set_status(SubscriptionLifecycle.ACTIVE)
        >> resync
        >> done
    )
