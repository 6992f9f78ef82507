"""Each product's classes ask for more from lifecycle to lifecycle, and the catalogue is that of the code."""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy.orm import Session

from resources.catalogue.catalogue import Catalogue
from resources.domain.models.vlans import VlanRanges
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import SubscriptionError
from resources.products.core_link import DRAINED_METRIC, CoreLink, CoreLinkInactive, CoreLinkProvisioning
from resources.products.l2vpn import L2vpn, L2vpnInactive, L2vpnProvisioning, SapBlockInactive
from resources.products.node import Node, NodeInactive, NodeProvisioning, NodeStatus, Vendor
from resources.products.port import Port, PortInactive, PortMode, PortProvisioning, PortSpeed
from resources.subscriptions.queries import find_product
from resources.types import SubscriptionLifecycle, Target
from tests.test_products.conftest import PRODUCTS, WORKFLOWS

CUSTOMER = "59289a57-70fb-4ff5-9c93-10fe67b12434"
INITIAL, PROVISIONING, ACTIVE = (
    SubscriptionLifecycle.INITIAL,
    SubscriptionLifecycle.PROVISIONING,
    SubscriptionLifecycle.ACTIVE,
)


@pytest.fixture
def catalogue(session: Session) -> Catalogue:
    """The catalogue of the example network, applied in the test's transaction."""
    catalogue = Catalogue(PRODUCTS)
    catalogue.apply()
    return catalogue


def ordered(model: type[Any], product: str) -> Any:
    """A new subscription of which nothing is known."""
    return model.from_product_id(find_product(product).product_id, CUSTOMER)


def active_node(name: str = "ams1") -> Node:
    subscription = ordered(NodeInactive, "Node Juniper")
    node = subscription.node
    node.node_name, node.node_status = name, NodeStatus.ACTIVE
    node.site, node.role, node.device_type = "Amsterdam", "Provider edge", "MX304"
    node.ims_id, node.ipv4_loopback, node.ipv6_loopback = 1, IPv4Address("10.10.0.1"), IPv6Address("fd00:10::1")
    active = Node.from_other_lifecycle(NodeProvisioning.from_other_lifecycle(subscription, PROVISIONING), ACTIVE)
    active.save()
    return active


def active_port(node: Node, name: str = "xe-0/1/0", mode: PortMode = PortMode.TAGGED) -> Port:
    subscription = ordered(PortInactive, "Port 10G")
    port = subscription.port
    port.node, port.port_name, port.port_mode, port.ims_id = node.node, name, mode, 7
    port.auto_negotiation, port.lldp, port.enabled = False, True, True
    active = Port.from_other_lifecycle(PortProvisioning.from_other_lifecycle(subscription, PROVISIONING), ACTIVE)
    active.save()
    return active


def saved(subscription: Any) -> Any:
    subscription.save()
    return subscription


def test_the_catalogue_in_the_database_is_that_of_the_code(catalogue: Catalogue) -> None:
    assert not catalogue.plan()


def test_each_fixed_input_value_is_a_product(catalogue: Catalogue) -> None:
    assert [product.name for product in PRODUCTS] == [
        *(f"Node {vendor}" for vendor in ("Cisco", "Nokia", "Juniper")),
        *(f"Port {speed}" for speed in ("10G", "100G", "400G")),
        "Core link",
        "L2VPN",
    ]


@pytest.mark.parametrize("product_type", ["Node", "Port", "CoreLink", "L2VPN"])
def test_each_product_has_a_workflow_of_every_kind(product_type: str) -> None:
    targets = [job.workflow.target for job in WORKFLOWS if job.workflow.product_types == (product_type,)]
    kinds = [Target.CREATE, Target.MODIFY, Target.VALIDATE, Target.RECONCILE, Target.TERMINATE]
    assert list(dict.fromkeys(targets)) == kinds


@pytest.mark.parametrize(
    ("model", "product"),
    [
        (NodeInactive, "Node Cisco"),
        (PortInactive, "Port 400G"),
        (CoreLinkInactive, "Core link"),
        (L2vpnInactive, "L2VPN"),
    ],
)
def test_an_ordered_subscription_needs_no_value(
    catalogue: Catalogue, model: type[SubscriptionModel], product: str
) -> None:
    subscription = saved(ordered(model, product))
    assert SubscriptionModel.from_subscription(subscription.subscription_id) == subscription
    assert subscription.status == INITIAL


