"""Each product's two answers to drift, in the lab: changed by hand, validated, answered, and validated clean."""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from ops.starting.drift_answer import Answer
from ops.validating.single import validate_one
from resources.domain.models.vlans import VlanRanges
from resources.errors import FormInvalid, StartRefused
from resources.lab.runner import lock_devices, read_configs, write_config
from resources.products.core_link import DRAINED_METRIC
from resources.products.node import NodeStatus
from resources.types import ProcessStatus, ValidationResult
from resources.validations.results import Outcome, record
from tests.test_products.conftest import OPERATOR, Network

WHY = "As agreed with the owner, ticket 7."
PUSH, ACCEPT = Answer.PUSH_INTENT, Answer.ACCEPT_REALITY
KINDS = {"Node": "node", "Port": "port", "CoreLink": "core_link", "L2VPN": "l2vpn"}


def validated(network: Network, subscription_id: UUID) -> Outcome:
    """What a validation finds, which is then the newest result."""
    kind = KINDS[network.subscription(subscription_id).product.product_type]
    workflow = network.orchestrator.workflow(f"validate_{kind}")
    systems = {"netbox": network.lab.netbox, "playbooks": network.lab.playbooks}
    found = validate_one(workflow, subscription_id, network.database, systems, logging.getLogger(__name__))
    with network.database.transaction():
        assert record(found, process_id=None, run_id=None, user=OPERATOR, due_at=None)
    return found


def drifted(network: Network, subscription_id: UUID) -> None:
    assert validated(network, subscription_id).result is ValidationResult.DRIFTED
    assert not network.insync(subscription_id)


def answer(network: Network, answer: Answer, subscription_id: UUID) -> None:
    """Give an answer, whose process has to complete, and find no drift any more."""
    process_id = network.processes.starts.answer_drift(answer, subscription_id, reason=WHY, user=OPERATOR)
    process = network.execute(process_id)
    assert process.last_status == ProcessStatus.COMPLETED, process.failed_reason
    assert network.insync(subscription_id)
    again = validated(network, subscription_id)
    assert again.result is ValidationResult.PASSED, again.differences


def refused(network: Network, subscription_id: UUID, error: type[Exception] = StartRefused) -> str:
    """Why what was found cannot be accepted; nothing was changed then."""
    before = network.subscription(subscription_id).version
    with pytest.raises(error) as found:
        network.processes.starts.answer_drift(ACCEPT, subscription_id, reason=WHY, user=OPERATOR)
    assert network.subscription(subscription_id).version == before
    return str(found.value)


# --- push intent ---


@pytest.mark.parametrize(
    ("description", "device", "where", "values"),
    [
        ("Node utr1 Nokia", "utr1", {}, {"location": "Nowhere"}),
        ("ams1 1/2/1 10G", "ams1", {"interface": "1/2/1"}, {"mode": "untagged"}),
        ("Core link ams1 1/2/12 - utr1 1/2/12", "ams1", {"interface": "1/2/12"}, {"core_link": {}}),
        ("L2VPN 1000 Mbit/s ams1", "ams1", {"service": True}, {"vni": 7}),
    ],
    ids=list(KINDS),
)
def test_intent_is_pushed(
    network: Network, description: str, device: str, where: dict[str, Any], values: Mapping[str, Any]
) -> None:
    subscription_id = network.find(description)
    if where.get("service"):
        where = {"service": next(iter(network.lab.control.show(device)["services"]))}
    if where:
        network.lab.control.drift(device, **where, values=values)
    else:
        set_system(network, device, **values)
    drifted(network, subscription_id)
    answer(network, PUSH, subscription_id)


# --- node ---


@pytest.fixture
def node(network: Network) -> UUID:
    return network.find("Node ams1 Nokia")


def set_system(network: Network, device: str, **values: Any) -> None:
    """Set what a node's playbook configures, also on a device with interfaces."""
    with network.database.engine.begin() as connection:
        lock_devices(connection)
        config = read_configs(connection)[device]
        config["system"] |= values
        write_config(connection, device, config)


def test_a_nodes_description_in_the_inventory_is_accepted(network: Network, node: UUID) -> None:
    network.lab.control.drift_in_netbox("ams1", values={"description": "Rack 7"})
    drifted(network, node)
    answer(network, ACCEPT, node)
    assert network.subscription(node).node.node_description == "Rack 7"
    assert network.lab.playbooks.observe("ams1")["system"]["description"] == "Rack 7"


def test_a_node_that_traffic_avoids_is_offline_when_that_is_accepted(network: Network, node: UUID) -> None:
    set_system(network, "ams1", overload=True)
    drifted(network, node)
    answer(network, ACCEPT, node)
    assert network.subscription(node).node.node_status is NodeStatus.OFFLINE
    assert network.lab.netbox.find_device("ams1").status == "offline"  # type: ignore[union-attr]


def test_a_status_that_the_form_does_not_have_is_refused_with_its_field(network: Network, node: UUID) -> None:
    network.lab.control.drift_in_netbox("ams1", values={"status": "retired"})
    drifted(network, node)
    assert "node_status" in refused(network, node, FormInvalid)


def test_a_nodes_address_is_not_accepted_and_the_sentence_says_why(network: Network, node: UUID) -> None:
    set_system(network, "ams1", ipv4_loopback="10.9.9.9", description="by hand")
    drifted(network, node)
    sentence = refused(network, node)
    assert "ipv4_loopback is '10.9.9.9': NetBox assigns addresses" in sentence
    assert "by hand" not in sentence


