"""`orchestrator lab`, as typed."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli.lab import lab as command
from resources.catalogue.catalogue import Catalogue
from resources.database.session import SubscriptionDatabase
from resources.lab.testing import Lab, lab_server

PORT = {"device": "ams1", "interface": "1/1/1", "description": "customer A", "enabled": True}


@pytest.fixture
def lab(database: SubscriptionDatabase) -> Iterator[Lab]:
    """A lab with one port configured."""
    with lab_server(database) as lab:
        lab.playbooks.run("configure_port", PORT, idempotency_key="process:step")
        yield lab


@pytest.fixture
def typed(database: SubscriptionDatabase, lab: Lab) -> Any:
    """Types `orchestrator lab …`."""
    application = SimpleNamespace(database=database, catalogue=Catalogue([]))

    def call(*words: str) -> Result:
        return CliRunner().invoke(command, words, obj=application)

    return call


def test_drift_shows_what_it_changed(typed: Any, lab: Lab) -> None:
    result = typed("drift", "ams1", "--interface", "1/1/1", "--set", "enabled=false", "--set", "description=gone")
    assert result.output.splitlines() == [
        "ams1 interfaces 1/1/1: enabled true -> false",
        'ams1 interfaces 1/1/1: description "customer A" -> "gone"',
    ]
    assert len(lab.playbooks.check("configure_port", PORT)) == 2


def test_drift_in_netbox_changes_netbox(typed: Any, lab: Lab) -> None:
    lab.netbox.create_device("ams1", vendor="Nokia", model="7750 SR-7", site="ams", role="pe", idempotency_key="a")
    assert '-> "changed by hand"' in typed("drift", "ams1", "--netbox").output
    found = lab.netbox.find_device("ams1")
    assert found is not None
    assert found.description == "changed by hand"


def test_an_unknown_device_is_a_sentence_and_exit_code_1(typed: Any) -> None:
    result = typed("drift", "nowhere")
    assert result.exit_code == 1
    assert "No playbook has configured a device 'nowhere'; configured are: ams1." in result.output


def test_a_malformed_value_is_refused(typed: Any) -> None:
    assert "'enabled' is not KEY=VALUE" in typed("drift", "ams1", "--set", "enabled").output


def test_moods_are_set_shown_and_healed(typed: Any) -> None:
    typed("fail", "job configure_port", "--times", "2")
    typed("slow", "0.5", "--only", "/api")
    output = typed("status").output
    assert "It fails (503) job configure_port, 2 more times." in output
    assert "It waits 0.5 s at /api." in output
    typed("heal")
    assert "It fails" not in typed("status").output


def test_calls_are_listed_with_their_keys(typed: Any) -> None:
    assert "process:s…" not in typed("calls", "--json").output
    assert "process:s…" in typed("calls").output
    assert json.loads(typed("calls", "--json").output)[0]["body"]["extra_vars"] == PORT


def test_a_line_of_calls_fits_a_terminal(typed: Any, lab: Lab) -> None:
    key = "0d1f6c2e-8f34-4a35-9b0c-9cf0a4f2f6d1:reserve_prefixes"
    lab.netbox.reserve_link_prefixes(description="a link", idempotency_key=key)
    lines = [line.rstrip() for line in typed("calls").output.splitlines()]
    assert any("available-prefixes" in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert key in typed("calls", "--json").output


@pytest.fixture
def service(lab: Lab) -> str:
    """The name of an L2VPN on ams1."""
    endpoint = {"device": "ams1", "interface": "1/1/1", "vlan": "100"}
    common = {"vni": 10001, "description": "L2VPN 1000 Mbit/s ams1", "endpoints": [endpoint]}
    lab.playbooks.run("configure_l2vpn", {"service": "l2vpn-0123", **common}, idempotency_key="l2vpn")
    other = {"service": "l2vpn-4567", **common, "vni": 10002, "description": "L2VPN 20 Mbit/s ams1"}
    lab.playbooks.run("configure_l2vpn", other, idempotency_key="other")
    return "l2vpn-0123"


@pytest.mark.parametrize("name", ["l2vpn-0123", "10001", "L2VPN 1000 Mbit/s ams1"])
def test_a_service_drifts_by_name_vni_or_description(typed: Any, service: str, name: str) -> None:
    assert f"ams1 services {service}: " in typed("drift", "ams1", "--service", name).output


def test_an_unknown_service_is_refused_with_those_there_are(typed: Any, service: str) -> None:
    result = typed("drift", "ams1", "--service", "9")
    assert result.exit_code == 1
    assert "ams1 has no service '9'; it has:" in result.output
    assert f"{service}  VNI 10001  L2VPN 1000 Mbit/s ams1" in result.output


def test_devices_and_their_configuration_are_shown(typed: Any) -> None:
    assert "ams1" in typed("devices").output
    assert json.loads(typed("show", "ams1").output)["interfaces"]["1/1/1"]["description"] == "customer A"


def test_reset_asks_first(typed: Any, lab: Lab) -> None:
    assert typed("reset").exit_code == 1
    assert lab.control.devices()
    assert typed("reset", "--yes").exit_code == 0
    assert not lab.control.devices()
