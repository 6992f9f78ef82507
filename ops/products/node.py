"""The steps of a node: create its device, give it addresses, configure, compare, remove."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from ops import StepContext, differences, report_drift, step
from ops.products.descriptions import described
from ops.products.playbooks import begin_play, end_play, play
from resources import (
    NETBOX_DESCRIPTION,
    NETBOX_DEVICE_NAME,
    NETBOX_NAME,
    InconsistentData,
    NetBox,
    PlaybookRunner,
    State,
    SubscriptionLifecycle,
)
from resources.products.inventory import hold_node_name, node_named
from resources.products.node import Node, NodeInactive, NodeProvisioning, NodeStatus

NETBOX_TEXTS = {
    "name": NETBOX_DEVICE_NAME,
    "description": NETBOX_DESCRIPTION,
    **dict.fromkeys(("vendor", "model", "site", "role"), NETBOX_NAME),
}


def describe_node(subscription: NodeProvisioning) -> str:
    """The description in lists: `Node ams1 Cisco`."""
    return f"Node {subscription.node.node_name} {subscription.vendor}"


def node_in_netbox(subscription: NodeProvisioning) -> dict[str, Any]:
    """The device as NetBox should show it."""
    node = subscription.node
    return {
        "name": node.node_name,
        "vendor": subscription.vendor.value,
        "model": node.device_type,
        "site": node.site,
        "role": node.role,
        "status": node.node_status.value,
        "description": node.node_description or "",
        "ipv4_loopback": node.ipv4_loopback,
        "ipv6_loopback": node.ipv6_loopback,
    }


def node_variables(subscription: NodeProvisioning) -> dict[str, Any]:
    """The device as the playbook should configure it."""
    node = subscription.node
    return {
        "device": node.node_name,
        "hostname": node.node_name,
        "location": node.site,
        "description": node.node_description or "",
        "ipv4_loopback": str(node.ipv4_loopback),
        "ipv6_loopback": str(node.ipv6_loopback),
        "overload": node.node_status is NodeStatus.OFFLINE,
    }


@step("Construct subscription")
def construct_node(
    product: UUID,
    customer_id: str,
    node_name: str,
    site: str,
    role: str,
    device_type: str,
    node_description: str | None = None,
) -> State:
    """Make the subscription from the form. Adds `subscription`, `subscription_id`, `subscription_description`.

    The name is checked again behind a lock: another process may have taken it since the form was filled in.
    """
    hold_node_name(node_name)
    if holder := node_named(node_name):
        raise InconsistentData(
            f"Node name {node_name} is in use by subscription {holder}; `orchestrator abort` this "
            "process and start again with another name."
        )
    ordered = NodeInactive.from_product_id(product, customer_id)
    ordered.node.node_name = node_name
    ordered.node.node_description = node_description
    ordered.node.node_status = NodeStatus.PLANNED
    ordered.node.site = site
    ordered.node.role = role
    ordered.node.device_type = device_type
    subscription = NodeProvisioning.from_other_lifecycle(ordered, SubscriptionLifecycle.PROVISIONING)
    return described(subscription, describe_node(subscription))


@step("Create device in NetBox")
def create_device(subscription: NodeProvisioning, netbox: NetBox, context: StepContext) -> State:
    """Create the device in NetBox. Changes `subscription`.

    May run again: NetBox returns the device that this step made before, and refuses one that another has made.
    """
    node = subscription.node
    device = netbox.create_device(
        node.node_name,
        vendor=subscription.vendor,
        model=node.device_type,
        site=node.site,
        role=node.role,
        status="planned",
        description=node.node_description or "",
        idempotency_key=context.idempotency_key,
    )
    node.ims_id = device.id
    return {"subscription": subscription}


@step("Reserve loopback addresses")
def reserve_loopback(subscription: NodeProvisioning, netbox: NetBox, context: StepContext) -> State:
    """Reserve the next free loopback addresses. Changes `subscription`. May run again: the device keeps what it has."""
    node = subscription.node
    loopback = netbox.reserve_loopback(device_id(subscription), idempotency_key=context.idempotency_key)
    node.ipv4_loopback, node.ipv6_loopback = loopback.ipv4, loopback.ipv6
    return {"subscription": subscription}


@step("Configure node")
def configure_node(subscription: NodeProvisioning, playbooks: PlaybookRunner, context: StepContext) -> State:
    """Configure the device as the subscription says. Adds `playbook`. May run again, like `play`."""
    return play("provision_node", node_variables(subscription), playbooks, context)


@step("Put node in service")
def put_node_in_service(subscription: NodeProvisioning) -> State:
    """Let the node carry traffic. Changes `subscription`."""
    subscription.node.node_status = NodeStatus.ACTIVE
    return {"subscription": subscription}


@step("Update subscription")
def update_node(subscription: Node, node_status: NodeStatus, node_description: str | None = None) -> State:
    """Apply the changes of the form. Changes `subscription`."""
    subscription.node.node_status = node_status
    subscription.node.node_description = node_description
    return described(subscription, describe_node(subscription))


@step("Update device in NetBox")
def update_device(subscription: NodeProvisioning, netbox: NetBox) -> None:
    """Update NetBox to what the subscription says. May run again: it sets values."""
    node = subscription.node
    netbox.update_device(
        device_id(subscription),
        name=node.node_name,
        site=node.site,
        role=node.role,
        status=node.node_status.value,
        description=node.node_description or "",
    )


@step("Restore loopback addresses")
def restore_loopback(subscription: Node, netbox: NetBox, context: StepContext) -> None:
    """Restore the device's addresses from the subscription. May run again: it sets values."""
    node = subscription.node
    netbox.restore_loopback(
        node.ims_id, ipv4=node.ipv4_loopback, ipv6=node.ipv6_loopback, idempotency_key=context.idempotency_key
    )


