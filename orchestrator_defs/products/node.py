"""Node: its forms and its workflows."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field

from ops.fields import CustomerId
from ops.forms import SubmitFormPage
from ops.products.node import (
    compare_node,
    configure_node,
    construct_node,
    create_device,
    deconfigure_node,
    delete_device,
    put_node_in_service,
    release_loopback,
    reserve_loopback,
    restore_loopback,
    update_device,
    update_node,
)
from ops.step import StepList, begin
from orchestrator_defs.products.fields import Description, OneOf
from orchestrator_defs.workflow import (
    create_workflow,
    modify_workflow,
    reconcile_workflow,
    terminate_workflow,
    validate_workflow,
)
from resources.netbox import NetBox
from resources.products.inventory import node_named
from resources.products.node import Node, NodeStatus
from resources.queries import find_product
from resources.settings import settings

NODE_NAME = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"


def _host_name(node_name: str) -> str:
    if not re.fullmatch(NODE_NAME, node_name):
        raise ValueError(
            "a node name is lower-case letters, digits and hyphens, starting with a letter, ending with a letter or "
            "digit, at most 63 of them, such as ams1"
        )
    return node_name


def _not_in_use(node_name: str) -> str:
    if holder := node_named(node_name):
        raise ValueError(f"node name {node_name} is in use by subscription {holder}")
    return node_name


NodeName = Annotated[
    str,
    # For clients only: pydantic itself would answer with the pattern, and people want words.
    Field(description="a host name, such as ams1", json_schema_extra={"pattern": NODE_NAME, "maxLength": 63}),
    AfterValidator(_host_name),
    AfterValidator(_not_in_use),
]


def create_node_form(product: UUID, product_name: str, netbox: NetBox) -> type[SubmitFormPage]:
    """Where the node stands and what it is; the inventory knows the sites, roles and the vendor's device types."""
    vendor = str(find_product(product).fixed_inputs["vendor"])
    sites = [site.name for site in netbox.sites()]
    roles = [role.name for role in netbox.device_roles()]
    models = [device_type.model for device_type in netbox.device_types(vendor)]

    class CreateNodePage(SubmitFormPage):
        model_config = ConfigDict(title=product_name)

        customer_id: CustomerId = settings().default_customer_identifier
        node_name: NodeName
        node_description: Description | None = None
        site: Annotated[str, OneOf("Site", sites, otherwise="NetBox has no sites; add one there first.")]
        role: Annotated[str, OneOf("Role", roles, otherwise="NetBox has no device roles; add one there first.")]
        device_type: Annotated[
            str, OneOf("DeviceType", models, otherwise=f"NetBox has no device types of {vendor}; add one there first.")
        ]

    return CreateNodePage


def modify_node_form(subscription: Node) -> type[SubmitFormPage]:
    """What may change during a node's life. An offline node stays reachable, and traffic goes around it."""
    node = subscription.node

    class ModifyNodePage(SubmitFormPage):
        model_config = ConfigDict(title=subscription.description)

        node_description: Description | None = node.node_description
        node_status: NodeStatus = node.node_status

    return ModifyNodePage


@create_workflow("Create node", initial_input_form=create_node_form, product_type="Node")
def create_node() -> StepList:
    return (
        begin
        >> construct_node
        >> create_device
        >> reserve_loopback
        >> configure_node
        >> put_node_in_service
        >> update_device
    )


@modify_workflow("Modify node", initial_input_form=modify_node_form, product_type="Node")
def modify_node() -> StepList:
    return begin >> update_node >> update_device >> configure_node


@validate_workflow("Validate node", product_type="Node")
def validate_node() -> StepList:
    return begin >> compare_node


@reconcile_workflow("Reconcile node", product_type="Node")
def reconcile_node() -> StepList:
    return begin >> update_device >> restore_loopback >> configure_node


@terminate_workflow("Terminate node", product_type="Node")
def terminate_node() -> StepList:
    return begin >> deconfigure_node >> release_loopback >> delete_device


WORKFLOWS = (create_node, modify_node, validate_node, reconcile_node, terminate_node)
