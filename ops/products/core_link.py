"""The steps of a core link: reserve addresses, connect, configure, compare, remove."""

from typing import Any
from uuid import UUID

from ops import StepContext, differences, report_drift, step
from ops.products.descriptions import described
from ops.products.playbooks import play
from resources import InconsistentData, NetBox, PlaybookRunner, State, SubscriptionLifecycle
from resources.products.core_link import CoreLink, CoreLinkInactive, CoreLinkProvisioning
from resources.products.inventory import claims_on, hold_ports
from resources.products.port import Port


def describe_core_link(subscription: CoreLinkProvisioning) -> str:
    """The description in lists: `Core link ams1 1/1/1 - utr1 1/1/1`, and whether it is under maintenance."""
    maintenance = " (maintenance)" if subscription.core_link.under_maintenance else ""
    return f"{subscription.product.name} {subscription.core_link.title}{maintenance}"


def core_link_variables(subscription: CoreLinkProvisioning) -> dict[str, Any]:
    """The link as the playbook should configure it on both ends."""
    link = subscription.core_link
    if link.ipv4_prefix is None or link.ipv6_prefix is None:
        raise InconsistentData(f"{subscription.description} has no prefixes yet; reserve them first.")
    ends = [
        {
            "device": end.port.node.node_name,
            "interface": end.port.port_name,
            "description": f"to {other.title}",
            "ipv4": f"{end.ipv4_address}/{link.ipv4_prefix.prefixlen}",
            "ipv6": f"{end.ipv6_address}/{link.ipv6_prefix.prefixlen}",
            "isis_metric": link.announced_metric,
        }
        for end, other in zip(link.ports, reversed(link.ports), strict=True)
    ]
    return {"link": link.title, "ends": ends}


@step("Construct subscription")
def construct_core_link(
    product: UUID,
    customer_id: str,
    port_a: UUID,
    port_b: UUID,
    isis_metric: int,
    under_maintenance: bool,
) -> State:
    """Make the subscription from the form. Adds `subscription`, `subscription_id`, `subscription_description`.

    The ports are checked again behind a lock: another process may have taken one since the form was filled in.
    """
    ports = [Port.from_subscription(port) for port in (port_a, port_b)]
    require_free(ports)
    ordered = CoreLinkInactive.from_product_id(product, customer_id)
    for end, port in zip(ordered.core_link.ports, ports, strict=True):
        end.port = port.port
    ordered.core_link.isis_metric = isis_metric
    ordered.core_link.under_maintenance = under_maintenance
    subscription = CoreLinkProvisioning.from_other_lifecycle(ordered, SubscriptionLifecycle.PROVISIONING)
    return described(subscription, describe_core_link(subscription))


@step("Reserve prefixes in NetBox")
def reserve_prefixes(subscription: CoreLinkProvisioning, netbox: NetBox, context: StepContext) -> State:
    """Reserve the next free /31 and /127 and give both ends addresses. Changes `subscription`.

    May run again: NetBox returns the prefixes that this step reserved before.
    """
    link = subscription.core_link
    prefixes = netbox.reserve_link_prefixes(description=link.title, idempotency_key=context.idempotency_key)
    link.ipv4_prefix, link.ipv4_prefix_ipam_id = prefixes.ipv4, prefixes.ipv4_id
    link.ipv6_prefix, link.ipv6_prefix_ipam_id = prefixes.ipv6, prefixes.ipv6_id
    for number, end in enumerate(link.ports):
        end.ipv4_address, end.ipv6_address = prefixes.ipv4[number], prefixes.ipv6[number]
    return {"subscription": subscription}


@step("Restore prefixes in NetBox")
def restore_prefixes(subscription: CoreLink, netbox: NetBox, context: StepContext) -> State:
    """Restore prefixes that are gone from NetBox. Changes `subscription`. May run again: existing ones stay."""
    link = subscription.core_link
    prefixes = netbox.restore_link_prefixes(
        ipv4=link.ipv4_prefix,
        ipv6=link.ipv6_prefix,
        description=link.title,
        idempotency_key=context.idempotency_key,
    )
    link.ipv4_prefix_ipam_id, link.ipv6_prefix_ipam_id = prefixes.ipv4_id, prefixes.ipv6_id
    return {"subscription": subscription}