@pytest.mark.parametrize(
    ("model", "provisioning", "product"),
    [
        (NodeInactive, NodeProvisioning, "Node Cisco"),
        (PortInactive, PortProvisioning, "Port 400G"),
        (CoreLinkInactive, CoreLinkProvisioning, "Core link"),
        (L2vpnInactive, L2vpnProvisioning, "L2VPN"),
    ],
)
def test_provisioning_needs_what_was_ordered(
    catalogue: Catalogue, model: type[SubscriptionModel], provisioning: type[SubscriptionModel], product: str
) -> None:
    with pytest.raises((ValidationError, SubscriptionError)):
        provisioning.from_other_lifecycle(ordered(model, product), PROVISIONING)


def test_an_active_node_needs_what_systems_hand_out(catalogue: Catalogue) -> None:
    node = active_node()
    node_in_provisioning = NodeProvisioning.from_other_lifecycle(node, PROVISIONING)
    node_in_provisioning.node.ipv4_loopback = None
    with pytest.raises((ValidationError, SubscriptionError), match="ipv4_loopback"):
        Node.from_other_lifecycle(node_in_provisioning, ACTIVE)


def test_fixed_inputs_come_from_the_product(catalogue: Catalogue) -> None:
    assert ordered(NodeInactive, "Node Nokia").vendor is Vendor.NOKIA
    assert ordered(PortInactive, "Port 100G").speed is PortSpeed.G100


def test_values_come_back_as_the_types_they_were(catalogue: Catalogue) -> None:
    node = Node.from_subscription(active_node().subscription_id)
    assert node.node.ipv6_loopback == IPv6Address("fd00:10::1")
    assert node.node.node_status is NodeStatus.ACTIVE


def test_a_port_holds_the_block_of_the_nodes_own_subscription(catalogue: Catalogue) -> None:
    node = active_node()
    port = Port.from_subscription(active_port(node).subscription_id)
    assert port.port.node == node.node
    assert port.port.node.owner_subscription_id == node.subscription_id
    assert port.port.title == "ams1 xe-0/1/0"


def test_a_core_link_has_two_ends(catalogue: Catalogue) -> None:
    subscription = ordered(CoreLinkInactive, "Core link")
    assert len(subscription.core_link.ports) == 2
    with pytest.raises(ValidationError):
        subscription.core_link.ports = subscription.core_link.ports[:1]


@pytest.mark.parametrize(("under_maintenance", "metric"), [(False, 20), (True, DRAINED_METRIC)])
def test_a_link_under_maintenance_announces_the_highest_metric(
    catalogue: Catalogue, under_maintenance: bool, metric: int
) -> None:
    subscription = ordered(CoreLinkInactive, "Core link")
    link = subscription.core_link
    for end, name in zip(link.ports, ("ams1", "utr1"), strict=True):
        end.port = active_port(active_node(name), mode=PortMode.LINK_MEMBER).port
    link.isis_metric, link.under_maintenance = 20, under_maintenance
    found = CoreLinkProvisioning.from_other_lifecycle(subscription, PROVISIONING)
    assert found.core_link.announced_metric == metric
    assert found.core_link.title == "ams1 xe-0/1/0 - utr1 xe-0/1/0"


def test_an_access_point_keeps_vlan_ranges(catalogue: Catalogue) -> None:
    node = active_node()
    subscription = ordered(L2vpnInactive, "L2VPN")
    circuit = subscription.virtual_circuit
    circuit.saps = [
        SapBlockInactive.new(subscription.subscription_id, port=active_port(node, name).port, vlan=VlanRanges(vlan))
        for name, vlan in (("xe-0/1/0", "2-5,9"), ("xe-0/1/1", "7"))
    ]
    circuit.speed, circuit.speed_policer = 1000, False
    saved(L2vpnProvisioning.from_other_lifecycle(subscription, PROVISIONING))
    found = L2vpnProvisioning.from_subscription(subscription.subscription_id)
    assert [sap.vlan for sap in found.virtual_circuit.saps] == [VlanRanges([2, 3, 4, 5, 9]), VlanRanges("7")]
    assert found.virtual_circuit.saps[0].title == "ams1 xe-0/1/0 vlan 2-5,9"


def test_active_classes_are_registered(catalogue: Catalogue) -> None:
    assert {product.model for product in PRODUCTS} == {Node, Port, CoreLink, L2vpn}


def test_the_name_of_a_service_belongs_to_its_subscription(catalogue: Catalogue) -> None:
    one, other = ordered(L2vpnInactive, "L2VPN"), ordered(L2vpnInactive, "L2VPN")
    assert one.service_name != other.service_name
