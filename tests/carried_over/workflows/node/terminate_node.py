"""Terminate a node."""

from carried_over.products.node import Node
from orchestrator.core.forms import FormPage
from orchestrator.core.forms.validators import DisplaySubscription
from orchestrator.core.workflow import StepList, begin, step
from orchestrator.core.workflows.utils import terminate_workflow
from pydantic_forms.types import InputForm, State, UUIDstr


def terminate_initial_input_form_generator(subscription_id: UUIDstr, customer_id: UUIDstr) -> InputForm:
    temp_subscription_id = subscription_id

    class TerminateNodeForm(FormPage):
        subscription_id: DisplaySubscription = temp_subscription_id

    return TerminateNodeForm


@step("Delete node from IMS")
def delete_node_from_ims(subscription: Node) -> State:
    return {"removed": subscription.node.ims_id}


@terminate_workflow(
    "Terminate node", initial_input_form=terminate_initial_input_form_generator, product_type="Carried Node"
)
def terminate_node() -> StepList:
    return begin >> delete_node_from_ims
