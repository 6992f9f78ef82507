"""The levers of the lab: drift, moods, records, and its memory."""

import time

import pytest

from resources.database.session import SubscriptionDatabase
from resources.errors import ExternalSystemError, ExternalSystemUnavailable
from resources.lab.control import LabControl
from resources.lab.testing import Lab, lab_server
from resources.systems.playbooks import Difference

PORT = {"device": "ams1", "interface": "1/1/1", "description": "customer A", "enabled": True}
SERVICE = {"service": "S1", "vni": 10001, "endpoints": [{"device": "ams1", "interface": "1/1/1", "vlan": 10}]}


@pytest.fixture
def configured(lab: Lab) -> Lab:
    """A lab with a port and a service on ams1."""
    lab.playbooks.run("configure_port", PORT, idempotency_key="port")
    lab.playbooks.run("configure_l2vpn", SERVICE, idempotency_key="service")
    return lab


# --- drift ---


def test_drift_without_a_word_disturbs_a_port(configured: Lab) -> None:
    configured.control.drift("ams1")
    assert set(configured.playbooks.check("configure_port", PORT)) == {
        Difference("ams1.interfaces.1/1/1.description", expected="customer A", actual="changed by hand"),
        Difference("ams1.interfaces.1/1/1.enabled", expected=True, actual=False),
    }


def test_drift_of_a_service_is_found_in_the_service_alone(configured: Lab) -> None:
    configured.control.drift("ams1", service="S1", values={"vni": 666})
    assert configured.playbooks.check("configure_l2vpn", SERVICE) == (
        Difference("ams1.services.S1.vni", expected=10001, actual=666),
    )
    assert configured.playbooks.check("configure_port", PORT) == ()


def test_drift_is_put_right_by_the_playbook(configured: Lab) -> None:
    configured.control.drift("ams1", interface="1/1/1", values={"mtu": 1500})
    configured.playbooks.run("configure_port", PORT, idempotency_key="reconcile")
    assert configured.playbooks.check("configure_port", PORT) == ()


def test_drift_says_what_it_changed(configured: Lab) -> None:
    drift = configured.control.drift("ams1", interface="1/1/1", values={"enabled": False})
    assert drift.where == "ams1 interfaces 1/1/1"
    assert (drift.before["enabled"], drift.after["enabled"]) == (True, False)


def test_drift_of_what_is_not_there_names_what_is(configured: Lab) -> None:
    with pytest.raises(ExternalSystemError, match="no interface '9/9/9' configured; it has: 1/1/1"):
        configured.control.drift("ams1", interface="9/9/9")


def test_drift_of_an_unknown_device_names_the_known_ones(configured: Lab) -> None:
    with pytest.raises(ExternalSystemError, match="device 'nowhere'; configured are: ams1"):
        configured.control.drift("nowhere")


def test_a_wiped_device_differs_in_everything(configured: Lab) -> None:
    configured.control.wipe("ams1")
    assert configured.playbooks.check("configure_port", PORT)
    assert configured.playbooks.check("configure_l2vpn", SERVICE)


def test_drift_in_netbox_is_seen_in_netbox(lab: Lab) -> None:
    device = lab.netbox.create_device(
        "ams1", vendor="Nokia", model="7750 SR-7", site="ams", role="pe", idempotency_key="a"
    )
    lab.control.drift_in_netbox("ams1", interface="1/1/1", values={"enabled": False})
    assert not lab.netbox.interfaces(device.id)[0].enabled


# --- moods ---


def test_a_failure_applies_as_often_as_said(lab: Lab) -> None:
    lab.control.fail("GET /api/dcim/sites", times=2)
    for _ in range(2):
        with pytest.raises(ExternalSystemUnavailable):
            lab.netbox.sites()
    assert lab.netbox.sites()


def test_a_failure_hits_what_matches_and_nothing_else(lab: Lab) -> None:
    lab.control.fail("/api/dcim/*/")
    assert lab.playbooks.observe("ams1")
    with pytest.raises(ExternalSystemUnavailable):
        lab.netbox.sites()


def test_a_refused_call_has_changed_nothing(lab: Lab) -> None:
    lab.control.fail("POST /api/ipam")
    with pytest.raises(ExternalSystemUnavailable):
        lab.netbox.reserve_link_prefixes(description="", idempotency_key="a")
    lab.control.heal()
    assert str(lab.netbox.reserve_link_prefixes(description="", idempotency_key="b").ipv4) == "10.20.0.0/31"


def test_a_slow_lab_takes_its_time(lab: Lab) -> None:
    lab.control.slow(0.3)
    before = time.monotonic()
    lab.netbox.sites()
    assert time.monotonic() - before >= 0.3


def test_healing_ends_all_moods(lab: Lab) -> None:
    lab.control.slow(5)
    lab.control.fail()
    lab.control.heal()
    assert lab.control.rules() == []
    assert lab.netbox.sites()


# --- records and memory ---


def test_calls_that_change_something_are_recorded_with_their_key(lab: Lab) -> None:
    lab.netbox.sites()
    lab.playbooks.run("configure_port", PORT, idempotency_key="process:step")
    calls = lab.control.calls()
    assert [(call.method, call.path, call.idempotency_key, call.status) for call in calls] == [
        ("POST", "/playbooks/configure_port", "process:step", 202)
    ]
    assert calls[0].body["extra_vars"] == PORT


def test_refused_calls_are_recorded_too(lab: Lab) -> None:
    lab.control.fail("/playbooks/", status=500)
    with pytest.raises(ExternalSystemError):
        lab.playbooks.start("configure_port", PORT, idempotency_key="a")
    assert [call.status for call in lab.control.calls()] == [500]


def test_the_lab_remembers_over_its_end(database: SubscriptionDatabase) -> None:
    with lab_server(database) as lab:
        lab.playbooks.run("configure_port", PORT, idempotency_key="a")
    with lab_server(database) as lab:
        assert lab.playbooks.check("configure_port", PORT) == ()


def test_a_job_that_was_cut_off_is_done_when_the_lab_is_back(database: SubscriptionDatabase) -> None:
    with lab_server(database) as lab:
        lab.control.slow(3, "job ", times=1)
        job = lab.playbooks.start("configure_port", PORT, idempotency_key="a")
    with lab_server(database) as lab:
        assert lab.playbooks.wait(job).status == "successful"


def test_a_reset_lab_is_as_new(configured: Lab) -> None:
    configured.control.reset()
    assert configured.control.devices() == {}
    assert configured.control.calls() == []
    assert configured.netbox.devices() == []
    made = configured.netbox.create_device(
        "ams1", vendor="Nokia", model="7750 SR-7", site="ams", role="pe", idempotency_key="a"
    )
    assert len(configured.netbox.interfaces(made.id)) == 48


def test_installing_twice_keeps_what_is_there(configured: Lab, database: SubscriptionDatabase) -> None:
    assert list(LabControl(database).devices()) == ["ams1"]
