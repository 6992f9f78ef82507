"""Create a node."""

from carried_over.products.node import NodeInactive, NodeProvisioning
from carried_over.workflows.shared import create_summary_form
from orchestrator.core.forms import FormPage
from orchestrator.core.forms.validators import CustomerId, Divider, Label
from orchestrator.core.services.products import get_product_by_id
from orchestrator.core.types import SubscriptionLifecycle
from orchestrator.core.workflow import StepList, begin, step
from orchestrator.core.workflows.steps import store_process_subscription
from orchestrator.core.workflows.utils import create_workflow
from pydantic import ConfigDict
from pydantic_forms.types import FormGenerator, State, UUIDstr


def initial_input_form_generator(product: UUIDstr, product_name: str) -> FormGenerator:
    node_type = get_product_by_id(product).fixed_input_value("node_type")

    class CreateNodeForm(FormPage):
        model_config = ConfigDict(title=product_name)

        customer_id: CustomerId
        label: Label
        divider: Divider
        node_name: str
        description: str = f"{node_type} of mine"

    user_input = yield CreateNodeForm
    user_input_dict = user_input.model_dump()

    yield from create_summary_form(user_input_dict, product_name, ["node_name", "description"])

    return user_input_dict


@step("Construct subscription model")
def construct_node_model(product: UUIDstr, customer_id: str, node_name: str) -> State:
    node = NodeInactive.from_product_id(
        product_id=product, customer_id=customer_id, status=SubscriptionLifecycle.INITIAL
    )
    node.node.node_name = node_name
    node = NodeProvisioning.from_other_lifecycle(node, SubscriptionLifecycle.PROVISIONING)
    node.description = f"{node.node_type} {node.node.title}"
    return {
        "subscription": node,
        "subscription_id": node.subscription_id,
        "subscription_description": node.description,
    }


@step("Create node in IMS")
def create_node_in_ims(subscription: NodeProvisioning, state: State) -> State:
    state["ims"] = {"name": subscription.node.node_name}
    subscription.node.ims_id = 7
    return {"subscription": subscription}


additional_steps = begin


@create_workflow(
    "Create node",
    initial_input_form=initial_input_form_generator,
    additional_steps=additional_steps,
    product_type="Carried Node",  # the reference keeps this in a migration
)
def create_node() -> StepList:
    return begin >> construct_node_model >> store_process_subscription() >> create_node_in_ims