@step("Compare node with NetBox and device")
def compare_node(subscription: Node, netbox: NetBox, playbooks: PlaybookRunner) -> None:
    """Raise DriftFound if NetBox or the device differs from the subscription. Changes nothing anywhere."""
    found = netbox.observe(device=subscription.node.node_name)
    report_drift(
        subscription,
        [
            *differences("netbox", node_in_netbox(subscription), found["device"], NETBOX_TEXTS),
            *playbooks.check("provision_node", node_variables(subscription)),
        ],
    )


@step("Preview what the playbook would change")
def preview_node(subscription: Node, playbooks: PlaybookRunner) -> State:
    """Let the playbook report what it would change on the device. Adds `preview`. Changes nothing anywhere."""
    found = playbooks.check("provision_node", node_variables(subscription))
    return {"preview": [asdict(difference) for difference in found]}


@step("Start the playbook")
def begin_redeployment(
    subscription: Node, callback_route: str, playbooks: PlaybookRunner, context: StepContext
) -> State:
    """Start the configuration of the device, which calls back. Adds `playbook`. May run again, like `begin_play`."""
    return begin_play("provision_node", node_variables(subscription), callback_route, playbooks, context)


@step("Check the playbook's result")
def end_redeployment(callback_result: dict[str, Any], playbook: dict[str, Any]) -> State:
    """Process the callback of the runner. Changes `playbook`."""
    return end_play(callback_result, playbook)


@step("Deconfigure node")
def deconfigure_node(subscription: NodeProvisioning, playbooks: PlaybookRunner, context: StepContext) -> State:
    """Remove our configuration from the device. Adds `playbook`. May run again, like `play`."""
    return play("deprovision_node", {"device": subscription.node.node_name}, playbooks, context)


@step("Release loopback addresses")
def release_loopback(subscription: NodeProvisioning, netbox: NetBox) -> None:
    """Release the addresses. May run again."""
    if subscription.node.ims_id is not None:
        netbox.release_loopback(subscription.node.ims_id)


@step("Delete device from NetBox")
def delete_device(subscription: NodeProvisioning, netbox: NetBox) -> None:
    """Delete the device from NetBox. May run again."""
    if subscription.node.ims_id is not None:
        netbox.delete_device(subscription.node.ims_id)


def device_id(subscription: NodeProvisioning) -> int:
    """The device's id in NetBox. Raises InconsistentData while it is not in NetBox."""
    if subscription.node.ims_id is None:
        raise InconsistentData(f"{subscription.description} has no device in NetBox yet; create it first.")
    return subscription.node.ims_id
