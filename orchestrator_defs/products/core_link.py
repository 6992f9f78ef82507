"""Core link: its forms and its workflows."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import ConfigDict, model_validator

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
from ops.products.core_link import (
    compare_core_link,
    configure_core_link,
    connect_ports,
    construct_core_link,
    deconfigure_core_link,
    disconnect_ports,
    release_prefixes,
    reserve_prefixes,
    restore_prefixes,
    update_core_link,
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
from orchestrator_defs.products.fields import OneOf
from resources import Difference, State, default_customer_id
from resources.products.core_link import DRAINED_METRIC, CoreLink, IsisMetric
from resources.products.inventory import PortRecord, claims_on, find_port, nodes_in_service, ports_in_service
from resources.products.port import PortMode


def create_core_link_form(product_name: str) -> FormGenerator:
    """The two nodes, then on each a port for links that is free."""
    names = {str(node.subscription_id): node.node_name for node in nodes_in_service()}
    nodes = OneOf("Node", names, otherwise="There is no active node in sync; create two nodes first.")

    class SelectNodesPage(FormPage):
        model_config = ConfigDict(title=f"{product_name}: nodes")

        customer_id: CustomerId = default_customer_id()
        node_a: Annotated[str, nodes]
        node_b: Annotated[str, nodes]

        @model_validator(mode="after")
        def two_nodes(self) -> Self:
            if self.node_a == self.node_b:
                raise ValueError("node A and node B are the same; a core link joins two nodes")
            return self

    selected = yield SelectNodesPage

    ports_a, ports_b = _free_ports(selected.node_a), _free_ports(selected.node_b)

    class CreateCoreLinkPage(SubmitFormPage):
        model_config = ConfigDict(title=f"{product_name} {names[selected.node_a]} - {names[selected.node_b]}")

        port_a: Annotated[str, _port_choice("PortA", ports_a, names[selected.node_a])]
        port_b: Annotated[str, _port_choice("PortB", ports_b, names[selected.node_b])]
        isis_metric: IsisMetric = 100
        under_maintenance: bool = False

        @model_validator(mode="after")
        def equal_speeds(self) -> Self:
            speed_a, speed_b = ports_a[self.port_a].speed, ports_b[self.port_b].speed
            if speed_a != speed_b:
                raise ValueError(f"port A has {speed_a.label} and port B {speed_b.label}; a core link has one speed")
            return self

    link = yield CreateCoreLinkPage

    return {**selected.model_dump(mode="json"), **link.model_dump(mode="json")}


def _free_ports(node: str) -> Mapping[str, PortRecord]:
    """The node's free ports for links, by their subscription."""
    ports = ports_in_service([PortMode.LINK_MEMBER], node=UUID(node))
    taken = claims_on([port.block_id for port in ports])
    return {str(port.subscription_id): port for port in ports if port.block_id not in taken}


def _port_choice(name: str, ports: Mapping[str, PortRecord], node_name: str) -> OneOf:
    def why_not(given: str) -> str | None:
        if why := why_port_unfit(given, [PortMode.LINK_MEMBER]):
            return why
        if (port := find_port(given)) is None:
            return None
        if taken := claims_on([port.block_id]).get(port.block_id):
            return f"port {port.description} is in use by subscription {taken[0]}"
        return f"port {port.description} is not a port of {node_name}"

    return OneOf(
        name,
        {subscription_id: port.description for subscription_id, port in ports.items()},
        otherwise=f"{node_name} has no free port in mode {PortMode.LINK_MEMBER.value!r}; create the port first.",
        why_not=why_not,
    )


def modify_core_link_form(subscription: CoreLink) -> type[SubmitFormPage]:
    """The metric, and whether the link is under maintenance; then traffic takes another way."""
    link = subscription.core_link

    class ModifyCoreLinkPage(SubmitFormPage):
        model_config = ConfigDict(title=subscription.description)

        isis_metric: IsisMetric = link.isis_metric
        under_maintenance: bool = link.under_maintenance

    return ModifyCoreLinkPage


def accept_core_link(differences: Sequence[Difference]) -> State:
    """A metric that was set by hand, for both ends; the highest is maintenance. Addresses and cable may not stay."""
    addresses = never_accepted("NetBox assigns the addresses of a link when it is made")
    return accepted_values(
        differences,
        {
            "isis_metric": _metric_found,
            "description": never_accepted("it names the port at the other end"),
            **dict.fromkeys(("ipv4", "ipv6"), addresses),
            "id": never_accepted("it is another cable"),
        },
    )


def _metric_found(one: Difference) -> Mapping[str, Any]:
    if one.found == DRAINED_METRIC:
        return {"under_maintenance": True}
    return {"isis_metric": one.found, "under_maintenance": False}


@create_workflow("Create core link", initial_input_form=create_core_link_form, product_type="CoreLink")
def create_core_link() -> StepList:
    return begin >> construct_core_link >> reserve_prefixes >> connect_ports >> configure_core_link


@modify_workflow(
    "Modify core link", initial_input_form=modify_core_link_form, product_type="CoreLink", accepts=accept_core_link
)
def modify_core_link() -> StepList:
    return begin >> update_core_link >> configure_core_link


@validate_workflow("Validate core link", product_type="CoreLink")
def validate_core_link() -> StepList:
    return begin >> compare_core_link


@reconcile_workflow("Reconcile core link", product_type="CoreLink")
def reconcile_core_link() -> StepList:
    return begin >> restore_prefixes >> connect_ports >> configure_core_link


@terminate_workflow("Terminate core link", product_type="CoreLink")
def terminate_core_link() -> StepList:
    return begin >> deconfigure_core_link >> disconnect_ports >> release_prefixes


WORKFLOWS: tuple[WorkflowJob, ...] = (
    create_core_link,
    modify_core_link,
    validate_core_link,
    reconcile_core_link,
    terminate_core_link,
)
