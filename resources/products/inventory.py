"""Queries on the network's own subscriptions: which nodes and ports there are, and which subscriptions use them.

Every function sends one statement in the current transaction. A block counts as taken while the subscription that takes
it is not terminated.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from resources import (
    ProductTable,
    SubscriptionInstanceRelationTable,
    SubscriptionInstanceTable,
    SubscriptionLifecycle,
    SubscriptionTable,
    VlanRanges,
    current_session,
)
from resources.products.port import Port, PortMode, PortSpeed


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node in service and in sync. `device_id` is its id in NetBox."""

    subscription_id: UUID
    node_name: str
    device_id: int


@dataclass(frozen=True, slots=True)
class PortRecord:
    """A port in service and in sync. `block_id` names its block, which other subscriptions may hold."""

    subscription_id: UUID
    block_id: UUID
    description: str
    port_mode: PortMode
    speed: PortSpeed

    @classmethod
    def of(cls, port: Port) -> "PortRecord":
        """The record of a port that has been loaded."""
        block = port.port
        return cls(port.subscription_id, block.subscription_instance_id, port.description, block.port_mode, port.speed)


@dataclass(frozen=True, slots=True)
class KnownPort:
    """A port in any state, for a form's message about a port that it does not offer."""

    subscription_id: UUID
    block_id: UUID
    description: str
    status: SubscriptionLifecycle
    insync: bool
    port_mode: PortMode
    speed: PortSpeed

    @property
    def record(self) -> PortRecord:
        """The port as one to choose; the caller checks whether it may be chosen."""
        return PortRecord(self.subscription_id, self.block_id, self.description, self.port_mode, self.speed)


@dataclass(frozen=True, slots=True)
class Claim:
    """A subscription that has taken a port, or VLANs of it."""

    subscription_id: UUID
    description: str
    vlans: VlanRanges

    def __str__(self) -> str:
        return f"{self.description} ({self.subscription_id})"


def node_named(node_name: str) -> UUID | None:
    """The subscription that has a node of this name, or None. Names are in lower case; an index finds them."""
    block = SubscriptionInstanceTable
    return current_session().scalar(
        sa.select(SubscriptionTable.subscription_id)
        .join(block, block.subscription_id == SubscriptionTable.subscription_id)
        .where(block.product_block == "Node", block.values.contains({"node_name": node_name}))
        .where(_not_terminated)
        .limit(1)
    )


def hold_node_name(node_name: str) -> None:
    """Lock a node name: other processes that want it wait until the current transaction ends."""
    current_session().execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(node_name, 0))))


def nodes_in_service() -> list[NodeRecord]:
    """Every node that is active and in sync, by name."""
    block = SubscriptionInstanceTable
    name = block.values["node_name"].astext
    rows = current_session().execute(
        sa.select(SubscriptionTable.subscription_id, name, block.values["ims_id"].as_integer())
        .join(block, block.subscription_id == SubscriptionTable.subscription_id)
        .where(block.product_block == "Node", _in_service)
        .order_by(name)
    )
    return [NodeRecord(*row) for row in rows]


def ports_in_service(
    modes: Collection[PortMode], *, node: UUID | None = None, speed: int = 0, limit: int | None = None
) -> list[PortRecord]:
    """The ports of these modes that are active and in sync, by description; of one node's subscription if given.

    `speed`: only ports of at least this speed, in Mbit/s. `limit`: at most so many, in any order.
    """
    block = SubscriptionInstanceTable
    found = (
        sa.select(
            SubscriptionTable.subscription_id,
            block.subscription_instance_id,
            SubscriptionTable.description,
            block.values["port_mode"].astext,
            ProductTable.fixed_inputs["speed"].as_integer(),
        )
        .join(block, block.subscription_id == SubscriptionTable.subscription_id)
        .join(ProductTable, ProductTable.product_id == SubscriptionTable.product_id)
        .where(block.product_block == "Port", block.values["port_mode"].astext.in_(modes), _in_service)
        .where(ProductTable.fixed_inputs["speed"].as_integer() >= speed if speed else sa.true())
        .limit(limit)
    )
    if node is not None:
        holds, node_block = SubscriptionInstanceRelationTable, aliased(SubscriptionInstanceTable)
        found = (
            found.join(holds, holds.in_use_by_id == block.subscription_instance_id)
            .join(node_block, node_block.subscription_instance_id == holds.depends_on_id)
            .where(holds.attribute == "node", node_block.subscription_id == node)
        )
    rows = current_session().execute(found)
    ports = [
        PortRecord(subscription_id, block_id, description, PortMode(mode), PortSpeed(speed))
        for subscription_id, block_id, description, mode, speed in rows
    ]
    return sorted(ports, key=lambda port: port.description)


