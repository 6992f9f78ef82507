"""Port: its forms and its workflows."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict

from ops import (
    CustomerId,
    FormGenerator,
    FormPage,
    StepList,
    SubmitFormPage,
    accepted_values,
    begin,
    never_accepted,
)
from ops.products.port import (
    compare_port,
    configure_port,
    construct_port,
    deconfigure_port,
    release_interface,
    reserve_interface,
    update_interface,
    update_port,
    why_interface_unfit,
)
from orchestrator_defs import (
    WorkflowJob,
    create_workflow,
    modify_workflow,
    reconcile_workflow,
    terminate_workflow,
    validate_workflow,
)
from orchestrator_defs.products.fields import Description, OneOf
from resources import Difference, NetBox, State, default_customer_id, find_product
from resources.products.inventory import nodes_in_service
from resources.products.port import Port, PortMode, PortSpeed


def create_port_form(product: UUID, product_name: str, netbox: NetBox) -> FormGenerator:
    """The node, then one of its free interfaces at the product's speed."""
    speed = PortSpeed(find_product(product).fixed_inputs["speed"])
    nodes = {str(node.subscription_id): node for node in nodes_in_service()}
    names = {subscription_id: node.node_name for subscription_id, node in nodes.items()}

    class SelectNodePage(FormPage):
        model_config = ConfigDict(title=f"{product_name}: node")

        customer_id: CustomerId = default_customer_id()
        node: Annotated[str, OneOf("Node", names, otherwise="There is no active node in sync; create a node first.")]

    selected = yield SelectNodePage

    node = nodes[selected.node]
    free = [interface.name for interface in netbox.free_interfaces(node.device_id, speed)]
    none_free = f"{node.node_name} has no free interface of {speed.label}; choose another node or speed."

    def why_not(given: str) -> str | None:
        return why_interface_unfit(node, given, speed, netbox.interfaces(node.device_id))

    class CreatePortPage(SubmitFormPage):
        model_config = ConfigDict(title=f"{product_name} on {node.node_name}")

        port_name: Annotated[str, OneOf("Interface", free, otherwise=none_free, why_not=why_not)]
        port_description: Description | None = None
        port_mode: PortMode = PortMode.TAGGED
        auto_negotiation: bool = False
        lldp: bool = False

    port = yield CreatePortPage

    return {**selected.model_dump(mode="json"), **port.model_dump(mode="json")}


def modify_port_form(subscription: Port) -> type[SubmitFormPage]:
    """What may change in a port's life. Its mode may not: services depend on it."""
    port = subscription.port

    class ModifyPortPage(SubmitFormPage):
        model_config = ConfigDict(title=subscription.description)

        port_description: Description | None = port.port_description
        enabled: bool = port.enabled
        auto_negotiation: bool = port.auto_negotiation
        lldp: bool = port.lldp

    return ModifyPortPage


def accept_port(differences: Sequence[Difference]) -> State:
    """What its modification changes may stay as it was found; the interface, its speed and its mode may not."""
    other = never_accepted("a port keeps its interface; create another port there")
    return accepted_values(
        differences,
        {
            "description": _description_found,
            "enabled": "enabled",
            "auto_negotiation": "auto_negotiation",
            "lldp": "lldp",
            "speed": never_accepted("the speed is that of the product"),
            "mode": never_accepted("services depend on the mode of a port"),
            **dict.fromkeys(("device", "name"), other),
        },
    )


def _description_found(one: Difference) -> Mapping[str, Any]:
    if not one.found:
        raise ValueError("an interface without a description gets that of its subscription")
    return {"port_description": one.found}


@create_workflow("Create port", initial_input_form=create_port_form, product_type="Port")
def create_port() -> StepList:
    return begin >> construct_port >> reserve_interface >> update_interface >> configure_port


@modify_workflow("Modify port", initial_input_form=modify_port_form, product_type="Port", accepts=accept_port)
def modify_port() -> StepList:
    return begin >> update_port >> update_interface >> configure_port


@validate_workflow("Validate port", product_type="Port")
def validate_port() -> StepList:
    return begin >> compare_port


@reconcile_workflow("Reconcile port", product_type="Port")
def reconcile_port() -> StepList:
    return begin >> update_interface >> configure_port


@terminate_workflow("Terminate port", product_type="Port")
def terminate_port() -> StepList:
    return begin >> deconfigure_port >> release_interface


WORKFLOWS: tuple[WorkflowJob, ...] = (create_port, modify_port, validate_port, reconcile_port, terminate_port)
