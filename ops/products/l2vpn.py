"""The steps of an L2VPN: check its access points, reserve numbers and VLANs, configure, compare, remove."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from ops import StepContext, differences, report_drift, step
from ops.products.descriptions import described
from ops.products.playbooks import play
from resources import (
    UNTAGGED,
    Difference,
    InconsistentData,
    NetBox,
    PlaybookRunner,
    State,
    SubscriptionLifecycle,
    VlanRanges,
)
from resources.products.inventory import PortRecord, claims_on, hold_ports
from resources.products.l2vpn import (
    L2vpn,
    L2vpnInactive,
    L2vpnProvisioning,
    SapBlock,
    SapBlockInactive,
    SapBlockProvisioning,
)
from resources.products.port import Port, PortMode

SERVICE_VLANS = VlanRanges("2-4094")
"""The VLANs for services on a tagged port; VLAN 1 is the default of many devices and stays free."""

SERVICE_MODES = (PortMode.TAGGED, PortMode.UNTAGGED)
"""Ports that carry services."""


class AccessPoint(BaseModel):
    """An access point in the form: the port's subscription, and VLANs of it."""

    port: UUID
    vlan: VlanRanges


def describe_l2vpn(subscription: L2vpnProvisioning) -> str:
    """The description in lists: `L2VPN 1000 Mbit/s ams1-utr1`."""
    circuit = subscription.virtual_circuit
    nodes = dict.fromkeys(sap.port.node.node_name for sap in circuit.saps)
    return f"{subscription.product.name} {circuit.speed} Mbit/s {'-'.join(nodes)}"


def l2vpn_variables(subscription: L2vpnProvisioning) -> dict[str, Any]:
    """The service as the playbook should configure it on every device."""
    circuit = subscription.virtual_circuit
    endpoints = [
        {"device": sap.port.node.node_name, "interface": sap.port.port_name, "vlan": str(sap.vlan)}
        for sap in circuit.saps
    ]
    return {
        "service": subscription.service_name,
        "vni": circuit.vni,
        "route_target": circuit.route_target,
        "description": describe_l2vpn(subscription),
        "speed": circuit.speed,
        "policer": circuit.speed_policer,
        "endpoints": endpoints,
    }


@step("Construct subscription")
def construct_l2vpn(product: UUID, customer_id: str, speed: int, speed_policer: bool, saps: list[AccessPoint]) -> State:
    """Make the subscription from the form. Adds `subscription`, `subscription_id`, `subscription_description`.

    The VLANs are checked again behind a lock: another process may have taken some since the form was filled in.
    """
    ports = ports_of(saps)
    require_usable(ports, saps, speed)
    ordered = L2vpnInactive.from_product_id(product, customer_id)
    circuit = ordered.virtual_circuit
    circuit.saps = [
        SapBlockInactive.new(ordered.subscription_id, port=ports[sap.port].port, vlan=sap.vlan) for sap in saps
    ]
    circuit.speed = speed
    circuit.speed_policer = speed_policer
    subscription = L2vpnProvisioning.from_other_lifecycle(ordered, SubscriptionLifecycle.PROVISIONING)
    return described(subscription, describe_l2vpn(subscription))


@step("Reserve VNI in NetBox")
def reserve_vni(subscription: L2vpnProvisioning, netbox: NetBox, context: StepContext) -> State:
    """Reserve the lowest free VNI and its route target. Changes `subscription`.

    May run again: NetBox returns the service that this step made before.
    """
    service = netbox.reserve_l2vpn(subscription.service_name, idempotency_key=context.idempotency_key)
    circuit = subscription.virtual_circuit
    circuit.ims_id, circuit.vni, circuit.route_target = service.id, service.vni, service.route_target
    return {"subscription": subscription}


@step("Restore VNI in NetBox")
def restore_vni(subscription: L2vpn, netbox: NetBox, context: StepContext) -> State:
    """Read the service's numbers from NetBox, which assigns them, or reserve new ones if it lost the service.

    Changes `subscription`. May run again: an existing service is returned.
    """
    name = subscription.service_name
    service = netbox.find_l2vpn(name) or netbox.reserve_l2vpn(name, idempotency_key=context.idempotency_key)
    circuit = subscription.virtual_circuit
    circuit.ims_id, circuit.vni, circuit.route_target = service.id, service.vni, service.route_target
    return {"subscription": subscription}


