"""The values of the subscriptions that the workflows create: every kind, also the odd ones."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Network
from typing import Any
from uuid import UUID, uuid5

from core_project.products import (
    BandwidthBlock,
    ChannelBlockInactive,
    EndBlockInactive,
    Node,
    Port,
    PriorityBlock,
    Rack,
    Role,
    SiteBlockInactive,
)
from orchestrator.core.db import ProductTable, SubscriptionTable, db
from sqlalchemy import select

SPACE = UUID("0c1f7c1e-2a0e-4c8a-9a07-5d6d2a9d8a11")
WORDS = ["", " two  spaces ", "quote ' and \" and \\", "naïve 漢字", "1e3", "null", "True", "[1]", "tab\tand\nline"]


def product_type(product_id: Any) -> str:
    return db.session.get(ProductTable, product_id).product_type


def those(kind: str) -> list[Any]:
    query = select(SubscriptionTable.subscription_id).join(ProductTable)
    query = query.where(ProductTable.product_type == kind, SubscriptionTable.status == "active")
    return list(db.session.scalars(query.order_by(SubscriptionTable.description)))


def fill(kind: str, made: Any, number: int) -> None:
    {"Node": fill_node, "Port": fill_port, "Vpn": fill_vpn}[kind](made, number)
    made.note = WORDS[number % len(WORDS)] or None


def fill_node(made: Any, number: int) -> None:
    node = made.node
    node.node_name = f"node{number}" + WORDS[number % len(WORDS)]
    node.label = f"label {number}" if number % 2 else None
    node.role = [None, Role.CORE, Role.EDGE][number % 3]
    node.rack = [Rack.LEFT, Rack.RIGHT, None][number % 3]
    node.loopback = IPv4Address("10.0.0.0") + number
    node.prefix = IPv6Network(f"2001:db8:{number:x}::/48")
    node.commissioned = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=number, microseconds=number)
    node.key = uuid5(SPACE, str(number))
    node.load = [0.1, 1e-7, 12345678.9, -0.0, 1e22][number % 5]
    node.is_monitored = [True, False, None][number % 3]
    node.aliases = [f"b{number}", "a", "10", "9", "ä", "Z"][: number % 7]
    node.as_numbers = [65000 + number, 9, 10][: number % 4]
    if number % 2:
        node.site = SiteBlockInactive.new(made.subscription_id, city=WORDS[3])


def fill_port(made: Any, number: int) -> None:
    nodes = those("Node")
    port = made.port
    port.port_name = f"ge-0/0/{number}"
    port.vlans = [None, "1-10,20", "4094"][number % 3]
    port.node = Node.from_subscription(nodes[number % len(nodes)]).node
    port.channels = [ChannelBlockInactive.new(made.subscription_id, lane=lane) for lane in (10, 9, 2)[: number % 4]]


def fill_vpn(made: Any, number: int) -> None:
    ports = those("Port")
    vpn = made.vpn
    vpn.name_in_network = f"vpn{number}"
    vpn.ends = [
        EndBlockInactive.new(
            made.subscription_id,
            vlan=[100 + number, "untagged", "0100"][place % 3],
            port=Port.from_subscription(ports[(number + place) % len(ports)]).port,
        )
        for place in range(2 + number % 3)
    ]
    if number % 3 == 1:
        vpn.policy = BandwidthBlock.new(made.subscription_id, mbits=number * 100)
    if number % 3 == 2:
        vpn.policy = PriorityBlock.new(made.subscription_id, classes=[7, 10, 1])
