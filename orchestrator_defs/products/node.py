"""Node: its forms and its workflows."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_forms.validators import migration_summary

from ops import (
    CustomerId,
    StepList,
    SubmitFormPage,
    accepted_values,
    begin,
    callback_step,
    inputstep,
    never_accepted,
)
from ops.products.node import (
    begin_redeployment,
    compare_node,
    configure_node,
    construct_node,
    create_device,
    deconfigure_node,
    delete_device,
    end_redeployment,
    preview_node,
    put_node_in_service,
    release_loopback,
    reserve_loopback,
    restore_loopback,
    update_device,
    update_node,
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
from resources import NETBOX_DEVICE_NAME, Assignee, Difference, NetBox, State, default_customer_id, find_product
from resources.products.inventory import node_named
from resources.products.node import Node, NodeStatus

NODE_NAME = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"


def _host_name(node_name: str) -> str:
    node_name = node_name.lower()
    if not re.fullmatch(NODE_NAME, node_name):
        raise ValueError(
            "a node name is letters, digits and hyphens, starting with a letter, ending with a letter or "
            "digit, at most 63 of them, such as ams1"
        )
    return node_name


def _not_in_use(node_name: str) -> str:
    if holder := node_named(node_name):
        raise ValueError(f"node name {node_name} is in use by subscription {holder}")
    return node_name


NodeName = Annotated[
    str,
    NETBOX_DEVICE_NAME,
    # For clients only: pydantic would show the pattern, and people need words.
    Field(description="a host name, such as ams1", json_schema_extra={"pattern": NODE_NAME, "maxLength": 63}),
    AfterValidator(_host_name),
    AfterValidator(_not_in_use),
]


def create_node_form(product: UUID, product_name: str, netbox: NetBox) -> type[SubmitFormPage]:
    """The node's site and model; NetBox has the sites, roles and the vendor's device types."""
    vendor = str(find_product(product).fixed_inputs["vendor"])
    sites = [site.name for site in netbox.sites()]
    roles = [role.name for role in netbox.device_roles()]
    models = [device_type.model for device_type in netbox.device_types(vendor)]

    class CreateNodePage(SubmitFormPage):
        model_config = ConfigDict(title=product_name)

        customer_id: CustomerId = default_customer_id()
        node_name: NodeName
        node_description: Description | None = None
        site: Annotated[str, OneOf("Site", sites, otherwise="NetBox has no sites; add one there first.")]
        role: Annotated[str, OneOf("Role", roles, otherwise="NetBox has no device roles; add one there first.")]
        device_type: Annotated[
            str, OneOf("DeviceType", models, otherwise=f"NetBox has no device types of {vendor}; add one there first.")
        ]

    return CreateNodePage


def modify_node_form(subscription: Node) -> type[SubmitFormPage]:
    """What may change in a node's life. An offline node stays reachable, and traffic avoids it."""
    node = subscription.node

    class ModifyNodePage(SubmitFormPage):
        model_config = ConfigDict(title=subscription.description)

        node_description: Description | None = node.node_description
        node_status: NodeStatus = node.node_status

    return ModifyNodePage


def accept_node(differences: Sequence[Difference]) -> State:
    """A description and a status that were set elsewhere may stay; addresses, and what makes it a device, may not."""
    other = never_accepted("with that it is another device, for which a node is created")
    return accepted_values(
        differences,
        {
            "description": "node_description",
            "status": "node_status",
            "overload": lambda one: {"node_status": NodeStatus.OFFLINE if one.found else NodeStatus.ACTIVE},
            **dict.fromkeys(("name", "hostname", "vendor", "model", "site", "location", "role"), other),
            **dict.fromkeys(
                ("ipv4_loopback", "ipv6_loopback"), never_accepted("NetBox assigns addresses when it is made")
            ),
        },
    )


@inputstep("Confirm what changes", assignee=Assignee.NOC)
def confirm_redeployment(preview: Sequence[Mapping[str, Any]]) -> type[SubmitFormPage]:
    """What the playbook would change, for confirmation."""
    table = {
        "labels": ["now", "then"],
        "headers": [str(one["path"]) for one in preview] or ["nothing differs"],
        "columns": [[str(one[side]) for one in preview] or ["-"] for side in ("actual", "expected")],
    }

    class ConfirmPage(SubmitFormPage):
        model_config = ConfigDict(title="The playbook would change this")

        changes: migration_summary(table)  # type: ignore[valid-type]
        go_ahead: Annotated[bool, AfterValidator(_agreed)] = Field(description="the device is changed then")

    return ConfirmPage


def _agreed(go_ahead: bool) -> bool:
    if not go_ahead:
        raise ValueError("agree to continue, or abort the process: nothing has been changed yet")
    return go_ahead


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


@modify_workflow("Modify node", initial_input_form=modify_node_form, product_type="Node", accepts=accept_node)
def modify_node() -> StepList:
    return begin >> update_node >> update_device >> configure_node


@modify_workflow("Redeploy node", product_type="Node")
def redeploy_node() -> StepList:
    redeploy = callback_step(
        "Redeploy", begin_redeployment, end_redeployment, timeout=timedelta(minutes=30), on_timeout="ask"
    )
    return begin >> preview_node >> confirm_redeployment >> redeploy


@validate_workflow("Validate node", product_type="Node")
def validate_node() -> StepList:
    return begin >> compare_node


@reconcile_workflow("Reconcile node", product_type="Node")
def reconcile_node() -> StepList:
    return begin >> update_device >> restore_loopback >> configure_node


@terminate_workflow("Terminate node", product_type="Node")
def terminate_node() -> StepList:
    return begin >> deconfigure_node >> release_loopback >> delete_device


WORKFLOWS: tuple[WorkflowJob, ...] = (
    create_node,
    modify_node,
    redeploy_node,
    validate_node,
    reconcile_node,
    terminate_node,
)