@step("Assign VLANs in NetBox")
def assign_vlans(subscription: L2vpnProvisioning, netbox: NetBox, context: StepContext) -> None:
    """Assign the service exactly its VLANs on each port. May run again: NetBox knows which it has already."""
    for sap in subscription.virtual_circuit.saps:
        netbox.assign_vlans(
            interface_of(sap),
            tagged(sap.vlan),
            service=subscription.service_name,
            idempotency_key=f"{context.idempotency_key}:{sap.port.title}",
        )


@step("Configure L2VPN")
def configure_l2vpn(subscription: L2vpnProvisioning, playbooks: PlaybookRunner, context: StepContext) -> State:
    """Configure all devices as the subscription says. Adds `playbook`. May run again, like `play`."""
    return play("configure_l2vpn", l2vpn_variables(subscription), playbooks, context)


@step("Update subscription")
def update_l2vpn(subscription: L2vpn, speed: int, speed_policer: bool, saps: list[AccessPoint]) -> State:
    """Apply the changes of the form; an access point whose port stays keeps its block. Changes `subscription`.

    Adds `left_interfaces`: ids in NetBox of the interfaces that the service leaves.
    """
    circuit = subscription.virtual_circuit
    ports = ports_of(saps)
    require_usable(ports, saps, speed, besides=subscription.subscription_id)
    before = {interface_of(sap): sap for sap in circuit.saps}
    after = {}
    for sap in saps:
        port = ports[sap.port].port
        block = before.get(port.ims_id) or SapBlock.new(subscription.subscription_id, port=port, vlan=sap.vlan)
        block.vlan = sap.vlan
        after[port.ims_id] = block
    circuit.saps = list(after.values())
    circuit.speed = speed
    circuit.speed_policer = speed_policer
    left = [interface for interface in before if interface not in after]
    return {**described(subscription, describe_l2vpn(subscription)), "left_interfaces": left}


@step("Release VLANs of removed access points")
def release_left_vlans(subscription: L2vpnProvisioning, netbox: NetBox, left_interfaces: list[int]) -> None:
    """Release the service's VLANs on ports that it leaves. May run again."""
    for interface in left_interfaces:
        netbox.release_vlans(interface, service=subscription.service_name)


@step("Compare L2VPN with NetBox and devices")
def compare_l2vpn(subscription: L2vpn, netbox: NetBox, playbooks: PlaybookRunner) -> None:
    """Raise DriftFound if NetBox or a device differs from the subscription. Changes nothing anywhere."""
    report_drift(
        subscription,
        [
            *_differences_in_netbox(subscription, netbox),
            *playbooks.check("configure_l2vpn", l2vpn_variables(subscription)),
        ],
    )


@step("Deconfigure L2VPN")
def deconfigure_l2vpn(subscription: L2vpnProvisioning, playbooks: PlaybookRunner, context: StepContext) -> State:
    """Remove the service from all devices. Adds `playbook`. May run again, like `play`."""
    return play("deprovision_l2vpn", {"service": subscription.service_name}, playbooks, context)


@step("Release VLANs in NetBox")
def release_vlans(subscription: L2vpnProvisioning, netbox: NetBox) -> None:
    """Release the VLANs. May run again."""
    for sap in subscription.virtual_circuit.saps:
        netbox.release_vlans(interface_of(sap), service=subscription.service_name)


@step("Release VNI in NetBox")
def release_vni(subscription: L2vpnProvisioning, netbox: NetBox) -> None:
    """Release VNI and route target. May run again."""
    if subscription.virtual_circuit.ims_id is not None:
        netbox.release_l2vpn(subscription.virtual_circuit.ims_id)


def ports_of(saps: Sequence[AccessPoint]) -> dict[UUID, Port]:
    """The ports of access points, by subscription. All must be active."""
    return {sap.port: Port.from_subscription(sap.port) for sap in saps}


