"""On a server of one's own, without NETBOX_URL, the shipped network is refused and never sent to the lab."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from orchestrator_defs.definitions import orchestrator as shipped
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.processes import Processes
from resources.database.tables import ProcessTable
from resources.errors import ExternalSystemNotConfigured
from resources.lab.launcher import lab_home
from resources.settings import settings
from resources.types import ProcessStatus
from tests.test_products.conftest import PRODUCTS, WORKFLOWS, Network

LON1 = {"node_name": "lon1", "site": "London", "role": "Provider edge", "device_type": "7750 SR-7"}


@pytest.fixture
def unconfigured(network: Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """The small network on the database that DATABASE_URI names, with the external systems as they are shipped."""
    monkeypatch.setenv("DATABASE_URI", network.database.uri)
    settings.cache_clear()
    site = Orchestrator(PRODUCTS, WORKFLOWS, shipped.resources, database=network.database)
    network.processes = Processes(site, network.processes.instance)
    yield network
    monkeypatch.undo()
    settings.cache_clear()


def test_create_node_is_refused_in_one_sentence_and_nothing_is_written(unconfigured: Network) -> None:
    count = sa.select(sa.func.count()).select_from(ProcessTable)
    with unconfigured.database.transaction(read_only=True) as session:
        before = session.scalar(count)

    with pytest.raises(ExternalSystemNotConfigured) as refused:
        unconfigured.try_run("create_node", {"product": "Node Nokia"}, LON1)

    assert str(refused.value) == (
        "NetBox is not configured: set NETBOX_URL to its address, as in https://netbox.example.org,"
        " and NETBOX_TOKEN to a token for it."
    )
    with unconfigured.database.transaction(read_only=True) as session:
        assert session.scalar(count) == before
    assert not lab_home().exists()


def test_a_run_of_create_node_fails_with_the_sentence(unconfigured: Network) -> None:
    job = unconfigured.processes.served.first.job("create_node")
    run_config = {"inputs": [{"product": "Node Nokia"}, LON1]}

    ran = job.execute_in_process(run_config, unconfigured.processes.instance, raise_on_error=False)

    (failed,) = (event for event in ran.all_events if event.is_step_failure)
    assert str(failed.step_failure_data.user_failure_data.description).startswith("NetBox is not configured: set")


def test_a_step_that_needs_netbox_fails_with_the_sentence(unconfigured: Network) -> None:
    node = unconfigured.find("Node utr1 Nokia")

    failed = unconfigured.try_run("validate_node", {"subscription_id": str(node)})

    assert failed.last_status == ProcessStatus.FAILED
    assert str(failed.failed_reason).startswith("NetBox is not configured: set NETBOX_URL")
    assert not lab_home().exists()