def find_port(id_or_description: str) -> KnownPort | None:
    """The port of that subscription id or description, or None; of several the newest that is not terminated."""
    block, subscription = SubscriptionInstanceTable, SubscriptionTable
    try:
        wanted = subscription.subscription_id == UUID(id_or_description)
    except ValueError:
        wanted = subscription.description == id_or_description
    row = (
        current_session()
        .execute(
            sa.select(
                subscription.subscription_id,
                block.subscription_instance_id,
                subscription.description,
                subscription.status,
                subscription.insync,
                block.values["port_mode"].astext,
                ProductTable.fixed_inputs["speed"].as_integer(),
            )
            .join(block, block.subscription_id == subscription.subscription_id)
            .join(ProductTable, ProductTable.product_id == subscription.product_id)
            .where(block.product_block == "Port", block.values["port_mode"].astext.is_not(None), wanted)
            .order_by(_not_terminated.desc(), subscription.created_at.desc())
            .limit(1)
        )
        .one_or_none()
    )
    if row is None:
        return None
    subscription_id, block_id, description, status, insync, mode, speed = row
    return KnownPort(
        subscription_id, block_id, description, SubscriptionLifecycle(status), insync, PortMode(mode), PortSpeed(speed)
    )


def holder_of_interface(node: UUID, port_name: str) -> Claim | None:
    """The subscription whose port is this interface of the node's subscription, or None."""
    block, holds, node_block = (
        SubscriptionInstanceTable,
        SubscriptionInstanceRelationTable,
        aliased(SubscriptionInstanceTable),
    )
    row = (
        current_session()
        .execute(
            sa.select(SubscriptionTable.subscription_id, SubscriptionTable.description)
            .join(block, block.subscription_id == SubscriptionTable.subscription_id)
            .join(holds, holds.in_use_by_id == block.subscription_instance_id)
            .join(node_block, node_block.subscription_instance_id == holds.depends_on_id)
            .where(block.product_block == "Port", block.values["port_name"].astext == port_name, _not_terminated)
            .where(holds.attribute == "node", node_block.subscription_id == node)
            .limit(1)
        )
        .one_or_none()
    )
    return None if row is None else Claim(row[0], row[1], VlanRanges(""))


def hold_ports(block_ids: Iterable[UUID]) -> None:
    """Lock ports: other processes that want to use them wait until the current transaction ends."""
    block = SubscriptionInstanceTable
    # In order of id, so that two processes do not deadlock; NO KEY, so that foreign keys need not wait.
    current_session().execute(
        sa.select(block.subscription_instance_id)
        .where(block.subscription_instance_id.in_(list(block_ids)))
        .order_by(block.subscription_instance_id)
        .with_for_update(key_share=True)
    )


def claims_on(block_ids: Iterable[UUID], *, besides: UUID | None = None) -> Mapping[UUID, Sequence[Claim]]:
    """The subscriptions that use each of these ports, and their VLANs (none for a core link), without `besides`."""
    holder, holds = SubscriptionInstanceTable, SubscriptionInstanceRelationTable
    rows = current_session().execute(
        sa.select(
            holds.depends_on_id,
            SubscriptionTable.subscription_id,
            SubscriptionTable.description,
            holder.values["vlan"].astext,
        )
        .join(holder, holder.subscription_instance_id == holds.in_use_by_id)
        .join(SubscriptionTable, SubscriptionTable.subscription_id == holder.subscription_id)
        .where(holds.depends_on_id.in_(list(block_ids)), holds.attribute == "port", _not_terminated)
        .where(SubscriptionTable.subscription_id != besides if besides else sa.true())
        .order_by(SubscriptionTable.description, SubscriptionTable.subscription_id)
    )
    claims: dict[UUID, list[Claim]] = defaultdict(list)
    for block_id, subscription_id, description, vlans in rows:
        claims[block_id].append(Claim(subscription_id, description, VlanRanges(vlans or "")))
    return claims


_not_terminated = SubscriptionTable.status != SubscriptionLifecycle.TERMINATED
_in_service = sa.and_(SubscriptionTable.status == SubscriptionLifecycle.ACTIVE, SubscriptionTable.insync)
