"""Subscriptions to measure with: nodes, ports, and an L2VPN with ten endpoints (31 blocks, ten of them ports)."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

from sqlalchemy import text

from resources.database import SubscriptionDatabase
from resources.products.l2vpn import L2vpn, L2vpnInactive, SapBlockInactive
from resources.products.node import Node, NodeInactive, NodeStatus
from resources.products.port import Port, PortInactive, PortMode
from resources.queries import find_product
from resources.types import SubscriptionLifecycle
from resources.vlans import VlanRanges

CUSTOMER = "benchmark"
ENDPOINTS = 10


def l2vpn_with_ten_endpoints(database: SubscriptionDatabase) -> UUID:
    """Write one L2VPN between ports of one node each; the id of its subscription. Commits."""
    with database.transaction():
        ports = [_active_port(_active_node(number), number) for number in range(ENDPOINTS)]
        service = _ordered("L2VPN", L2vpnInactive)
        values = {
            "saps": [_sap(service.subscription_id, port) for port in ports],
            "speed": 1000,
            "speed_policer": True,
            "vni": 4711,
            "route_target": "65000:4711",
            "ims_id": 1,
        }
        subscription_id: UUID = _in_service(service, service.virtual_circuit, L2vpn, values).subscription_id
        return subscription_id


def fill(database: SubscriptionDatabase, nodes: int) -> None:
    """Copy one node so many times, row by row as it is. Commits."""
    with database.transaction() as session:
        model = _active_node(1_000_000)
        session.execute(text(COPIES), {"original": model.subscription_id, "copies": nodes})
        session.execute(text("ANALYZE"))


COPIES = """
    WITH copies AS (
        INSERT INTO subscriptions
        SELECT (copy).* FROM (
            SELECT jsonb_populate_record(original, jsonb_build_object('subscription_id', gen_random_uuid())) AS copy
            FROM subscriptions AS original, generate_series(1, :copies)
            WHERE original.subscription_id = :original OFFSET 0
        ) AS made
        RETURNING subscription_id
    )
    INSERT INTO subscription_instances
    SELECT (copy).* FROM (
        SELECT jsonb_populate_record(original, jsonb_build_object(
            'subscription_instance_id', gen_random_uuid(), 'subscription_id', copies.subscription_id)) AS copy
        FROM copies, subscription_instances AS original
        WHERE original.subscription_id = :original OFFSET 0
    ) AS made
"""
# gen_random_uuid() is volatile, and `(…).*` calls it once per column: hence the OFFSET 0 that keeps one call a row.


def _ordered(product: str, model: Any) -> Any:
    return model.from_product_id(find_product(product).product_id, CUSTOMER)


def _sap(subscription_id: UUID, port: Port) -> SapBlockInactive:
    return SapBlockInactive.new(subscription_id, port=port.port, vlan=VlanRanges("100"))


def _active_node(number: int) -> Node:
    node = _ordered("Node Cisco", NodeInactive)
    values = {
        "node_name": f"bench{number}",
        "node_status": NodeStatus.ACTIVE,
        "site": "Amsterdam",
        "role": "Provider edge",
        "device_type": "8201",
        "ims_id": number,
        "ipv4_loopback": IPv4Address(0x0A000000 + number),
        "ipv6_loopback": IPv6Address(number),
    }
    return _in_service(node, node.node, Node, values)


def _active_port(node: Node, number: int) -> Port:
    port = _ordered("Port 10G", PortInactive)
    values = {
        "node": node.node,
        "port_name": f"xe-0/0/{number}",
        "port_mode": PortMode.TAGGED,
        "auto_negotiation": False,
        "lldp": True,
        "enabled": True,
        "ims_id": number,
    }
    return _in_service(port, port.port, Port, values)


def _in_service(subscription: Any, block: Any, model: Any, values: Mapping[str, Any]) -> Any:
    """Fill a block in, put its subscription in service and save it."""
    for name, value in values.items():
        setattr(block, name, value)
    active = model.from_other_lifecycle(subscription, SubscriptionLifecycle.ACTIVE)
    active.insync = True
    active.save()
    return active
