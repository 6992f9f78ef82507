"""Forms offer what the inventory has, and say what is wrong with the rest."""

from typing import Any
from uuid import UUID

import pytest

from orchestrator_defs.products.fields import OneOf
from resources.errors import FormError, FormIncomplete, FormInvalid
from tests.marks import put_out_of_sync
from tests.test_products.conftest import OPERATOR, Network, access_points


def next_page(network: Network, workflow: str, *pages: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of the page that the form wants next."""
    with pytest.raises(FormIncomplete) as wanted:
        network.processes.starts.start(workflow, list(pages), user=OPERATOR)
    return wanted.value.schema


def choices(schema: dict[str, Any], name: str) -> list[str]:
    """The labels of a choice."""
    choice = schema["$defs"][name]
    return [choice.get("options", {}).get(value, value) for value in choice["enum"]]


def refusal(network: Network, workflow: str, *pages: dict[str, Any]) -> str:
    """What the form says of input that it refuses; nothing is written then."""
    with pytest.raises(FormInvalid) as refused:
        network.processes.starts.start(workflow, list(pages), user=OPERATOR)
    return str(refused.value)


def test_a_node_is_chosen_from_sites_roles_and_the_vendors_device_types(network: Network) -> None:
    page = next_page(network, "create_node", {"product": "Node Nokia"})
    assert "Amsterdam" in choices(page, "Site")
    assert choices(page, "Role") == ["Provider core", "Provider edge"]
    assert all(model.startswith("7") for model in choices(page, "DeviceType"))


def test_a_node_name_is_used_once(network: Network) -> None:
    page = {"node_name": "ams1", "site": "Utrecht", "role": "Provider core", "device_type": "MX304"}
    said = refusal(network, "create_node", {"product": "Node Juniper"}, page)
    assert "node_name: node name ams1 is in use by subscription" in said
    assert str(network.find("Node ams1 Nokia")) in said


@pytest.mark.parametrize("name", ["ams 1", "1ams", "ams-", "", "a" * 64, "a" * 70, "ams\n1"])
def test_a_node_name_is_a_host_name(network: Network, name: str) -> None:
    page = {"node_name": name, "site": "Utrecht", "role": "Provider core", "device_type": "MX304"}
    said = refusal(network, "create_node", {"product": "Node Juniper"}, page)
    assert "node_name: a node name is letters, digits and hyphens, starting with a letter" in said
    assert "pattern" not in said


def test_a_device_type_of_another_vendor_is_no_choice(network: Network) -> None:
    page = {"node_name": "lon1", "site": "Utrecht", "role": "Provider core", "device_type": "MX304"}
    said = refusal(network, "create_node", {"product": "Node Nokia"}, page)
    assert "device_type: Input should be one of '7" in said


def test_there_is_no_port_without_a_node(empty_network: Network) -> None:
    with pytest.raises(FormError, match="create a node first"):
        empty_network.processes.starts.start("create_port", [{"product": "Port 10G"}], user=OPERATOR)


def test_a_port_is_chosen_from_free_interfaces_of_the_node_at_the_products_speed(network: Network) -> None:
    assert choices(next_page(network, "create_port", {"product": "Port 10G"}), "Node") == ["ams1", "utr1"]
    page = next_page(network, "create_port", {"product": "Port 10G"}, {"node": "ams1"})
    assert choices(page, "Interface") == [f"1/2/{number}" for number in (3, 4, 5, 6, 8, 9, 10, 11)]


def test_a_node_may_be_given_by_its_id(network: Network) -> None:
    ams1 = network.find("Node ams1 Nokia")
    page = next_page(network, "create_port", {"product": "Port 400G"}, {"node": str(ams1)})
    assert choices(page, "Interface")[0] == "1/4/1"


def test_a_node_out_of_sync_is_no_choice(network: Network) -> None:
    with network.database.transaction():
        put_out_of_sync(network.find("Node ams1 Nokia"))
    assert choices(next_page(network, "create_port", {"product": "Port 10G"}), "Node") == ["utr1"]


def refused_interface(network: Network, name: str, product: str = "Port 10G") -> str:
    return refusal(network, "create_port", {"product": product}, {"node": "ams1"}, {"port_name": name})


def test_an_interface_in_use_names_its_holder(network: Network, port: UUID) -> None:
    said = refused_interface(network, "1/2/1")
    assert f"interface 1/2/1 of ams1 is in use by subscription ams1 1/2/1 10G ({port}); choose one of '1/2/3'" in said


def test_an_interface_that_the_node_has_not_is_said_to_be_missing(network: Network) -> None:
    assert "ams1 has no interface 9/9/9; choose one of '1/2/3'" in refused_interface(network, "9/9/9")


def test_an_interface_of_another_speed_names_both_speeds(network: Network) -> None:
    said = refused_interface(network, "1/3/1")
    assert "interface 1/3/1 of ams1 has 100G, and this product 10G; choose one of" in said


def test_an_interface_that_only_netbox_has_in_use_says_so(network: Network) -> None:
    netbox = network.lab.netbox
    device = netbox.find_device("ams1")
    assert device is not None
    free = next(one for one in netbox.free_interfaces(device.id) if one.name == "1/2/3")
    netbox.update_interface(free.id, description="lab gear")
    said = refused_interface(network, "1/2/3")
    assert "interface 1/2/3 of ams1 is in use in NetBox by 'lab gear', without a subscription here" in said


def test_a_core_link_joins_two_nodes(network: Network) -> None:
    said = refusal(network, "create_core_link", {"product": "Core link"}, {"node_a": "ams1", "node_b": "ams1"})
    assert "node A and node B are the same" in said


def test_a_core_link_is_chosen_from_free_ports_that_are_meant_for_links(network: Network) -> None:
    for name, node in (("1/2/3", "ams1"), ("1/2/3", "utr1"), ("1/2/4", "ams1")):
        network.port(node, name, "link member")
    page = next_page(network, "create_core_link", {"product": "Core link"}, {"node_a": "ams1", "node_b": "utr1"})
    assert choices(page, "PortA") == ["ams1 1/2/3 10G", "ams1 1/2/4 10G"]
    assert choices(page, "PortB") == ["utr1 1/2/3 10G"]


def test_a_core_link_has_one_speed(network: Network) -> None:
    a, b = network.port("ams1", "1/2/3", "link member"), network.port("utr1", "1/3/3", "link member", "100G")
    ports = {"port_a": str(a), "port_b": str(b)}
    said = refusal(network, "create_core_link", {"product": "Core link"}, {"node_a": "ams1", "node_b": "utr1"}, ports)
    assert "port A has 10G and port B 100G" in said


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ams1 1/2/99 10G", "there is no port 'ams1 1/2/99 10G', create the port first; choose one of"),
        ("ams1 1/2/1 10G", "is in mode 'tagged', and here it has to be in mode 'link member'"),
        ("ams1 1/2/12 10G", "is in use by subscription Core link ams1 1/2/12 - utr1 1/2/12"),
        ("utr1 1/2/3 10G", "port utr1 1/2/3 10G is not a port of ams1"),
    ],
)
def test_a_port_that_no_link_can_have_is_refused_with_the_reason(network: Network, name: str, why: str) -> None:
    for node in ("ams1", "utr1"):
        network.port(node, "1/2/3", "link member")
    ports = {"port_a": name, "port_b": "utr1 1/2/3 10G"}
    nodes = {"node_a": "ams1", "node_b": "utr1"}
    assert why in refusal(network, "create_core_link", {"product": "Core link"}, nodes, ports)


def test_access_points_are_chosen_from_ports_that_carry_services_and_are_fast_enough(network: Network) -> None:
    network.port("ams1", "1/3/1", "untagged", "100G")
    page = next_page(network, "create_l2vpn", {"product": "L2VPN"}, {"speed": 1000})
    assert choices(page, "Port") == [f"ams1 {name}" for name in ("1/2/1 10G", "1/2/2 10G", "1/2/7 10G", "1/3/1 100G")]
    page = next_page(network, "create_l2vpn", {"product": "L2VPN"}, {"speed": 100_000})
    assert choices(page, "Port") == ["ams1 1/3/1 100G"]


def refused_points(network: Network, *saps: tuple[UUID, str]) -> str:
    return refusal(network, "create_l2vpn", {"product": "L2VPN"}, {"speed": 1000}, access_points(*saps))


def test_an_l2vpn_has_two_access_points(network: Network, port: UUID) -> None:
    assert "saps: List should have at least 2 items" in refused_points(network, (port, "100"))


def test_an_l2vpn_has_one_access_point_on_a_port(network: Network, port: UUID) -> None:
    assert "ams1 1/2/1 10G appears more than once" in refused_points(network, (port, "100"), (port, "200"))


@pytest.mark.parametrize(("vlan", "shown"), [("0", "0"), ("1-10", "1-10"), ("", "none")])
def test_a_tagged_port_gives_vlans_for_services(
    network: Network, port: UUID, other_port: UUID, vlan: str, shown: str
) -> None:
    said = refused_points(network, (port, vlan), (other_port, "100"))
    assert f"ams1 1/2/1 10G is tagged, so its VLANs are some of 2-4094, not {shown}" in said


def test_an_untagged_port_gives_no_vlan(network: Network, port: UUID) -> None:
    untagged = network.find("ams1 1/2/7 10G")
    assert "ams1 1/2/7 10G is untagged" in refused_points(network, (port, "100"), (untagged, "100"))


@pytest.mark.parametrize("vlan", ["100-", "5000", "200-100"])
def test_what_is_no_vlan_is_refused_with_its_place(network: Network, port: UUID, other_port: UUID, vlan: str) -> None:
    assert "saps.1.vlan: " in refused_points(network, (port, "100"), (other_port, vlan))


def test_an_overlap_names_the_other_subscription_and_the_vlans(
    network: Network, service: UUID, port: UUID, other_port: UUID
) -> None:
    said = refused_points(network, (port, "105-120,300"), (other_port, "101"))
    assert f"VLAN 105-110 on port ams1 1/2/1 10G is in use by L2VPN 1000 Mbit/s ams1 ({service})" in said
    assert "VLAN 101" not in said


def test_the_forms_of_a_change_start_from_the_subscription(
    network: Network, service: UUID, port: UUID, other_port: UUID
) -> None:
    page = next_page(network, "modify_l2vpn", {"subscription_id": str(service)})
    assert page["properties"]["speed"]["default"] == 1000
    page = next_page(network, "modify_l2vpn", {"subscription_id": str(service)}, {})
    assert page["properties"]["saps"]["default"] == [
        {"port": str(port), "vlan": "100-110"},
        {"port": str(other_port), "vlan": "200"},
    ]


def test_nothing_to_choose_from_says_what_to_do() -> None:
    with pytest.raises(FormError, match="Add a site first"):
        OneOf("Site", [], otherwise="Add a site first.")


def refused_port(network: Network, name: str, speed: int = 1000) -> str:
    points = {"saps": [{"port": name, "vlan": "300"}, {"port": "ams1 1/2/2 10G", "vlan": "300"}]}
    return refusal(network, "create_l2vpn", {"product": "L2VPN"}, {"speed": speed}, points)


def test_an_access_point_on_a_port_that_does_not_exist_is_told_to_create_it(network: Network) -> None:
    said = refused_port(network, "ams1 1/2/99 10G")
    assert "saps.0.port: there is no port 'ams1 1/2/99 10G', create the port first; choose one of" in said


def test_an_access_point_on_a_port_out_of_sync_is_told_to_reconcile_it(network: Network, port: UUID) -> None:
    with network.database.transaction():
        put_out_of_sync(port)
    said = refused_port(network, str(port))
    assert f"is out of sync, reconcile it first: orchestrator run reconcile_port subscription_id={port}" in said


def test_an_access_point_on_a_port_half_made_is_told_to_wait(network: Network) -> None:
    network.lab.control.fail("job configure_port", times=1)
    page = {"port_name": "1/2/3", "port_mode": "tagged"}
    network.try_run("create_port", {"product": "Port 10G"}, {"node": "ams1"}, page)
    assert "port ams1 1/2/3 10G is not in service but provisioning" in refused_port(network, "ams1 1/2/3 10G")


def test_an_access_point_on_a_terminated_port_is_told_to_create_it(network: Network) -> None:
    gone = network.find("ams1 1/2/7 10G")
    network.run("terminate_port", {"subscription_id": str(gone)})
    assert "port ams1 1/2/7 10G is terminated, create the port first" in refused_port(network, "ams1 1/2/7 10G")


def test_an_access_point_on_a_slow_port_names_the_speed(network: Network) -> None:
    network.port("ams1", "1/3/1", "tagged", "100G")
    said = refused_port(network, "ams1 1/2/1 10G", speed=100_000)
    assert "port ams1 1/2/1 10G is slower than the service's 100000 Mbit/s" in said


# --- a network too large to list ---


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the ports of the small network were too many."""
    monkeypatch.setattr("orchestrator_defs.products.l2vpn.MOST_CHOICES", 1)


@pytest.mark.usefixtures("large")
def test_ports_of_a_large_network_are_not_listed_but_picked(network: Network) -> None:
    schema = next_page(network, "create_l2vpn", {"product": "L2VPN"}, {"speed": 1000})
    assert schema["$defs"]["AccessPointForm"]["properties"]["port"] == {
        "format": "subscriptionId",
        "title": "Port",
        "type": "string",
    }


@pytest.mark.usefixtures("large")
def test_port_of_a_large_network_is_given_by_id_or_description(network: Network, port: UUID, other_port: UUID) -> None:
    saps = {"saps": [{"port": str(port), "vlan": "7"}, {"port": "ams1 1/2/2 10G", "vlan": "8"}]}
    network.run("create_l2vpn", {"product": "L2VPN"}, {"speed": 1000}, saps)


@pytest.mark.usefixtures("large")
def test_unfit_port_of_a_large_network_is_refused_with_the_reason(network: Network, port: UUID) -> None:
    with network.database.transaction():
        put_out_of_sync(port)
    assert "is out of sync, reconcile it first" in refused_port(network, str(port))
