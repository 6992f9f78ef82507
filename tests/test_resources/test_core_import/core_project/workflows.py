"""Workflows of orchestrator-core's engine: they create, modify and terminate, fail, wait and are aborted."""

from core_project import filling
from core_project.products import Node, NodeInactive, NodeProvisioning, Port, PortInactive, Vpn, VpnInactive
from orchestrator.core.domain.base import SubscriptionModel
from orchestrator.core.forms import FormPage
from orchestrator.core.targets import Target
from orchestrator.core.types import SubscriptionLifecycle
from orchestrator.core.workflow import StepList, begin, done, init, inputstep, retrystep, step, workflow
from orchestrator.core.workflows.steps import store_process_subscription
from orchestrator.core.workflows.utils import create_workflow, modify_workflow, terminate_workflow
from pydantic_forms.types import FormGenerator, State, UUIDstr

LIFECYCLES = {
    "Node": (NodeInactive, NodeProvisioning, Node),
    "Port": (PortInactive, None, Port),
    "Vpn": (VpnInactive, None, Vpn),
}


def creation_form(product: UUIDstr) -> FormGenerator:
    class Creation(FormPage):
        number: int
        customer_id: str

    user_input = yield Creation
    return user_input.model_dump()


@step("Construct subscription")
def construct(product: UUIDstr, number: int, customer_id: str) -> State:
    kind = filling.product_type(product)
    inactive, provisioning, _ = LIFECYCLES[kind]
    made = inactive.from_product_id(product, customer_id, status=SubscriptionLifecycle.INITIAL)
    filling.fill(kind, made, number)
    if provisioning is not None:
        made = provisioning.from_other_lifecycle(made, SubscriptionLifecycle.PROVISIONING)
    made.description = f"{kind} {number}, called «été»"
    return {"subscription": made, "subscription_id": made.subscription_id}


@step("Reserve in IMS")
def reserve(subscription: SubscriptionModel, state: State) -> State:
    if isinstance(subscription, NodeInactive):
        subscription.node.ims_id = 1000 + state["number"]
    return {"subscription": subscription, "ims": {"name": subscription.description, "ids": [1, 2]}}


def _create(name: str) -> object:
    def make() -> StepList:
        return begin >> construct >> store_process_subscription(Target.CREATE) >> reserve

    make.__name__ = name
    return create_workflow(initial_input_form=creation_form)(make)


create_node, create_port, create_vpn = _create("create_node"), _create("create_port"), _create("create_vpn")


def subscription_form(subscription_id: UUIDstr) -> FormGenerator:
    class Change(FormPage):
        word: str = "changed"

    user_input = yield Change
    return user_input.model_dump()


@step("Change the description")
def change(subscription: SubscriptionModel, word: str) -> State:
    if word == "fail":
        raise ValueError("the name is taken in IMS")
    subscription.description = f"{subscription.description} {word}"
    return {"subscription": subscription, "__remove_keys": ["word"]}


@inputstep("Confirm", assignee="NOC")
def confirm(state: State) -> FormGenerator:
    class Confirmation(FormPage):
        is_sure: bool = True

    user_input = yield Confirmation
    return user_input.model_dump()


@retrystep("Wait for the device")
def wait(subscription: SubscriptionModel) -> State:
    raise ConnectionError("the device does not answer")


@modify_workflow(initial_input_form=subscription_form)
def modify_node() -> StepList:
    return begin >> change


@modify_workflow(initial_input_form=subscription_form)
def modify_port() -> StepList:
    return begin >> confirm >> change


@modify_workflow(initial_input_form=subscription_form)
def modify_vpn() -> StepList:
    return begin >> wait


def last_form(subscription_id: UUIDstr) -> FormGenerator:
    class Last(FormPage):
        is_sure: bool = True

    user_input = yield Last
    return user_input.model_dump()


@terminate_workflow(initial_input_form=last_form)
def terminate_vpn() -> StepList:
    return begin


@step("Count")
def count() -> State:
    return {"counted": [1, 2.5, None, {"deep": "value"}]}


@workflow(target=Target.SYSTEM)
def task_count() -> StepList:
    return init >> count >> done
