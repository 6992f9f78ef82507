"""The steps of a port: reserve its interface, configure, compare, release."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from ops import StepContext, differences, report_drift, step
from ops.products.descriptions import described
from ops.products.playbooks import play
from resources import (
    NETBOX_DESCRIPTION,
    NETBOX_DEVICE_NAME,
    NETBOX_INTERFACE_NAME,
    InconsistentData,
    Interface,
    NetBox,
    PlaybookRunner,
    State,
    SubscriptionLifecycle,
)
from resources.products.inventory import NodeRecord, find_port, holder_of_interface
from resources.products.node import Node
from resources.products.port import Port, PortInactive, PortMode, PortProvisioning, PortSpeed

NETBOX_TEXTS = {
    "device": NETBOX_DEVICE_NAME,
    "name": NETBOX_INTERFACE_NAME,
    "description": NETBOX_DESCRIPTION,
}


def describe_port(subscription: PortProvisioning) -> str:
    """The description in lists: `ams1 1/1/1 10G`."""
    return f"{subscription.port.title} {subscription.speed.label}"


def port_in_netbox(subscription: PortProvisioning) -> dict[str, Any]:
    """The interface as NetBox should show it."""
    port = subscription.port
    return {
        "device": port.node.node_name,
        "name": port.port_name,
        "description": interface_description(subscription),
        "enabled": port.enabled,
    }


def port_variables(subscription: PortProvisioning) -> dict[str, Any]:
    """The interface as the playbook should configure it."""
    port = subscription.port
    return {
        "device": port.node.node_name,
        "interface": port.port_name,
        "description": interface_description(subscription),
        "enabled": port.enabled,
        "speed": int(subscription.speed),
        "mode": port.port_mode.value,
        "auto_negotiation": port.auto_negotiation,
        "lldp": port.lldp,
    }


def interface_description(subscription: PortProvisioning) -> str:
    """The description of the interface: the text of the form, or else the subscription's."""
    return subscription.port.port_description or describe_port(subscription)


@step("Construct subscription")
def construct_port(
    product: UUID,
    customer_id: str,
    node: UUID,
    port_name: str,
    port_mode: PortMode,
    auto_negotiation: bool,
    lldp: bool,
    port_description: str | None = None,
) -> State:
    """Make the subscription from the form. Adds `subscription`, `subscription_id`, `subscription_description`."""
    ordered = PortInactive.from_product_id(product, customer_id)
    ordered.port.node = Node.from_subscription(node).node
    ordered.port.port_name = port_name
    ordered.port.port_description = port_description
    ordered.port.port_mode = port_mode
    ordered.port.auto_negotiation = auto_negotiation
    ordered.port.lldp = lldp
    ordered.port.enabled = True
    subscription = PortProvisioning.from_other_lifecycle(ordered, SubscriptionLifecycle.PROVISIONING)
    return described(subscription, describe_port(subscription))


@step("Reserve interface in NetBox")
def reserve_interface(subscription: PortProvisioning, netbox: NetBox, context: StepContext) -> State:
    """Reserve the interface, which must be free and have the product's speed. Changes `subscription`.

    May run again: NetBox returns the interface that this step reserved before, and refuses one that another holds.
    """
    port = subscription.port
    if port.ims_id is None:
        port.ims_id = find_interface(subscription, netbox)
    netbox.reserve_interface(
        port.ims_id, description=interface_description(subscription), idempotency_key=context.idempotency_key
    )
    return {"subscription": subscription}


@step("Update interface in NetBox")
def update_interface(subscription: PortProvisioning, netbox: NetBox) -> None:
    """Update NetBox to what the subscription says. May run again: it sets values."""
    netbox.update_interface(
        interface_id(subscription),
        description=interface_description(subscription),
        enabled=subscription.port.enabled,
    )


@step("Configure port")
def configure_port(subscription: PortProvisioning, playbooks: PlaybookRunner, context: StepContext) -> State:
    """Configure the device as the subscription says. Adds `playbook`. May run again, like `play`."""
    return play("configure_port", port_variables(subscription), playbooks, context)


