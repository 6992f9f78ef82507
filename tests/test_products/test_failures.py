"""When a system fails or somebody is faster, nothing is done twice, and people are notified what to do."""

from collections.abc import Mapping
from threading import Thread
from typing import Any
from uuid import UUID

import pytest

from ops.products import l2vpn, node
from ops.products.l2vpn import AccessPoint
from resources.database.session import SubscriptionDatabase
from resources.domain.models.vlans import VlanRanges
from resources.errors import InconsistentData, StartRefused, SubscriptionLocked
from resources.subscriptions.queries import find_product
from resources.types import ProcessStatus, SubscriptionLifecycle
from tests.test_products.conftest import OPERATOR, Network, access_points

LON1 = {"node_name": "lon1", "site": "London", "role": "Provider edge", "device_type": "7750 SR-7"}


def created(network: Network, path: str) -> int:
    """How often something was created in NetBox."""
    calls = network.lab.control.calls(limit=1000)
    return sum(1 for call in calls if call.method == "POST" and path in call.path and call.status == 201)


def test_a_playbook_that_fails_is_started_anew(network: Network) -> None:
    network.lab.control.fail("job provision_node", times=1)
    failed = network.try_run("create_node", {"product": "Node Nokia"}, LON1)
    assert failed.last_status == ProcessStatus.FAILED
    assert "provision_node" in str(failed.failed_reason)

    done = network.execute(failed.process_id)
    assert done.last_status == ProcessStatus.COMPLETED
    assert network.subscription(network.find("Node lon1 Nokia")).status == SubscriptionLifecycle.ACTIVE


def test_what_was_made_before_the_failure_is_not_made_again(network: Network) -> None:
    before = created(network, "/dcim/devices")
    network.lab.control.fail("GET /api/ipam", times=1)
    failed = network.try_run("create_node", {"product": "Node Nokia"}, LON1)
    assert failed.last_status in (ProcessStatus.FAILED, ProcessStatus.API_UNAVAILABLE)

    network.execute(failed.process_id)
    assert created(network, "/dcim/devices") == before + 1
    assert network.subscription(network.find("Node lon1 Nokia")).insync


def test_a_node_half_made_stays_with_the_process_that_makes_it(network: Network) -> None:
    network.lab.control.fail("job provision_node", times=1)
    failed = network.try_run("create_node", {"product": "Node Nokia"}, LON1)
    subscription_id = UUID(failed.state["subscription_id"])
    assert network.subscription(subscription_id).status == SubscriptionLifecycle.PROVISIONING
    with pytest.raises((StartRefused, SubscriptionLocked)):
        network.processes.starts.start("terminate_node", [{"subscription_id": str(subscription_id)}], user=OPERATOR)


def test_a_device_that_somebody_else_made_is_not_taken_over(network: Network) -> None:
    network.lab.netbox.create_device(
        "lon1", vendor="Nokia", model="7750 SR-7", site="London", role="Provider edge", idempotency_key="by hand"
    )
    failed = network.try_run("create_node", {"product": "Node Nokia"}, LON1)
    assert failed.last_status == ProcessStatus.FAILED
    assert "lon1" in str(failed.failed_reason)


def construct(database: SubscriptionDatabase, step: Any, product: str, values: Mapping[str, Any]) -> str:
    """Run a constructing step in a transaction of its own; what it said when it refused."""
    try:
        with database.transaction():
            found = step.function(product=find_product(product).product_id, customer_id="customer", **values)
            found["subscription"].save()
    except InconsistentData as error:
        return str(error)
    return ""


def both_at_once(database: SubscriptionDatabase, step: Any, product: str, values: Mapping[str, Any]) -> list[str]:
    """Run a constructing step twice at once; what each said, the successful one first."""
    said: list[str] = []
    threads = [Thread(target=lambda: said.append(construct(database, step, product, values))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(said)


@pytest.mark.parametrize("_", range(3))
def test_of_two_who_want_a_node_name_at_once_one_gets_it(network: Network, _: int) -> None:
    done, refused = both_at_once(network.database, node.construct_node, "Node Nokia", LON1)
    assert done == ""
    assert "Node name lon1 is in use by subscription" in refused


@pytest.mark.parametrize("_", range(3))
def test_of_two_who_want_vlans_at_once_one_gets_them(network: Network, port: UUID, other_port: UUID, _: int) -> None:
    points = [AccessPoint(port=id_, vlan=VlanRanges("3000")) for id_ in (port, other_port)]
    values = {"speed": 1000, "speed_policer": False, "saps": points}
    done, refused = both_at_once(network.database, l2vpn.construct_l2vpn, "L2VPN", values)
    assert done == ""
    assert "VLAN 3000 on port ams1 1/2/1 10G is in use by" in refused


def test_vlans_taken_since_the_form_was_filled_in_are_refused(network: Network, port: UUID, other_port: UUID) -> None:
    pages = [{"product": "L2VPN"}, {"speed": 1000}, access_points((port, "400"), (other_port, "400"))]
    slow = network.processes.starts.start("create_l2vpn", pages, user=OPERATOR)
    network.l2vpn((port, "400"), (other_port, "401"))
    process = network.execute(slow)
    assert process.last_status in (ProcessStatus.FAILED, ProcessStatus.INCONSISTENT_DATA)
    assert "VLAN 400 on port ams1 1/2/1 10G is in use by L2VPN 1000 Mbit/s ams1" in str(process.failed_reason)
    assert "`orchestrator abort` this process and start again" in str(process.failed_reason)


def test_a_create_that_was_given_up_can_be_taken_away(network: Network) -> None:
    network.lab.control.fail("job provision_node", times=1)
    failed = network.try_run("create_node", {"product": "Node Nokia"}, LON1)
    network.processes.interventions.abort(failed.process_id, user=OPERATOR)
    network.run("terminate_node", {"subscription_id": failed.state["subscription_id"]})
    network.run("create_node", {"product": "Node Nokia"}, LON1)
