"""Each product's whole life, against the lab: what is handed out, configured, compared, put right and given back."""

import time
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

import pytest

from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.server_settings import ApiSettings
from resources.domain.models.vlans import VlanRanges
from resources.errors import FormInvalid, StartRefused
from resources.products.core_link import DRAINED_METRIC
from resources.products.node import NodeStatus
from resources.settings import settings
from resources.types import ProcessStatus, SubscriptionLifecycle
from tests.api import serving
from tests.test_products.conftest import OPERATOR, Network, access_points


def on(subscription_id: UUID) -> dict[str, str]:
    """The first page of a workflow on a subscription."""
    return {"subscription_id": str(subscription_id)}


@pytest.fixture
def lon1(network: Network) -> UUID:
    """A node without ports."""
    return network.node("lon1")


@pytest.fixture
def free_port(network: Network) -> UUID:
    """A port that nobody uses."""
    return network.port("ams1", "1/2/5")


# --- node ---


def test_a_new_node_is_in_the_inventory_with_its_addresses(network: Network, lon1: UUID) -> None:
    subscription = network.subscription(lon1)
    device = network.lab.netbox.find_device("lon1")
    assert device is not None
    assert (device.id, device.status, device.site) == (subscription.node.ims_id, "active", "Amsterdam")
    assert device.ipv4_loopback == subscription.node.ipv4_loopback
    assert device.ipv6_loopback == subscription.node.ipv6_loopback


def test_a_new_node_is_active_and_described(network: Network, lon1: UUID) -> None:
    subscription = network.subscription(lon1)
    assert (subscription.status, subscription.insync) == (SubscriptionLifecycle.ACTIVE, True)
    assert subscription.description == "Node lon1 Nokia"


def test_a_new_node_is_configured(network: Network, lon1: UUID) -> None:
    system = network.lab.playbooks.observe("lon1")["system"]
    assert system["ipv4_loopback"] == str(network.subscription(lon1).node.ipv4_loopback)


def test_an_offline_node_is_overloaded(network: Network, lon1: UUID) -> None:
    network.run("modify_node", on(lon1), {"node_status": "offline", "node_description": "Closed"})
    assert network.subscription(lon1).node.node_status is NodeStatus.OFFLINE
    assert network.lab.netbox.find_device("lon1").status == "offline"  # type: ignore[union-attr]
    assert network.lab.playbooks.observe("lon1")["system"]["overload"] is True


def test_a_terminated_node_gives_everything_back(network: Network, lon1: UUID) -> None:
    addresses = network.subscription(lon1).node.ipv4_loopback
    network.run("terminate_node", on(lon1))
    assert network.subscription(lon1).status == SubscriptionLifecycle.TERMINATED
    assert network.lab.netbox.find_device("lon1") is None
    assert network.subscription(network.node("lon1")).node.ipv4_loopback == addresses


def test_a_node_with_ports_cannot_be_terminated(network: Network) -> None:
    ams1 = network.find("Node ams1 Nokia")
    with pytest.raises(StartRefused) as refused:
        network.processes.starts.start("terminate_node", [on(ams1)], user=OPERATOR)
    assert refused.value.reason == "subscription.no_modify_subscription_in_use_by_others"


def redeploying(network: Network, node: UUID) -> UUID:
    """A process that redeploys a node whose device was changed by hand, and asks whether it may."""
    network.lab.control.drift("lon1", values={"location": "Nowhere"})
    process = network.try_run("redeploy_node", on(node))
    assert process.last_status == ProcessStatus.SUSPENDED
    return process.process_id


def test_a_redeployment_shows_what_would_change(network: Network, lon1: UUID) -> None:
    page = network.processes.answers.next_page(redeploying(network, lon1))
    assert page is not None
    table = page.schema["properties"]["changes"]["uniforms"]["data"]
    assert [table["headers"], table["columns"]] == [["lon1.system.location"], [["Nowhere"], ["Amsterdam"]]]


