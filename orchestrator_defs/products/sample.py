"""A believable network of made-up subscriptions, to try and measure how the orchestrator does with many."""

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from itertools import count, islice
from typing import Any, TypeVar
from uuid import UUID

from ops.products.core_link import describe_core_link
from ops.products.l2vpn import describe_l2vpn
from ops.products.node import describe_node
from ops.products.port import describe_port
from resources import SubscriptionLifecycle, SubscriptionModel, VlanRanges, find_product
from resources.products import core_link, l2vpn, node, port
from resources.products.core_link import CoreLink, CoreLinkBlock, CorePortBlock
from resources.products.l2vpn import L2vpn, SapBlock, VirtualCircuitBlock
from resources.products.node import Node, NodeBlock, NodeStatus, Vendor
from resources.products.port import Port, PortBlock, PortMode, PortSpeed

SITES = {
    "Amsterdam": "ams",
    "Utrecht": "utr",
    "Eindhoven": "ehv",
    "Groningen": "grq",
    "London": "lon",
    "Paris": "par",
    "Frankfurt": "fra",
    "Copenhagen": "cph",
}
DEVICE_TYPES = {Vendor.NOKIA: "7750 SR-7", Vendor.CISCO: "8201", Vendor.JUNIPER: "MX304"}
PORTS_OF_NODE, LINKS_OF_NODE, SERVICES_OF_PORT = 40, 2, 1.4
CUSTOMERS = tuple(f"university-{number:03}" for number in range(1, 201))
DAYS = 5 * 365
IN_SYNC, NOTED = 0.97, 0.05
"""Shares of the subscriptions that are in sync, and that have a note."""
IPV4, IPV6 = IPv4Network("100.64.0.0/10"), IPv6Network("fd64::/48")
"""Of no pool of the lab, so that nothing made up takes an address from what workflows create."""
FIRST_ID, IDS_OF_ONE = 1_000_000, 4
"""Ids in NetBox that no lab gives out, and how many a subscription uses at most."""
NOTES = ("Waits for a cross connect", "Customer moves in spring", "Call the NOC before any change", "Temporary")
STATUSES = {
    SubscriptionLifecycle.ACTIVE: 86,
    SubscriptionLifecycle.TERMINATED: 9,
    SubscriptionLifecycle.PROVISIONING: 5,
}
"""Of a hundred services. Nodes, ports and core links are active, for others hold their blocks."""

Made = TypeVar("Made", bound=SubscriptionModel)


def sample_network(size: int, number: int = 0) -> Iterator[SubscriptionModel]:
    """Make up `size` subscriptions; each comes after those whose blocks it holds.

    The same `number` gives the same names and ids again; with the number of subscriptions that there are, all of them
    are new. Reads the products in the current transaction, and writes nothing.
    """
    yield from islice(_Network(number).subscriptions(size), size)


