"""Who answers while no URL is set: the lab on the embedded database, nobody on a server of one's own."""

from collections.abc import Callable, Iterator

import pytest

from resources.database.session import SubscriptionDatabase
from resources.errors import ExternalSystemNotConfigured
from resources.lab import clients
from resources.lab.clients import NetBoxOrLab, PlaybookRunnerOrLab
from resources.lab.launcher import lab_home
from resources.lab.testing import Lab
from resources.settings import settings
from resources.systems.netbox import NetBox
from resources.systems.playbooks import PlaybookRunner

Variables = Callable[..., None]


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Variables]:
    """Sets variables of the environment."""

    def set_them(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield set_them
    monkeypatch.undo()
    settings.cache_clear()


def test_the_lab_answers_on_the_embedded_database(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "lab_url", lambda: lab.url)
    assert "ams" in [site.slug for site in NetBoxOrLab().sites()]
    assert PlaybookRunnerOrLab().observe("ams1")["interfaces"] == {}


def test_without_the_lab_nobody_answers_there() -> None:
    with pytest.raises(ExternalSystemNotConfigured, match="set NETBOX_URL"):
        NetBox().sites()
    with pytest.raises(ExternalSystemNotConfigured, match="set PLAYBOOK_URL"):
        PlaybookRunner().observe("ams1")


def test_nobody_answers_on_a_server_of_ones_own(database: SubscriptionDatabase, variables: Variables) -> None:
    variables(DATABASE_URI=database.uri)
    with pytest.raises(ExternalSystemNotConfigured, match="NetBox is not configured: set NETBOX_URL to its address"):
        NetBoxOrLab().sites()
    with pytest.raises(ExternalSystemNotConfigured, match="runner is not configured: set PLAYBOOK_URL to its address"):
        PlaybookRunnerOrLab().observe("ams1")
    assert not lab_home().exists()


def test_a_lab_that_is_named_answers_on_a_server_of_ones_own(lab: Lab, variables: Variables) -> None:
    variables(DATABASE_URI=lab.control.database.uri, NETBOX_URL=lab.url, PLAYBOOK_URL=lab.url)
    assert "ams" in [site.slug for site in NetBoxOrLab().sites()]
    assert PlaybookRunnerOrLab().observe("ams1")["interfaces"] == {}


def test_what_is_named_answers_on_the_embedded_database(lab: Lab, variables: Variables) -> None:
    variables(NETBOX_URL=lab.url, PLAYBOOK_URL=f"{lab.url}/")
    assert NetBoxOrLab(token="lab").access() == (lab.url, "lab")
    assert PlaybookRunnerOrLab(token="lab").access() == (lab.url, "lab")
