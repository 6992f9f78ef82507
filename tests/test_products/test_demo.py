"""The demo plays to its end beside what is there already."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from orchestrator_defs.cli.demo import Demo, demo
from resources.settings import settings
from tests.test_products.conftest import Network


def test_the_demo_tells_each_act_and_shows_what_it_made(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    Demo(network.orchestrator, network.processes.instance).play()
    told = capsys.readouterr().out
    assert "✓ create_node  Node ams2 Cisco" in told
    assert "! validate_port  ams2 HundredGigE0/0/0/0 100G" in told
    assert "is 'changed by hand' and should be" in told
    assert told.rindex("reconcile_port") < told.rindex("validate_port")
    table = told[told.rindex("subscription   description") :]
    assert table.count(" active ") == 3 + 8 + 2 + 1
    assert table.count(" terminated ") == 1


@pytest.mark.parametrize("variable", ["NETBOX_URL", "PLAYBOOK_URL", "DATABASE_URI"])
def test_the_demo_plays_in_the_lab_only(variable: str, empty_network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "postgresql://core.example.org/network")
    settings.cache_clear()
    try:
        result = CliRunner().invoke(demo, obj=SimpleNamespace(orchestrator=empty_network.orchestrator))
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert result.exit_code == 1
    assert "unset NETBOX_URL, PLAYBOOK_URL and DATABASE_URI first" in result.output


def test_the_demo_of_definitions_without_the_network_is_refused(empty_network: Network) -> None:
    """A project of one's own has no NetBox."""
    own = SimpleNamespace(name="acme", resources={})

    result = CliRunner().invoke(demo, obj=SimpleNamespace(orchestrator=own))

    assert result.exit_code == 1
    assert "the definitions here are those of 'acme'" in result.output