class _Network:
    def __init__(self, number: int) -> None:
        self.number = number
        self.random = random.Random(number)
        self.ids = count(FIRST_ID + IDS_OF_ONE * number)
        self.now = datetime.now(UTC)
        self.products = {
            one.name: find_product(one.name)
            for one in (*node.PRODUCTS, *port.PRODUCTS, *core_link.PRODUCTS, *l2vpn.PRODUCTS)
        }

    def subscriptions(self, size: int) -> Iterator[SubscriptionModel]:
        per_node = 1 + PORTS_OF_NODE * (1 + SERVICES_OF_PORT) + LINKS_OF_NODE
        nodes = [self._node(place) for place in range(max(2, round(size / per_node)))]
        return self._in_order(nodes)

    def _in_order(self, nodes: list[Node]) -> Iterator[SubscriptionModel]:
        yield from nodes
        tagged: list[PortBlock] = []
        core: list[PortBlock] = []
        for place in range(PORTS_OF_NODE):
            for one in nodes:
                new = self._port(one, place)
                yield new
                (core if new.port.port_mode is PortMode.LINK_MEMBER else tagged).append(new.port)
        for place in range(0, len(core) - 1, 2):
            yield self._core_link(core[place], core[place + 1])
        while True:
            yield self._l2vpn(self.random.sample(tagged, min(len(tagged), self.random.choice((2, 2, 2, 3, 4)))))

    def _node(self, place: int) -> Node:
        site, code = self.random.choice([*SITES.items()])
        vendor = self.random.choice([*Vendor])
        subscription_id = self._id()
        block = NodeBlock.new(
            subscription_id,
            subscription_instance_id=self._id(),
            node_name=f"{code}-s{self.number}-{place + 1}",
            node_status=NodeStatus.ACTIVE,
            site=site,
            role="Provider edge",
            device_type=DEVICE_TYPES[vendor],
            ims_id=next(self.ids),
            ipv4_loopback=IPV4[(self.number + place) % 2**21],
            ipv6_loopback=IPV6[self.number + place],
        )
        header = self._header(f"Node {vendor}", subscription_id, self._moment(DAYS))
        return self._described(Node(vendor=vendor, node=block, **header), describe_node)

    def _port(self, holder: Node, place: int) -> Port:
        speed = self.random.choice([*PortSpeed])
        mode = PortMode.LINK_MEMBER if place < LINKS_OF_NODE else PortMode.TAGGED
        subscription_id, start = self._id(), self._moment_after(holder)
        block = PortBlock.new(
            subscription_id,
            subscription_instance_id=self._id(),
            node=holder.node,
            port_name=f"1/{place // 12 + 1}/{place % 12 + 1}",
            port_mode=mode,
            auto_negotiation=False,
            lldp=mode is PortMode.LINK_MEMBER,
            enabled=True,
            ims_id=next(self.ids),
        )
        header = self._header(f"Port {speed.label}", subscription_id, start)
        return self._described(Port(speed=speed, port=block, **header), describe_port)

    def _core_link(self, *ends: PortBlock) -> CoreLink:
        subscription_id, place = self._id(), next(self.ids)
        ipv4 = IPv4Network((IPV4[2**21 + 2 * place % 2**21], 31))
        ipv6 = IPv6Network((IPV6[2**64 + 2 * place], 127))
        block = CoreLinkBlock.new(
            subscription_id,
            subscription_instance_id=self._id(),
            ports=[
                CorePortBlock.new(
                    subscription_id,
                    subscription_instance_id=self._id(),
                    port=end,
                    ipv4_address=ipv4[side],
                    ipv6_address=ipv6[side],
                )
                for side, end in enumerate(ends)
            ],
            isis_metric=self.random.choice((10, 20, 50, 100)),
            under_maintenance=self.random.random() < 0.02,
            ipv4_prefix=ipv4,
            ipv6_prefix=ipv6,
            ims_id=place,
            ipv4_prefix_ipam_id=next(self.ids),
            ipv6_prefix_ipam_id=next(self.ids),
        )
        header = self._header("Core link", subscription_id, self._moment(DAYS))
        return self._described(CoreLink(core_link=block, **header), describe_core_link)

    def _l2vpn(self, ends: list[PortBlock]) -> SubscriptionModel:
        subscription_id, place = self._id(), next(self.ids)
        first = self.random.randint(2, 4000)
        block = VirtualCircuitBlock.new(
            subscription_id,
            subscription_instance_id=self._id(),
            saps=[
                SapBlock.new(
                    subscription_id,
                    subscription_instance_id=self._id(),
                    port=end,
                    vlan=VlanRanges(f"{first}-{first + self.random.choice((0, 0, 5, 10))}"),
                )
                for end in ends
            ],
            speed=self.random.choice((100, 1000, 1000, 10_000, 50_000)),
            speed_policer=self.random.random() < 0.5,
            vni=place % (2**24 - 1) + 1,
            route_target=f"65000:{place % 2**32}",
            ims_id=place,
        )
        header = self._header("L2VPN", subscription_id, self._moment(DAYS))
        made = self._described(L2vpn(virtual_circuit=block, **header), describe_l2vpn)
        [status] = self.random.choices([*STATUSES], [*STATUSES.values()])
        return made if status == made.status else self._ended(made, status)

    def _ended(self, made: SubscriptionModel, status: SubscriptionLifecycle) -> SubscriptionModel:
        """The same in another status; what has ended did so after it began."""
        other = SubscriptionModel.from_other_lifecycle(made, status, skip_validation=True)
        if status is SubscriptionLifecycle.TERMINATED:
            other.end_date = self._moment_after(made)
            other.insync = True
        return other

    def _header(self, product: str, subscription_id: UUID, start: datetime) -> dict[str, Any]:
        return {
            "product": asdict(self.products[product]),
            "subscription_id": subscription_id,
            "customer_id": self.random.choice(CUSTOMERS),
            "status": SubscriptionLifecycle.ACTIVE,
            "insync": self.random.random() < IN_SYNC,
            "start_date": start,
            "note": self.random.choice(NOTES) if self.random.random() < NOTED else None,
        }

    def _described(self, made: Made, describe: Callable[[Made], str]) -> Made:
        made.description = describe(made)
        return made

    def _id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def _moment(self, days: int) -> datetime:
        return self.now - timedelta(days=self.random.uniform(0, days))

    def _moment_after(self, made: SubscriptionModel) -> datetime:
        assert made.start_date is not None
        return made.start_date + self.random.random() * (self.now - made.start_date)
