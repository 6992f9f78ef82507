"""Texts that NetBox and the devices keep in another form than they were typed in drift nowhere, and block nothing."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from resources.database.tables import SubscriptionInstanceTable, SubscriptionTable
from resources.errors import FormInvalid
from resources.lab.tables import objects
from resources.processes.validations import confirm_in_sync
from resources.types import SubscriptionLifecycle
from tests.test_products.conftest import OPERATOR, Network

MOST = 181
"""What NetBox keeps of a description, less the marker."""


def on(subscription_id: UUID) -> dict[str, str]:
    return {"subscription_id": str(subscription_id)}


def saved_by_older_code(network: Network, subscription_id: UUID, block: str, **values: Any) -> None:
    """Write values of a block into its row, past every form and model, and put the subscription out of sync."""
    row = SubscriptionInstanceTable
    with network.database.transaction() as session:
        of_it = sa.and_(row.subscription_id == subscription_id, row.product_block == block)
        session.execute(sa.update(row).where(of_it).values(values=row.values.concat(values)))
        of_it = SubscriptionTable.subscription_id == subscription_id
        session.execute(sa.update(SubscriptionTable).where(of_it).values(insync=False))


def rewrite_in_netbox(network: Network, kind: str, found: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Change what a person may change in NetBox: the names that others refer to."""
    with network.database.transaction() as session:
        of_it = sa.and_(objects.c.kind == kind, objects.c.data.contains(found))
        session.execute(sa.update(objects).where(of_it).values(data=objects.c.data.concat(changes)))


@pytest.mark.parametrize("text", ["core router  ", "\tcore router", "cafe\u0301", "x" * MOST + " "], ids=range(4))
def test_a_description_as_people_type_it_does_not_drift(network: Network, text: str) -> None:
    node, port = network.find("Node ams1 Nokia"), network.find("ams1 1/2/1 10G")
    network.run("modify_node", on(node), {"node_description": text})
    network.run("modify_port", on(port), {"port_description": text})
    network.run("validate_node", on(node))
    network.run("validate_port", on(port))


@pytest.mark.parametrize("text", ["x" * (MOST + 1), "x" * 200, " ", "two\nlines"], ids=range(4))
def test_a_description_that_cannot_be_delivered_is_refused_by_the_form(network: Network, text: str) -> None:
    with pytest.raises(FormInvalid, match="node_description: "):
        network.run("modify_node", on(network.find("Node ams1 Nokia")), {"node_description": text})


@pytest.mark.parametrize("text", ["core router ", "y" * 200, "cafe\u0301", "two\nlines"], ids=range(4))
def test_a_description_that_older_code_has_saved_can_be_reconciled(network: Network, text: str) -> None:
    node = network.node("lon1")
    saved_by_older_code(network, node, "Node", node_description=text)
    network.run("reconcile_node", on(node))
    network.run("validate_node", on(node))


def test_a_description_that_older_code_has_saved_can_be_modified_and_terminated(network: Network) -> None:
    port = network.port("ams1", "1/2/5")
    saved_by_older_code(network, port, "Port", port_description="y" * 200)
    network.run("reconcile_port", on(port))
    network.run("modify_port", on(port), {"lldp": True})
    network.run("terminate_port", on(port))
    assert network.subscription(port).status == SubscriptionLifecycle.TERMINATED


@pytest.mark.parametrize(
    ("kind", "found", "changes"),
    [
        ("dcim/sites", {"name": "Amsterdam"}, {"name": "AMSTERDAM"}),
        ("dcim/manufacturers", {"name": "Nokia"}, {"name": "NOKIA"}),
        ("dcim/device-roles", {"name": "Provider edge"}, {"name": "provider edge"}),
        ("dcim/devices", {"name": "ams1"}, {"name": "AMS1"}),
    ],
)
def test_a_name_that_netbox_has_in_another_case_is_no_drift(
    network: Network, kind: str, found: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    rewrite_in_netbox(network, kind, found, changes)
    network.run("validate_node", on(network.find("Node ams1 Nokia")))


def test_a_node_name_is_typed_in_any_case(network: Network) -> None:
    network.run("validate_node", on(network.node(" LON1 ")))
    assert network.find("Node lon1 Nokia")


def test_a_device_that_netbox_has_in_another_case_is_not_taken_over(network: Network) -> None:
    rewrite_in_netbox(network, "dcim/devices", {"name": "utr1"}, {"name": "LON1"})
    page = {"node_name": "lon1", "site": "London", "role": "Provider edge", "device_type": "7750 SR-7"}
    process = network.try_run("create_node", {"product": "Node Nokia"}, page)
    assert "already has a device named 'lon1'" in str(process.failed_reason)


def test_a_core_link_of_two_long_names_can_be_delivered(network: Network) -> None:
    names, interface = ["a" * 63, "b" * 63], "i" * 64
    for name in names:
        network.node(name)
    rewrite_in_netbox(network, "dcim/interfaces", {"name": "1/2/11"}, {"name": interface})
    ports = [network.port(name, interface, "link member") for name in names]
    network.run("validate_core_link", on(network.core_link(names[0], names[1], ports[0], ports[1])))


def test_a_subscription_that_cannot_be_reconciled_is_changed_after_somebody_answers_for_it(network: Network) -> None:
    node = network.find("Node ams1 Nokia")
    rewrite_in_netbox(network, "dcim/sites", {"name": "Amsterdam"}, {"name": "Closed", "slug": "closed"})
    assert network.try_run("validate_node", on(node)).last_status == "inconsistent_data"
    failed = network.try_run("reconcile_node", on(node))
    assert "NetBox has no site 'Amsterdam'" in str(failed.failed_reason)
    network.processes.interventions.abort(failed.process_id, user=OPERATOR)
    with network.database.transaction():
        assert confirm_in_sync(node, user=OPERATOR, reason="The site was renamed.")
    refused = network.try_run("modify_node", on(node), {"node_description": "any"})
    assert refused.last_step == "Update device in NetBox"