@step("Connect ports in NetBox")
def connect_ports(subscription: CoreLinkProvisioning, netbox: NetBox, context: StepContext) -> State:
    """Connect the ports by a cable. Changes `subscription`. May run again: an existing cable is returned."""
    link = subscription.core_link
    side_a, side_b = cable_ends(subscription)
    cable = netbox.create_cable(side_a, side_b, description=link.title, idempotency_key=context.idempotency_key)
    link.ims_id = cable.id
    return {"subscription": subscription}


@step("Configure core link")
def configure_core_link(subscription: CoreLinkProvisioning, playbooks: PlaybookRunner, context: StepContext) -> State:
    """Configure both devices as the subscription says. Adds `playbook`. May run again, like `play`."""
    return play("configure_core_link", core_link_variables(subscription), playbooks, context)


@step("Update subscription")
def update_core_link(subscription: CoreLink, isis_metric: int, under_maintenance: bool) -> State:
    """Apply the changes of the form. Changes `subscription`."""
    subscription.core_link.isis_metric = isis_metric
    subscription.core_link.under_maintenance = under_maintenance
    return described(subscription, describe_core_link(subscription))


@step("Compare core link with NetBox and devices")
def compare_core_link(subscription: CoreLink, netbox: NetBox, playbooks: PlaybookRunner) -> None:
    """Raise DriftFound if NetBox or a device differs from the subscription. Changes nothing anywhere."""
    link = subscription.core_link
    found = netbox.observe(
        cable=cable_ends(subscription), prefixes=(link.ipv4_prefix_ipam_id, link.ipv6_prefix_ipam_id)
    )
    prefixes = {"ipv4": link.ipv4_prefix, "ipv6": link.ipv6_prefix}
    report_drift(
        subscription,
        [
            *differences("netbox.prefixes", prefixes, found["prefixes"]),
            *differences("netbox.cable", {"id": link.ims_id}, found["cable"]),
            *playbooks.check("configure_core_link", core_link_variables(subscription)),
        ],
    )


@step("Deconfigure core link")
def deconfigure_core_link(subscription: CoreLinkProvisioning, playbooks: PlaybookRunner, context: StepContext) -> State:
    """Remove the link from both devices. Adds `playbook`. May run again, like `play`."""
    link = subscription.core_link
    ends = [{"device": end.port.node.node_name, "interface": end.port.port_name} for end in link.ports]
    return play("deprovision_core_link", {"link": link.title, "ends": ends}, playbooks, context)


@step("Disconnect ports in NetBox")
def disconnect_ports(subscription: CoreLinkProvisioning, netbox: NetBox) -> None:
    """Delete the cable. May run again."""
    if subscription.core_link.ims_id is not None:
        netbox.delete_cable(subscription.core_link.ims_id)


@step("Release prefixes in NetBox")
def release_prefixes(subscription: CoreLinkProvisioning, netbox: NetBox) -> None:
    """Release the prefixes. May run again."""
    link = subscription.core_link
    if link.ipv4_prefix_ipam_id is not None and link.ipv6_prefix_ipam_id is not None:
        netbox.release_link_prefixes(link.ipv4_prefix_ipam_id, link.ipv6_prefix_ipam_id)


def require_free(ports: list[Port]) -> None:
    """Check that the ports are free, and keep them so until the transaction ends.

    Raises InconsistentData with the port and the subscription that has it.
    """
    blocks = {port.port.subscription_instance_id: port for port in ports}
    hold_ports(blocks)
    for block_id, claims in claims_on(blocks).items():
        raise InconsistentData(
            f"Port {blocks[block_id].description} is in use by {claims[0]}; `orchestrator abort` this process and "
            "start again with another port."
        )


def cable_ends(subscription: CoreLinkProvisioning) -> tuple[int, int]:
    """The ids in NetBox of the interfaces on side A and side B."""
    side_a, side_b = (end.port.ims_id for end in subscription.core_link.ports)
    if side_a is None or side_b is None:
        raise InconsistentData(f"{subscription.description} has a port that is not in NetBox; reserve it first.")
    return side_a, side_b