@step("Update subscription")
def update_port(
    subscription: Port,
    enabled: bool,
    auto_negotiation: bool,
    lldp: bool,
    port_description: str | None = None,
) -> State:
    """Apply the changes of the form. Changes `subscription`."""
    subscription.port.port_description = port_description
    subscription.port.enabled = enabled
    subscription.port.auto_negotiation = auto_negotiation
    subscription.port.lldp = lldp
    return described(subscription, describe_port(subscription))


@step("Compare port with NetBox and device")
def compare_port(subscription: Port, netbox: NetBox, playbooks: PlaybookRunner) -> None:
    """Raise DriftFound if NetBox or the device differs from the subscription. Changes nothing anywhere."""
    found = netbox.observe(interface=subscription.port.ims_id)
    report_drift(
        subscription,
        [
            *differences("netbox", port_in_netbox(subscription), found["interface"], NETBOX_TEXTS),
            *playbooks.check("configure_port", port_variables(subscription)),
        ],
    )


@step("Deconfigure port")
def deconfigure_port(subscription: PortProvisioning, playbooks: PlaybookRunner, context: StepContext) -> State:
    """Remove our configuration from the interface. Adds `playbook`. May run again, like `play`."""
    port = subscription.port
    variables = {"device": port.node.node_name, "interface": port.port_name}
    return play("deprovision_port", variables, playbooks, context)


@step("Release interface in NetBox")
def release_interface(subscription: PortProvisioning, netbox: NetBox) -> None:
    """Release the interface. May run again."""
    if subscription.port.ims_id is not None:
        netbox.release_interface(subscription.port.ims_id)


def find_interface(subscription: PortProvisioning, netbox: NetBox) -> int:
    """Find the interface by its name. Raises InconsistentData if the node has none of that name and speed."""
    port = subscription.port
    for interface in netbox.interfaces(port.node.ims_id or 0):
        if interface.name == port.port_name and interface.speed == subscription.speed:
            return interface.id
    raise InconsistentData(
        f"{port.node.node_name} has no interface {port.port_name} of {subscription.speed.label} in NetBox; "
        f"`orchestrator abort` this process and start again with an interface that it has."
    )


def why_interface_unfit(
    node: NodeRecord, port_name: str, speed: PortSpeed, interfaces: Sequence[Interface]
) -> str | None:
    """Why a new port of this speed cannot use this interface of the node; None when it can, as far as is known."""
    interface = next((one for one in interfaces if one.name == port_name), None)
    if interface is None:
        return f"{node.node_name} has no interface {port_name}"
    if holder := holder_of_interface(node.subscription_id, port_name):
        return f"interface {port_name} of {node.node_name} is in use by subscription {holder}"
    if interface.speed != speed:
        actual = f"{interface.speed // 1000}G" if interface.speed >= 1000 else f"{interface.speed} Mbit/s"
        return f"interface {port_name} of {node.node_name} has {actual}, and this product {speed.label}"
    if interface.reserved:
        what = repr(interface.description) if interface.description else "a cable or VLANs"
        return f"interface {port_name} of {node.node_name} is in use in NetBox by {what}, without a subscription here"
    return None


def why_port_unfit(given: str, modes: Collection[PortMode]) -> str | None:
    """Why nothing can be built on this port, an id or a description; None when it is in service in one of the modes."""
    port = find_port(given)
    if port is None:
        return f"there is no port '{given}', create the port first"
    named = f"port {port.description}"
    if port.status is SubscriptionLifecycle.TERMINATED:
        return f"{named} is terminated, create the port first"
    if port.status is not SubscriptionLifecycle.ACTIVE:
        return f"{named} is not in service but {port.status}, let the process that makes it finish first"
    if not port.insync:
        return (
            f"{named} is out of sync, reconcile it first: "
            f"orchestrator run reconcile_port subscription_id={port.subscription_id}"
        )
    if port.port_mode not in modes:
        return f"{named} is {_mode(port.port_mode)}, and here it has to be {' or '.join(map(_mode, modes))}"
    return None


def _mode(mode: PortMode) -> str:
    return f"in mode '{mode.value}'"


def interface_id(subscription: PortProvisioning) -> int:
    """The interface's id in NetBox. Raises InconsistentData while it is not reserved."""
    if subscription.port.ims_id is None:
        raise InconsistentData(f"{subscription.description} has no interface in NetBox yet; reserve it first.")
    return subscription.port.ims_id
