"""L2VPN: its forms and its workflows."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Gt, Le, Len
from pydantic import BaseModel, ConfigDict, Field, field_validator

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
from ops.products.l2vpn import (
    SERVICE_MODES,
    access_point_of,
    assign_vlans,
    check_access_points,
    compare_l2vpn,
    configure_l2vpn,
    construct_l2vpn,
    deconfigure_l2vpn,
    release_left_vlans,
    release_vlans,
    release_vni,
    reserve_vni,
    restore_vni,
    update_l2vpn,
)
from ops.products.port import why_port_unfit
from orchestrator_defs import (
    WorkflowJob,
    create_workflow,
    modify_workflow,
    reconcile_workflow,
    terminate_workflow,
    validate_workflow,
)
from orchestrator_defs.products.fields import MOST_CHOICES, Found, OneOf
from resources import UNTAGGED, Difference, State, VlanRanges, default_customer_id
from resources.products.inventory import PortRecord, find_port, ports_in_service
from resources.products.l2vpn import L2vpn

Speed = Annotated[int, Gt(0), Le(10_000_000), Field(description="Mbit/s")]


def create_l2vpn_form(product_name: str) -> FormGenerator:
    """The service's speed, then its access points on ports of at least this speed."""

    class ServicePage(FormPage):
        model_config = ConfigDict(title=product_name)

        customer_id: CustomerId = default_customer_id()
        speed: Speed
        speed_policer: bool = False

    service = yield ServicePage
    saps = yield access_points_page(f"{product_name}: access points", service.speed)

    return {**service.model_dump(mode="json"), **saps.model_dump(mode="json")}


def modify_l2vpn_form(subscription: L2vpn) -> FormGenerator:
    """The service's speed, then its access points: change VLANs, add or remove points."""
    circuit = subscription.virtual_circuit

    class ServicePage(FormPage):
        model_config = ConfigDict(title=subscription.description)

        speed: Speed = circuit.speed
        speed_policer: bool = circuit.speed_policer

    service = yield ServicePage
    saps = yield access_points_page(f"{subscription.description}: access points", service.speed, subscription)

    return {**service.model_dump(mode="json"), **saps.model_dump(mode="json")}


def accept_l2vpn(subscription: L2vpn, differences: Sequence[Difference]) -> State:
    """Speed, policer and VLANs as they were found; numbers of NetBox, and access points, may not."""
    points = {str(sap.port.owner_subscription_id): sap for sap in subscription.virtual_circuit.saps}
    numbers = never_accepted("NetBox assigns it when the service is made")

    def vlan(one: Difference) -> Mapping[str, Any]:
        return {access_point_of(subscription, one): one.found}

    found = accepted_values(
        differences,
        {
            "speed": "speed",
            "policer": "speed_policer",
            "vlan": vlan,
            "description": never_accepted("it is made from speed and access points"),
            "endpoints": never_accepted("the ports of a service change by a modification only"),
            **dict.fromkeys(("vni", "route_target"), numbers),
        },
    )
    vlans = {port: found.pop(port) for port in points if port in found}
    saps = [{"port": port, "vlan": vlans.get(port, str(sap.vlan))} for port, sap in points.items()]
    return found | ({"saps": saps} if vlans else {})


def access_points_page(title: str, speed: int, subscription: L2vpn | None = None) -> type[SubmitFormPage]:
    """The page with the access points; those of `subscription` are filled in, and its own VLANs do not conflict."""
    ports: dict[str, PortRecord] = {}
    choice = _port_choice(speed, ports)

    class AccessPointForm(BaseModel):
        model_config = ConfigDict(extra="forbid", validate_default=True)

        port: Annotated[str, choice]
        vlan: VlanRanges = Field(VlanRanges(UNTAGGED), description="VLANs of a tagged port, such as 2-5,100; else 0")

    class AccessPointsPage(SubmitFormPage):
        model_config = ConfigDict(title=title)

        saps: Annotated[list[AccessPointForm], Len(2, 10)]

        @field_validator("saps")
        @classmethod
        def usable(cls, saps: Sequence[AccessPointForm]) -> Sequence[AccessPointForm]:
            points = [(ports[sap.port], sap.vlan) for sap in saps]
            check_access_points(points, speed, besides=subscription.subscription_id if subscription else None)
            return saps

    if subscription is None:
        return AccessPointsPage

    saps_now = subscription.virtual_circuit.saps
    present = [AccessPointForm(port=str(sap.port.owner_subscription_id), vlan=sap.vlan) for sap in saps_now]

    class ChangeAccessPointsPage(AccessPointsPage):
        saps: Annotated[list[AccessPointForm], Len(2, 10)] = Field(present)

    return ChangeAccessPointsPage


def _port_choice(speed: int, ports: dict[str, PortRecord]) -> OneOf | Found:
    """The choice of a port: from a short list, or else by search. Fills `ports` with what was offered."""

    def why_not(given: str) -> str | None:
        if why := why_port_unfit(given, SERVICE_MODES):
            return why
        port = find_port(given)
        return f"port {port.description} is slower than the service's {speed} Mbit/s" if port else None

    def look_up(given: str) -> str | None:
        port = find_port(given)
        if port is None or port.speed < speed or why_port_unfit(given, SERVICE_MODES):
            return None
        ports[str(port.subscription_id)] = port.record
        return str(port.subscription_id)

    first = ports_in_service(SERVICE_MODES, speed=speed, limit=MOST_CHOICES + 1)
    if len(first) > MOST_CHOICES:
        return Found(look_up, why_not=why_not)
    ports |= {str(port.subscription_id): port for port in first}
    too_few = f"There is no active port in sync that is as fast as {speed} Mbit/s; create ports first."
    return OneOf("Port", {key: port.description for key, port in ports.items()}, otherwise=too_few, why_not=why_not)


@create_workflow("Create L2VPN", initial_input_form=create_l2vpn_form, product_type="L2VPN")
def create_l2vpn() -> StepList:
    return begin >> construct_l2vpn >> reserve_vni >> assign_vlans >> configure_l2vpn


@modify_workflow("Modify L2VPN", initial_input_form=modify_l2vpn_form, product_type="L2VPN", accepts=accept_l2vpn)
def modify_l2vpn() -> StepList:
    return begin >> update_l2vpn >> release_left_vlans >> assign_vlans >> configure_l2vpn


@validate_workflow("Validate L2VPN", product_type="L2VPN")
def validate_l2vpn() -> StepList:
    return begin >> compare_l2vpn


@reconcile_workflow("Reconcile L2VPN", product_type="L2VPN")
def reconcile_l2vpn() -> StepList:
    return begin >> restore_vni >> assign_vlans >> configure_l2vpn


@terminate_workflow("Terminate L2VPN", product_type="L2VPN")
def terminate_l2vpn() -> StepList:
    return begin >> deconfigure_l2vpn >> release_vlans >> release_vni


WORKFLOWS: tuple[WorkflowJob, ...] = (create_l2vpn, modify_l2vpn, validate_l2vpn, reconcile_l2vpn, terminate_l2vpn)
