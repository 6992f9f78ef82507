"""Modify a node."""

from carried_over.products.node import Node, NodeProvisioning
from orchestrator.core.forms import FormPage
from orchestrator.core.workflow import StepList, begin, step
from orchestrator.core.workflows.utils import ensure_provisioning_status, modify_workflow
from pydantic_forms.types import FormGenerator, State, UUIDstr


def initial_input_form_generator(subscription_id: UUIDstr) -> FormGenerator:
    subscription = Node.from_subscription(subscription_id)

    class ModifyNodeForm(FormPage):
        node_name: str = subscription.node.node_name

    user_input = yield ModifyNodeForm
    return user_input.model_dump() | {"subscription": subscription}


@step("Update subscription")
def update_subscription(subscription: NodeProvisioning, node_name: str) -> State:
    subscription.node.node_name = node_name
    return {"subscription": subscription}


@step("Update subscription description")
def update_subscription_description(subscription: Node) -> State:
    subscription.description = f"{subscription.node_type} {subscription.node.title}"
    return {"subscription": subscription}


@modify_workflow("Modify node", initial_input_form=initial_input_form_generator, product_type="Carried Node")
def modify_node() -> StepList:
    return begin >> ensure_provisioning_status(begin >> update_subscription) >> update_subscription_description