def require_usable(
    ports: Mapping[UUID, Port], saps: Sequence[AccessPoint], speed: int, *, besides: UUID | None = None
) -> None:
    """Check the access points, and lock their ports until the transaction ends. Raises InconsistentData."""
    records = {key: PortRecord.of(port) for key, port in ports.items()}
    hold_ports(record.block_id for record in records.values())
    try:
        check_access_points([(records[sap.port], sap.vlan) for sap in saps], speed, besides=besides)
    except ValueError as error:
        raise InconsistentData(
            f"{error}; `orchestrator abort` this process and start again with other access points."
        ) from None


def check_access_points(
    points: Sequence[tuple[PortRecord, VlanRanges]], speed: int, *, besides: UUID | None = None
) -> None:
    """Check the rules for all access points together. Raises ValueError that lists every fault.

    Each port appears once, is at least as fast as the service, and its VLANs are free. `besides` is the service itself.
    """
    faults = [*_faults_alone(points, speed), *_overlaps(points, besides)]
    if faults:
        raise ValueError("; ".join(faults))


def _faults_alone(points: Sequence[tuple[PortRecord, VlanRanges]], speed: int) -> Iterator[str]:
    seen = set()
    for port, vlans in points:
        if port.subscription_id in seen:
            yield f"port {port.description} appears more than once; an L2VPN has one access point on a port"
        seen.add(port.subscription_id)
        if port.speed < speed:
            yield f"port {port.description} is slower than the service's {speed} Mbit/s"
        if port.port_mode is PortMode.UNTAGGED and vlans != VlanRanges(UNTAGGED):
            yield f"port {port.description} is untagged, so its VLAN is {UNTAGGED}, not {vlans or 'none'}"
        if port.port_mode is PortMode.TAGGED and not (vlans and vlans <= SERVICE_VLANS):
            yield f"port {port.description} is tagged, so its VLANs are some of {SERVICE_VLANS}, not {vlans or 'none'}"


def _overlaps(points: Sequence[tuple[PortRecord, VlanRanges]], besides: UUID | None) -> Iterator[str]:
    claims = claims_on([port.block_id for port, _ in points], besides=besides)
    for port, vlans in points:
        for claim in claims.get(port.block_id, ()):
            if taken := vlans & claim.vlans:
                yield f"VLAN {taken} on port {port.description} is in use by {claim}"


def _differences_in_netbox(subscription: L2vpn, netbox: NetBox) -> Iterator[Difference]:
    circuit, name = subscription.virtual_circuit, subscription.service_name
    expected = {"vni": circuit.vni, "route_target": circuit.route_target}
    yield from differences("netbox", expected, netbox.observe(l2vpn=name)["l2vpn"])
    for sap in circuit.saps:
        in_use = netbox.vlans_in_use(interface_of(sap))
        ours = VlanRanges(vlan for vlan, holder in in_use.items() if holder == name)
        yield from differences(f"netbox.{sap.port.title}", {"vlan": str(tagged(sap.vlan))}, {"vlan": str(ours)})


def access_point_of(subscription: L2vpnProvisioning, one: Difference) -> str:
    """The port, by its subscription's id, of the access point whose VLANs differ.

    Raises ValueError when the service has no such access point.
    """
    saps = subscription.virtual_circuit.saps
    for sap in saps:
        device = sap.port.node.node_name
        at = [other for other in saps if other.port.node.node_name == device].index(sap)
        is_on_device = device in (one.system, one.path.partition(".")[0])
        if f".{one.path}".endswith(f".{sap.port.title}.vlan") or (
            is_on_device and one.path.endswith(f".endpoints.{at}.vlan")
        ):
            return str(sap.port.owner_subscription_id)
    raise ValueError("the service has no access point there")


def interface_of(sap: SapBlockProvisioning) -> int:
    """The id in NetBox of the interface under an access point."""
    if sap.port.ims_id is None:
        raise InconsistentData(f"Port {sap.port.title} is not in NetBox; reserve it first.")
    return sap.port.ims_id


def tagged(vlans: VlanRanges) -> VlanRanges:
    """The VLANs that exist in NetBox, which has none for untagged traffic."""
    return VlanRanges(vlans - {UNTAGGED})
