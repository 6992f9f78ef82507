"""NetBox through pynetbox, over real HTTP."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest

from resources.errors import ExternalSystemError, ExternalSystemUnavailable
from resources.lab.testing import Lab
from resources.systems.netbox import NetBox
from resources.systems.netbox_records import Device


def make_device(lab: Lab, name: str = "ams1", vendor: str = "Nokia", model: str = "7750 SR-7") -> Device:
    return lab.netbox.create_device(
        name, vendor=vendor, model=model, site="ams", role="pe", idempotency_key=f"n {name}"
    )


@pytest.fixture
def device(lab: Lab) -> Device:
    return make_device(lab)


def port(lab: Lab, device: Device, position: int = 0) -> int:
    return lab.netbox.free_interfaces(device.id)[position].id


# --- devices ---


def test_a_device_has_vendor_model_site_and_role_by_name(device: Device) -> None:
    assert (device.vendor, device.model, device.site, device.role) == (
        "Nokia",
        "7750 SR-7",
        "Amsterdam",
        "Provider edge",
    )


def test_creating_a_device_again_with_its_key_gives_the_same(lab: Lab, device: Device) -> None:
    assert make_device(lab) == device


def test_a_device_name_of_somebody_else_is_refused(lab: Lab, device: Device) -> None:
    with pytest.raises(ExternalSystemError, match="already has a device named 'ams1'"):
        lab.netbox.create_device("ams1", vendor="Nokia", model="7750 SR-7", site="ams", role="pe", idempotency_key="x")


def test_an_unknown_site_is_named_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(ExternalSystemError, match="no site 'mars'; it has: Amsterdam"):
        lab.netbox.create_device("m1", vendor="Nokia", model="7750 SR-7", site="mars", role="pe", idempotency_key="x")


def test_an_unknown_model_is_named_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(ExternalSystemError, match=r"no device type Nokia X; it has: .*Nokia 7750 SR-7"):
        lab.netbox.create_device("m1", vendor="Nokia", model="X", site="ams", role="pe", idempotency_key="x")


def test_a_device_is_found_by_its_name(lab: Lab, device: Device) -> None:
    assert lab.netbox.find_device("ams1") == device
    assert lab.netbox.find_device("ams2") is None


def test_an_update_changes_what_is_given_and_nothing_else(lab: Lab, device: Device) -> None:
    after = lab.netbox.update_device(device.id, status="active")
    assert after == replace(device, status="active")


def test_a_changed_description_does_not_lose_the_key(lab: Lab, device: Device) -> None:
    after = lab.netbox.update_device(device.id, description="core of Amsterdam")
    assert after.description == "core of Amsterdam"
    assert make_device(lab) == after


def test_updating_a_deleted_device_says_that_it_is_gone(lab: Lab, device: Device) -> None:
    lab.netbox.delete_device(device.id)
    with pytest.raises(ExternalSystemError, match=f"no devices with id {device.id}"):
        lab.netbox.update_device(device.id, status="active")


def test_deleting_a_device_may_run_twice(lab: Lab, device: Device) -> None:
    lab.netbox.reserve_loopback(device.id, idempotency_key="l")
    lab.netbox.delete_device(device.id)
    lab.netbox.delete_device(device.id)
    assert lab.netbox.devices() == []


def test_devices_are_listed_by_site_and_status(lab: Lab, device: Device) -> None:
    assert lab.netbox.devices(site="Amsterdam", status="planned") == [device]
    assert lab.netbox.devices(site="utr") == []
    assert lab.netbox.devices(status="active") == []


# --- loopbacks ---


def test_a_loopback_becomes_the_primary_address_of_its_device(lab: Lab, device: Device) -> None:
    loopback = lab.netbox.reserve_loopback(device.id, idempotency_key="l")
    after = lab.netbox.device(device.id)
    assert (after.ipv4_loopback, after.ipv6_loopback) == (loopback.ipv4, loopback.ipv6)


def test_a_loopback_is_reserved_once_per_key(lab: Lab, device: Device) -> None:
    first = lab.netbox.reserve_loopback(device.id, idempotency_key="l")
    assert lab.netbox.reserve_loopback(device.id, idempotency_key="l") == first


def test_a_released_loopback_is_given_out_again(lab: Lab, device: Device) -> None:
    first = lab.netbox.reserve_loopback(device.id, idempotency_key="l")
    lab.netbox.release_loopback(device.id)
    lab.netbox.release_loopback(device.id)
    assert lab.netbox.device(device.id).ipv4_loopback is None
    assert lab.netbox.reserve_loopback(device.id, idempotency_key="m").ipv4 == first.ipv4 == IPv4Address("10.10.0.1")


def test_a_loopback_is_no_port(lab: Lab, device: Device) -> None:
    lab.netbox.reserve_loopback(device.id, idempotency_key="l")
    assert len(lab.netbox.interfaces(device.id)) == 48


def test_twenty_at_once_get_twenty_loopbacks(lab: Lab) -> None:
    devices = [make_device(lab, f"ams{number}") for number in range(20)]

    def reserve(device: Device) -> IPv4Address:
        return lab.netbox.reserve_loopback(device.id, idempotency_key=f"l {device.name}").ipv4

    with ThreadPoolExecutor(20) as threads:
        addresses = set(threads.map(reserve, devices))
    assert len(addresses) == 20


# --- ports ---


@pytest.mark.parametrize("speed", [1_000, 10_000, 100_000, 400_000])
def test_a_new_device_has_free_ports_of_each_speed(lab: Lab, device: Device, speed: int) -> None:
    assert {one.speed for one in lab.netbox.free_interfaces(device.id, speed)} == {speed}


def test_a_speed_that_no_port_has_has_no_free_ports(lab: Lab, device: Device) -> None:
    assert lab.netbox.free_interfaces(device.id, 123) == []


def test_a_reserved_port_is_not_free(lab: Lab, device: Device) -> None:
    reserved = lab.netbox.reserve_interface(port(lab, device), description="customer A", idempotency_key="p")
    assert reserved.reserved
    assert reserved.description == "customer A"
    assert reserved.id not in [one.id for one in lab.netbox.free_interfaces(device.id)]


def test_reserving_a_port_again_with_the_key_gives_it_again(lab: Lab, device: Device) -> None:
    chosen = port(lab, device)
    first = lab.netbox.reserve_interface(chosen, description="customer A", idempotency_key="p")
    assert lab.netbox.reserve_interface(chosen, description="customer A", idempotency_key="p") == first


def test_a_port_of_somebody_else_is_refused_by_its_description(lab: Lab, device: Device) -> None:
    chosen = port(lab, device)
    lab.netbox.reserve_interface(chosen, description="customer A", idempotency_key="p")
    with pytest.raises(ExternalSystemError, match="1/1/1 of ams1 is not free, it has 'customer A'"):
        lab.netbox.reserve_interface(chosen, description="customer B", idempotency_key="q")


def test_ten_that_want_one_port_are_one_winner_and_nine_refusals(lab: Lab, device: Device) -> None:
    chosen = port(lab, device)

    def reserve(number: int) -> bool:
        try:
            lab.netbox.reserve_interface(chosen, description=f"customer {number}", idempotency_key=f"p {number}")
        except ExternalSystemError:
            return False
        return True

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(reserve, range(10))) == 1


def test_a_port_keeps_its_reservation_when_it_is_described_anew(lab: Lab, device: Device) -> None:
    chosen = port(lab, device)
    lab.netbox.reserve_interface(chosen, description="customer A", idempotency_key="p")
    after = lab.netbox.update_interface(chosen, description="customer A, second floor", enabled=False)
    assert (after.description, after.enabled) == ("customer A, second floor", False)
    assert lab.netbox.reserve_interface(chosen, description="anything", idempotency_key="p") == after


def test_a_released_port_is_free_whatever_it_had(lab: Lab, device: Device) -> None:
    chosen, other = port(lab, device), port(lab, device, 1)
    lab.netbox.reserve_interface(chosen, description="customer A", idempotency_key="p")
    lab.netbox.assign_vlans(chosen, [5], service="S1", idempotency_key="v")
    lab.netbox.create_cable(chosen, other, idempotency_key="c")
    lab.netbox.release_interface(chosen)
    lab.netbox.release_interface(chosen)
    after = lab.netbox.interface(chosen)
    assert (after.reserved, after.vlans, after.cable_id, after.enabled) == (False, (), None, False)
    assert not lab.netbox.interface(other).reserved


# --- core links ---


def test_link_prefixes_are_a_31_and_a_127(lab: Lab) -> None:
    prefixes = lab.netbox.reserve_link_prefixes(description="ams1-utr1", idempotency_key="l")
    assert (prefixes.ipv4, prefixes.ipv6) == (IPv4Network("10.20.0.0/31"), IPv6Network("fd00:20::/127"))


def test_link_prefixes_are_reserved_once_per_key(lab: Lab) -> None:
    first = lab.netbox.reserve_link_prefixes(description="ams1-utr1", idempotency_key="l")
    assert lab.netbox.reserve_link_prefixes(description="ams1-utr1", idempotency_key="l") == first


def test_half_a_reservation_is_completed(lab: Lab) -> None:
    lab.control.fail("POST /api/ipam/prefixes/*/available-prefixes", times=2)
    lab.control.heal()
    first = lab.netbox.reserve_link_prefixes(description="l", idempotency_key="l")
    lab.netbox.release_link_prefixes(first.ipv6_id, first.ipv6_id)
    again = lab.netbox.reserve_link_prefixes(description="l", idempotency_key="l")
    assert again.ipv4_id == first.ipv4_id
    assert again.ipv6 == first.ipv6


def test_twenty_at_once_get_twenty_link_prefixes(lab: Lab) -> None:
    def reserve(number: int) -> IPv4Network:
        return lab.netbox.reserve_link_prefixes(description="", idempotency_key=f"l {number}").ipv4

    with ThreadPoolExecutor(20) as threads:
        assert len(set(threads.map(reserve, range(20)))) == 20


def test_released_link_prefixes_are_given_out_again(lab: Lab) -> None:
    first = lab.netbox.reserve_link_prefixes(description="", idempotency_key="l")
    lab.netbox.release_link_prefixes(first.ipv4_id, first.ipv6_id)
    lab.netbox.release_link_prefixes(first.ipv4_id, first.ipv6_id)
    assert lab.netbox.reserve_link_prefixes(description="", idempotency_key="m").ipv4 == first.ipv4


def test_a_missing_container_is_named_by_its_role(lab: Lab) -> None:
    netbox = NetBox(url=lab.url, token="lab", core_link_role="backbone")
    with pytest.raises(ExternalSystemError, match="no IPv4 prefix with role 'backbone' and status container"):
        netbox.reserve_link_prefixes(description="", idempotency_key="l")


def test_a_cable_is_made_once_and_found_from_both_ends(lab: Lab, device: Device) -> None:
    a, b = port(lab, device), port(lab, device, 1)
    cable = lab.netbox.create_cable(a, b, idempotency_key="c", description="core")
    assert lab.netbox.create_cable(b, a, idempotency_key="c") == cable
    assert lab.netbox.find_cable(b, a) == cable
    assert lab.netbox.interface(a).cable_id == cable.id


def test_a_second_cable_on_a_port_is_refused_in_netboxs_words(lab: Lab, device: Device) -> None:
    a, b, c = (port(lab, device, position) for position in range(3))
    lab.netbox.create_cable(a, b, idempotency_key="c")
    with pytest.raises(ExternalSystemError, match="Duplicate termination found"):
        lab.netbox.create_cable(a, c, idempotency_key="d")


def test_a_cable_can_be_taken_out_twice(lab: Lab, device: Device) -> None:
    a, b = port(lab, device), port(lab, device, 1)
    cable = lab.netbox.create_cable(a, b, idempotency_key="c")
    lab.netbox.delete_cable(cable.id)
    lab.netbox.delete_cable(cable.id)
    assert lab.netbox.find_cable(a, b) is None


# --- VLANs ---


def test_vlans_belong_to_their_service(lab: Lab, device: Device) -> None:
    chosen = port(lab, device)
    after = lab.netbox.assign_vlans(chosen, [0, 10, 11], service="S1", idempotency_key="v")
    lab.netbox.assign_vlans(chosen, [20], service="S2", idempotency_key="w")
    assert after.vlans == (0, 10, 11)
    assert lab.netbox.vlans_in_use(chosen) == {0: "S1", 10: "S1", 11: "S1", 20: "S2"}


def test_assigning_vlans_again_changes_nothing(lab: Lab, device: Device) -> None:
    chosen = port(lab, device)
    first = lab.netbox.assign_vlans(chosen, [10], service="S1", idempotency_key="v")
    assert lab.netbox.assign_vlans(chosen, [10], service="S1", idempotency_key="v") == first


def test_assigning_other_vlans_releases_those_of_before(lab: Lab, device: Device) -> None:
    chosen = port(lab, device)
    lab.netbox.assign_vlans(chosen, [10, 11], service="S1", idempotency_key="v")
    lab.netbox.assign_vlans(chosen, [11, 12], service="S1", idempotency_key="w")
    assert lab.netbox.vlans_in_use(chosen) == {11: "S1", 12: "S1"}


def test_a_vlan_of_another_service_is_refused_and_nothing_changed(lab: Lab, device: Device) -> None:
    chosen = port(lab, device)
    lab.netbox.assign_vlans(chosen, [10], service="S1", idempotency_key="v")
    with pytest.raises(ExternalSystemError, match="VLAN 10 on 1/1/1 of ams1 belongs to S1; S2 needs another"):
        lab.netbox.assign_vlans(chosen, [9, 10], service="S2", idempotency_key="w")
    assert lab.netbox.vlans_in_use(chosen) == {10: "S1"}


def test_releasing_the_vlans_of_a_service_leaves_the_others(lab: Lab, device: Device) -> None:
    chosen = port(lab, device)
    lab.netbox.assign_vlans(chosen, [10], service="S1", idempotency_key="v")
    lab.netbox.assign_vlans(chosen, [20], service="S2", idempotency_key="w")
    lab.netbox.release_vlans(chosen, service="S1")
    lab.netbox.release_vlans(chosen, service="S1")
    assert lab.netbox.vlans_in_use(chosen) == {20: "S2"}


def test_one_vlan_number_can_serve_on_two_ports(lab: Lab, device: Device) -> None:
    a, b = port(lab, device), port(lab, device, 1)
    lab.netbox.assign_vlans(a, [10], service="S1", idempotency_key="v")
    lab.netbox.assign_vlans(b, [10], service="S2", idempotency_key="w")
    lab.netbox.release_vlans(a, service="S1")
    assert lab.netbox.vlans_in_use(b) == {10: "S2"}


# --- L2VPNs ---


def test_an_l2vpn_has_the_lowest_free_vni_and_its_route_target(lab: Lab) -> None:
    first = lab.netbox.reserve_l2vpn("A", idempotency_key="a")
    lab.netbox.reserve_l2vpn("B", idempotency_key="b")
    lab.netbox.release_l2vpn(first.id)
    lab.netbox.release_l2vpn(first.id)
    third = lab.netbox.reserve_l2vpn("C", idempotency_key="c")
    assert (third.vni, third.route_target) == (10001, "65000:10001")


def test_an_l2vpn_is_reserved_once_per_key(lab: Lab) -> None:
    first = lab.netbox.reserve_l2vpn("A", idempotency_key="a")
    assert lab.netbox.reserve_l2vpn("A", idempotency_key="a") == first == lab.netbox.find_l2vpn("A")


def test_an_l2vpn_name_of_somebody_else_is_refused(lab: Lab) -> None:
    lab.netbox.reserve_l2vpn("A", idempotency_key="a")
    with pytest.raises(ExternalSystemError, match="already has an L2VPN named 'A'"):
        lab.netbox.reserve_l2vpn("A", idempotency_key="b")


def test_an_l2vpn_interrupted_after_its_route_target_takes_no_second(lab: Lab) -> None:
    lab.control.fail("POST /api/vpn/l2vpns", times=1)
    with pytest.raises(ExternalSystemUnavailable):
        lab.netbox.reserve_l2vpn("A", idempotency_key="a")
    assert lab.netbox.reserve_l2vpn("A", idempotency_key="a").vni == 10001
    assert lab.netbox.reserve_l2vpn("B", idempotency_key="b").vni == 10002


def test_ten_at_once_get_ten_vnis(lab: Lab) -> None:
    def reserve(number: int) -> int:
        return lab.netbox.reserve_l2vpn(f"S{number}", idempotency_key=f"s {number}").vni

    with ThreadPoolExecutor(10) as threads:
        assert sorted(threads.map(reserve, range(10))) == list(range(10001, 10011))


# --- failures ---


def test_nobody_there_is_unavailable_with_the_address_and_advice() -> None:
    netbox = NetBox(url="http://127.0.0.1:9", token="secret")
    with pytest.raises(ExternalSystemUnavailable, match=r"127\.0\.0\.1:9.*connection refused.*check NETBOX_URL"):
        netbox.sites()


def test_a_slow_answer_is_unavailable_after_the_timeout(lab: Lab) -> None:
    lab.control.slow(2)
    with pytest.raises(ExternalSystemUnavailable, match=r"no answer in 0\.1 s"):
        NetBox(url=lab.url, token="lab", timeout=0.1).sites()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_passing_failure_is_unavailable(lab: Lab, status: int) -> None:
    lab.control.fail("/api/dcim/sites", status=status)
    with pytest.raises(ExternalSystemUnavailable, match=f"answered {status} to GET"):
        lab.netbox.sites()


def test_a_lasting_failure_is_an_error(lab: Lab) -> None:
    lab.control.fail("/api/dcim/sites", status=500)
    with pytest.raises(ExternalSystemError, match="with 500: A rule of the lab fails this") as caught:
        lab.netbox.sites()
    assert not isinstance(caught.value, ExternalSystemUnavailable)


def test_a_wrong_token_is_refused_and_not_shown(lab: Lab) -> None:
    with pytest.raises(ExternalSystemError, match="Invalid token") as caught:
        NetBox(url=lab.url, token="top-secret").sites()
    assert "top-secret" not in str(caught.value)


def test_a_password_in_the_address_is_not_shown() -> None:
    with pytest.raises(ExternalSystemUnavailable) as caught:
        NetBox(url="http://user:top-secret@127.0.0.1:9", token="t").sites()
    assert "top-secret" not in str(caught.value)


def test_what_is_no_netbox_is_said_to_be_none(lab: Lab) -> None:
    with pytest.raises(ExternalSystemError, match="no NetBox"):
        NetBox(url=f"{lab.url}/nowhere", token="lab").sites()


def test_the_idempotency_key_goes_with_each_change(lab: Lab, device: Device) -> None:
    lab.netbox.reserve_loopback(device.id, idempotency_key="process:step")
    keys = {call.idempotency_key for call in lab.control.calls() if "ip" in call.path.split("/")[2]}
    assert keys == {"process:step"}


def test_observation_has_each_object_that_is_named_and_none_for_what_is_gone(lab: Lab, device: Device) -> None:
    port = lab.netbox.interfaces(device.id)[0]
    assert lab.netbox.observe(device="ams1", interface=port.id) == {"device": device, "interface": port}
    assert lab.netbox.observe(device="utr1", interface=port.id + 100_000, l2vpn="none") == {
        "device": None,
        "interface": None,
        "l2vpn": None,
    }