def test_a_device_that_is_gone_is_not_accepted(network: Network, node: UUID) -> None:
    network.lab.control.wipe("ams1")
    drifted(network, node)
    assert "what is gone" in refused(network, node)


def test_two_systems_that_disagree_are_not_accepted(network: Network, node: UUID) -> None:
    network.lab.control.drift_in_netbox("ams1", values={"description": "one"})
    set_system(network, "ams1", description="other")
    drifted(network, node)
    assert "asks for another node_description, 'one'" in refused(network, node)


# --- port ---


def test_what_a_ports_modification_changes_is_accepted(network: Network, port: UUID) -> None:
    values = {"description": "by hand", "enabled": False, "lldp": True, "auto_negotiation": True}
    network.lab.control.drift("ams1", interface="1/2/1", values=values)
    drifted(network, port)
    answer(network, ACCEPT, port)
    found = network.subscription(port).port
    assert (found.port_description, found.enabled, found.lldp, found.auto_negotiation) == tuple(values.values())


@pytest.mark.parametrize(
    ("key", "value"), [("mode", "untagged"), ("speed", 40_000), ("description", ""), ("mtu", 9000)]
)
def test_other_values_of_a_port_are_not_accepted(network: Network, port: UUID, key: str, value: Any) -> None:
    network.lab.control.drift("ams1", interface="1/2/1", values={key: value})
    drifted(network, port)
    assert f".{key} is {value!r}: " in refused(network, port)


def test_a_drifted_neighbour_does_not_forbid_to_accept(network: Network, port: UUID, service: UUID) -> None:
    network.lab.control.drift("ams1", interface="1/2/1", values={"lldp": True})
    with network.database.transaction() as session:
        marked = {"insync": False, "out_of_sync_by": "validation"}
        rows = sa.text(
            "UPDATE subscriptions SET insync = :insync, out_of_sync_by = :out_of_sync_by WHERE subscription_id = :id"
        )
        session.execute(rows, {**marked, "id": service})
    drifted(network, port)
    answer(network, ACCEPT, port)


def test_a_neighbour_that_a_process_left_out_of_sync_forbids_to_accept(
    network: Network, port: UUID, service: UUID
) -> None:
    network.lab.control.drift("ams1", interface="1/2/1", values={"lldp": True})
    with network.database.transaction() as session:
        session.execute(sa.text("UPDATE subscriptions SET insync = false WHERE subscription_id = :id"), {"id": service})
    drifted(network, port)
    assert "L2VPN 1000 Mbit/s ams1" in refused(network, port)


# --- core link ---


@pytest.mark.parametrize(("metric", "accepted"), [(555, (555, False)), (DRAINED_METRIC, (100, True))])
def test_a_metric_of_a_link_is_accepted(
    network: Network, core_link: UUID, metric: int, accepted: tuple[Any, ...]
) -> None:
    part = network.lab.control.show("ams1")["interfaces"]["1/2/12"]["core_link"]
    network.lab.control.drift("ams1", interface="1/2/12", values={"core_link": part | {"isis_metric": metric}})
    drifted(network, core_link)
    answer(network, ACCEPT, core_link)
    link = network.subscription(core_link).core_link
    assert (link.isis_metric, link.under_maintenance) == accepted


def test_an_address_of_a_link_is_not_accepted(network: Network, core_link: UUID) -> None:
    part = network.lab.control.show("utr1")["interfaces"]["1/2/12"]["core_link"]
    network.lab.control.drift("utr1", interface="1/2/12", values={"core_link": part | {"ipv4": "10.0.0.0/8"}})
    drifted(network, core_link)
    assert "core_link.ipv4 is '10.0.0.0/8': NetBox assigns" in refused(network, core_link)


# --- L2VPN ---


def test_speed_and_vlans_of_a_service_are_accepted(network: Network, service: UUID) -> None:
    (name,) = network.lab.control.show("ams1")["services"]
    endpoints = network.lab.control.show("ams1")["services"][name]["endpoints"]
    changed = [endpoints[0], endpoints[1] | {"vlan": "300-310"}]
    network.lab.control.drift("ams1", service=name, values={"speed": 2000, "endpoints": changed})
    drifted(network, service)
    answer(network, ACCEPT, service)
    circuit = network.subscription(service).virtual_circuit
    assert (circuit.speed, [sap.vlan for sap in circuit.saps]) == (2000, [VlanRanges("100-110"), VlanRanges("300-310")])


def test_vlans_that_the_form_refuses_are_not_accepted(network: Network, service: UUID) -> None:
    (name,) = network.lab.control.show("ams1")["services"]
    endpoints = network.lab.control.show("ams1")["services"][name]["endpoints"]
    changed = [endpoints[0], endpoints[1] | {"vlan": "1"}]
    network.lab.control.drift("ams1", service=name, values={"endpoints": changed})
    drifted(network, service)
    assert "saps: " in refused(network, service, FormInvalid)


def test_numbers_of_a_service_are_not_accepted(network: Network, service: UUID) -> None:
    (name,) = network.lab.control.show("ams1")["services"]
    network.lab.control.drift("ams1", service=name, values={"vni": 7})
    drifted(network, service)
    assert "vni is 7: NetBox assigns it" in refused(network, service)