def test_a_redeployment_that_nobody_agrees_to_changes_nothing(network: Network, lon1: UUID) -> None:
    process_id = redeploying(network, lon1)
    with pytest.raises(FormInvalid, match="agree to continue, or abort"):
        network.processes.answers.answer(process_id, [{"go_ahead": False}], user=OPERATOR)
    assert network.lab.playbooks.observe("lon1")["system"]["location"] == "Nowhere"


@pytest.fixture
def called_back(network: Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server where the runner calls back to."""
    app = create_app(ApiSettings(oauth2_active=False), network.orchestrator, instance=network.processes.instance)
    with serving(app) as address:
        monkeypatch.setenv("BASE_URL", address)
        settings.cache_clear()
        yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("called_back")
def test_a_redeployment_ends_when_the_runner_calls_back(network: Network, lon1: UUID) -> None:
    process_id = redeploying(network, lon1)
    network.processes.answers.answer(process_id, [{"go_ahead": True}], user=OPERATOR)
    network.execute(process_id)
    give_up = time.monotonic() + 100
    while (
        network.processes.queries.status(process_id) is ProcessStatus.AWAITING_CALLBACK and time.monotonic() < give_up
    ):
        time.sleep(0.02)
    if (
        network.processes.queries.status(process_id) is ProcessStatus.RESUMED
    ):  # not when it called before it was waited for
        network.execute(process_id)
    assert network.processes.queries.status(process_id) is ProcessStatus.COMPLETED
    assert network.lab.playbooks.observe("lon1")["system"]["location"] == "Amsterdam"


# --- port ---


def test_a_new_port_is_reserved_and_configured(network: Network, free_port: UUID) -> None:
    subscription = network.subscription(free_port)
    interface = network.lab.netbox.interface(subscription.port.ims_id)
    assert subscription.description == "ams1 1/2/5 10G"
    assert (interface.name, interface.reserved, interface.enabled) == ("1/2/5", True, True)
    assert network.lab.playbooks.observe("ams1")["interfaces"]["1/2/5"]["speed"] == 10_000


def test_a_changed_port_is_changed_everywhere(network: Network, port: UUID) -> None:
    network.run("modify_port", on(port), {"port_description": "Library", "enabled": False})
    assert network.lab.netbox.interface(network.subscription(port).port.ims_id).description == "Library"
    configured = network.lab.playbooks.observe("ams1")["interfaces"]["1/2/1"]
    assert (configured["description"], configured["enabled"]) == ("Library", False)


def test_a_port_in_use_cannot_be_terminated(network: Network, service: UUID, port: UUID) -> None:
    with pytest.raises(StartRefused) as refused:
        network.processes.starts.start("terminate_port", [on(port)], user=OPERATOR)
    assert refused.value.reason == "subscription.no_modify_subscription_in_use_by_others"
    assert str(service) in str(refused.value.details)


def test_a_terminated_port_is_free_again(network: Network, free_port: UUID) -> None:
    network.run("terminate_port", on(free_port))
    device = network.lab.netbox.find_device("ams1")
    assert device is not None
    assert "1/2/5" in [interface.name for interface in network.lab.netbox.free_interfaces(device.id, 10_000)]
    assert "1/2/5" not in network.lab.playbooks.observe("ams1")["interfaces"]


# --- core link ---


def test_a_new_core_link_is_numbered_at_both_ends(network: Network, core_link: UUID) -> None:
    link = network.subscription(core_link).core_link
    assert isinstance(link.ipv4_prefix, IPv4Network)
    assert isinstance(link.ipv6_prefix, IPv6Network)
    assert (link.ipv4_prefix.prefixlen, link.ipv6_prefix.prefixlen) == (31, 127)
    assert [end.ipv4_address for end in link.ports] == list(link.ipv4_prefix.hosts())
    assert {end.ipv6_address for end in link.ports} == set(link.ipv6_prefix)


def test_a_new_core_link_is_cabled_and_described(network: Network, core_link: UUID) -> None:
    subscription = network.subscription(core_link)
    ids = [end.port.ims_id for end in subscription.core_link.ports]
    assert network.lab.netbox.find_cable(ids[0], ids[1]).id == subscription.core_link.ims_id  # type: ignore[union-attr]
    assert subscription.description == "Core link ams1 1/2/12 - utr1 1/2/12"


def test_maintenance_drains_the_link(network: Network, core_link: UUID) -> None:
    network.run("modify_core_link", on(core_link), {"under_maintenance": True})
    assert network.subscription(core_link).description.endswith("(maintenance)")
    for node in ("ams1", "utr1"):
        interface = network.lab.playbooks.observe(node)["interfaces"]["1/2/12"]
        assert interface["core_link"]["isis_metric"] == DRAINED_METRIC


def test_a_terminated_core_link_gives_everything_back(network: Network, core_link: UUID) -> None:
    link = network.subscription(core_link).core_link
    network.run("terminate_core_link", on(core_link))
    ids = [end.port.ims_id for end in link.ports]
    assert network.lab.netbox.find_cable(ids[0], ids[1]) is None
    again = network.core_link("ams1", "utr1", *(end.port.owner_subscription_id for end in link.ports))
    assert network.subscription(again).core_link.ipv4_prefix == link.ipv4_prefix


# --- L2VPN ---


def test_a_new_l2vpn_has_its_vni_and_vlans(network: Network, service: UUID, port: UUID) -> None:
    subscription = network.subscription(service)
    reserved = network.lab.netbox.find_l2vpn(subscription.service_name)
    assert reserved is not None
    assert (reserved.vni, reserved.id) == (subscription.virtual_circuit.vni, subscription.virtual_circuit.ims_id)
    in_use = network.lab.netbox.vlans_in_use(network.subscription(port).port.ims_id)
    assert VlanRanges(in_use) == VlanRanges("100-110")
    assert set(in_use.values()) == {subscription.service_name}


def test_a_new_l2vpn_is_configured(network: Network, service: UUID) -> None:
    name = network.subscription(service).service_name
    assert network.lab.playbooks.observe("ams1")["services"][name]["speed"] == 1000


def test_a_changed_l2vpn_keeps_the_blocks_of_ports_that_stay(network: Network, service: UUID, port: UUID) -> None:
    third = network.port("utr1", "1/2/1")
    before = network.subscription(service)
    network.run("modify_l2vpn", on(service), {"speed": 5000}, access_points((third, "7"), (port, "105")))
    after = network.subscription(service)
    assert [str(sap.vlan) for sap in after.virtual_circuit.saps] == ["7", "105"]
    kept, first = after.virtual_circuit.saps[1], before.virtual_circuit.saps[0]
    assert kept.subscription_instance_id == first.subscription_instance_id
    assert after.description == "L2VPN 5000 Mbit/s utr1-ams1"


def test_a_changed_l2vpn_releases_the_vlans_that_it_leaves(
    network: Network, service: UUID, port: UUID, other_port: UUID
) -> None:
    third = network.port("utr1", "1/2/1")
    network.run("modify_l2vpn", on(service), {}, access_points((port, "105"), (third, "7")))
    assert network.lab.netbox.vlans_in_use(network.subscription(other_port).port.ims_id) == {}
    assert set(network.lab.netbox.vlans_in_use(network.subscription(port).port.ims_id)) == {105}
    network.l2vpn((port, "100"), (other_port, "200"))


def test_an_l2vpn_may_join_an_untagged_port(network: Network, port: UUID) -> None:
    untagged = network.find("ams1 1/2/7 10G")
    service = network.l2vpn((port, "300"), (untagged, "0"))
    network.run("validate_l2vpn", on(service))


def test_a_terminated_l2vpn_makes_its_vlans_free(network: Network, service: UUID, port: UUID, other_port: UUID) -> None:
    name = network.subscription(service).service_name
    network.run("terminate_l2vpn", on(service))
    assert network.lab.netbox.find_l2vpn(name) is None
    assert name not in network.lab.playbooks.observe("ams1")["services"]
    network.l2vpn((port, "100-110"), (other_port, "200"))


# --- drift ---


@pytest.mark.parametrize("product", ["node", "port", "core_link", "l2vpn"])
def test_what_was_made_is_as_wanted(network: Network, core_link: UUID, service: UUID, product: str) -> None:
    subscriptions = {
        "node": network.subscription(core_link).core_link.ports[0].port.node.owner_subscription_id,
        "port": network.subscription(core_link).core_link.ports[0].port.owner_subscription_id,
        "core_link": core_link,
        "l2vpn": service,
    }
    network.run(f"validate_{product}", on(subscriptions[product]))


def test_drift_in_the_inventory_is_found_and_put_right(network: Network) -> None:
    ams1 = network.find("Node ams1 Nokia")
    device_id = network.subscription(ams1).node.ims_id
    network.lab.netbox.update_device(device_id, status="offline", description="by hand")
    process = network.try_run("validate_node", on(ams1))
    assert process.last_status == ProcessStatus.INCONSISTENT_DATA
    assert "netbox.status is 'offline' and should be 'active'" in str(process.failed_reason)
    assert "netbox.description is 'by hand' and should be ''" in str(process.failed_reason)
    assert not network.insync(ams1)
    network.run("reconcile_node", on(ams1))
    assert network.insync(ams1)
    network.run("validate_node", on(ams1))


def test_a_device_renamed_and_renumbered_gets_its_name_and_addresses_back(network: Network) -> None:
    ams1 = network.find("Node ams1 Nokia")
    before = network.subscription(ams1).node
    network.lab.netbox.release_loopback(before.ims_id)
    network.lab.netbox.update_device(before.ims_id, name="ams1-old", site="Utrecht")
    network.try_run("validate_node", {"subscription_id": str(ams1)})
    network.run("reconcile_node", on(ams1))
    network.run("validate_node", on(ams1))
    device = network.lab.netbox.find_device("ams1")
    assert device is not None
    assert (device.site, device.ipv6_loopback) == ("Amsterdam", before.ipv6_loopback)


def test_prefixes_given_away_are_found_and_put_back(network: Network, core_link: UUID) -> None:
    link = network.subscription(core_link).core_link
    network.lab.netbox.release_link_prefixes(link.ipv4_prefix_ipam_id, link.ipv6_prefix_ipam_id)
    process = network.try_run("validate_core_link", on(core_link))
    assert "netbox.prefixes is missing" in str(process.failed_reason)
    network.run("reconcile_core_link", on(core_link))
    network.run("validate_core_link", on(core_link))


def test_a_cable_pulled_out_is_found_and_put_back(network: Network, core_link: UUID) -> None:
    network.lab.netbox.delete_cable(network.subscription(core_link).core_link.ims_id)
    process = network.try_run("validate_core_link", on(core_link))
    assert "netbox.cable is missing and should be" in str(process.failed_reason)
    network.run("reconcile_core_link", on(core_link))
    network.run("validate_core_link", on(core_link))


def test_vlans_taken_away_are_found_and_put_back(network: Network, service: UUID, port: UUID) -> None:
    subscription = network.subscription(service)
    network.lab.netbox.release_vlans(network.subscription(port).port.ims_id, service=subscription.service_name)
    process = network.try_run("validate_l2vpn", on(service))
    assert "netbox.ams1 1/2/1.vlan is '' and should be '100-110'" in str(process.failed_reason)
    network.run("reconcile_l2vpn", on(service))
    network.run("validate_l2vpn", on(service))


def test_a_service_that_netbox_lost_gets_a_number_again(network: Network, service: UUID) -> None:
    network.lab.netbox.release_l2vpn(network.subscription(service).virtual_circuit.ims_id)
    process = network.try_run("validate_l2vpn", on(service))
    assert "netbox is missing" in str(process.failed_reason)
    network.run("reconcile_l2vpn", on(service))
    network.run("validate_l2vpn", on(service))
