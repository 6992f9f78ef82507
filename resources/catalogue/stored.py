"""The catalogue in the database, read in a constant number of statements."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from resources.catalogue.kinds import BLOCK, KINDS, LINKS, PRODUCT, Kind
from resources.catalogue.rows import Multiplicity
from resources.database.session import current_session
from resources.database.tables import (
    ProductTable,
    SubscriptionInstanceRelationTable,
    SubscriptionInstanceTable,
    SubscriptionTable,
)

Pair = tuple[str, str]

HELD_KEYS = (
    sa.func.jsonb_object_keys(SubscriptionInstanceTable.values)
    .table_valued("value")
    .render_derived("held")
    .lateral("held")
)
HELD_PAIRS = (
    sa.func.jsonb_each(SubscriptionInstanceTable.values)
    .table_valued(sa.column("key", sa.Text), sa.column("value", JSONB))
    .render_derived("pair")
    .lateral("pair")
)


@dataclass(frozen=True)
class StoredRow:
    """A row of any kind. `retired`: the code no longer has it. `subscriptions`: how many use it.

    `links`: for each link, the names of what it holds, and how many of each where that is limited. `types`: of a
    block's values, None for one from before types were kept. `processes`: how many that have not ended need it.
    """

    id: UUID
    name: str
    columns: Mapping[str, Any]
    retired: bool
    subscriptions: int
    links: dict[str, dict[str, Multiplicity]] = field(default_factory=lambda: defaultdict(dict))
    types: dict[str, str | None] = field(default_factory=dict)
    processes: int = 0

    @property
    def owner(self) -> str | None:
        """The code location that it belongs to; None from before owners were kept."""
        return self.columns.get("owner")


StoredCatalogue = Mapping[Kind, Mapping[str, StoredRow]]
"""All rows by name; names are unique in each table."""


@dataclass(frozen=True)
class Holders:
    """How many instances of a block hold a value, and how many subscriptions own these."""

    instances: int
    subscriptions: int


def read_catalogue() -> StoredCatalogue:
    """Read all rows: one statement for each kind and link."""
    stored = {kind: _rows(kind) for kind in KINDS}
    by_id = {row.id: row for rows in stored.values() for row in rows.values()}
    for link in LINKS:
        for row in current_session().execute(sa.select(link.table.__table__)):
            holder, held = (by_id[getattr(row, column)] for column in link.columns)
            number = Multiplicity(getattr(row, "min", 0) or 0, getattr(row, "max", None))
            holder.links[link.name][held.name] = number
            if link.name == "values":
                holder.types[held.name] = row.type
    return stored


def _rows(kind: Kind) -> dict[str, StoredRow]:
    table = kind.table.__table__
    own, query = kind.key, sa.select(table)
    if kind.users is not None:
        used, own, number = kind.users
        counts = sa.select(used.label("used"), number.label("number")).group_by(used).subquery()
        query = query.add_columns(counts.c.number.label("subscriptions")).outerjoin(
            counts, counts.c.used == table.c[own]
        )
    if kind.in_flight is not None:
        held = kind.in_flight
        query = query.add_columns(held.c.number.label("processes")).outerjoin(held, held.c.used == table.c[own])
    return {
        row[kind.name]: StoredRow(
            id=row[kind.key],
            name=row[kind.name],
            columns={column: row[column] for column in kind.owned},
            retired=kind.ended is not None and row[kind.ended] is not None,
            subscriptions=row.get("subscriptions") or 0,
            processes=row.get("processes") or 0,
        )
        for row in current_session().execute(query).mappings()
    }


def count_holders(values: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Holders]:
    """How many instances hold each (block, value), without pairs that none holds."""
    wanted = list(values)
    if not wanted:
        return {}
    return _holders(sa.tuple_(SubscriptionInstanceTable.product_block, HELD_KEYS.c.value).in_(wanted))


def count_all_holders() -> dict[tuple[str, str], Holders]:
    """How many instances hold each stored (block, value)."""
    return _holders(sa.true())


def _holders(condition: sa.ColumnElement[bool]) -> dict[tuple[str, str], Holders]:
    instance = SubscriptionInstanceTable
    query = (
        sa.select(
            instance.product_block,
            HELD_KEYS.c.value,
            sa.func.count().label("instances"),
            sa.func.count(sa.distinct(instance.subscription_id)).label("subscriptions"),
        )
        .select_from(instance)
        .join(HELD_KEYS, sa.true())
        .where(condition)
        .group_by(instance.product_block, HELD_KEYS.c.value)
    )
    rows = current_session().execute(query)
    return {(row.product_block, row.value): Holders(row.instances, row.subscriptions) for row in rows}


def count_lacking(wanted: Mapping[tuple[str, str], Iterable[str]]) -> dict[tuple[str, str], int]:
    """How many subscriptions in one of the given statuses lack a (block, value); in any status if none is given."""
    if not wanted:
        return {}
    instance = SubscriptionInstanceTable
    demands = [{"block": b, "value": v, "statuses": sorted(statuses)} for (b, v), statuses in wanted.items()]
    demand = (
        sa.func.jsonb_to_recordset(sa.cast(demands, JSONB))
        .table_valued(sa.column("block", sa.Text), sa.column("value", sa.Text), sa.column("statuses", JSONB))
        .render_derived("demand", with_types=True)
    )
    query = (
        sa.select(demand.c.block, demand.c.value, sa.func.count(sa.distinct(instance.subscription_id)).label("lacking"))
        .select_from(instance)
        .join(demand, demand.c.block == instance.product_block)
        .join(SubscriptionTable, SubscriptionTable.subscription_id == instance.subscription_id)
        .where(sa.or_(demand.c.statuses == sa.cast([], JSONB), demand.c.statuses.has_key(SubscriptionTable.status)))
        .where(sa.not_(instance.values.has_key(demand.c.value)))
        .group_by(demand.c.block, demand.c.value)
    )
    return {(row.block, row.value): row.lacking for row in current_session().execute(query)}


def held_values(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[tuple[Any, int]]]:
    """Of each (block, value): every stored value that there is, with the number of instances that hold it."""
    pairs, found = list(wanted), defaultdict[tuple[str, str], list[tuple[Any, int]]](list)
    if pairs:
        instance, held = SubscriptionInstanceTable, HELD_PAIRS
        query = (
            sa.select(instance.product_block, held.c.key, held.c.value, sa.func.count())
            .select_from(instance)
            .join(held, sa.true())
            .where(sa.tuple_(instance.product_block, held.c.key).in_(pairs))
            .group_by(instance.product_block, held.c.key, held.c.value)
        )
        for block, name, value, number in current_session().execute(query):
            found[block, name].append((value, number))
    return found


def count_places(of_blocks: Iterable[Pair], of_products: Iterable[Pair]) -> dict[Kind, dict[Pair, int]]:
    """How many blocks stand in a field, by (holder's name, field): the holder is a block or a product."""
    found: dict[Kind, dict[Pair, int]] = {BLOCK: {}, PRODUCT: {}}
    relation, holder = SubscriptionInstanceRelationTable, SubscriptionInstanceTable
    if pairs := list(of_blocks):
        query = (
            sa.select(holder.product_block, relation.attribute, sa.func.count())
            .join(holder, holder.subscription_instance_id == relation.in_use_by_id)
            .where(sa.tuple_(holder.product_block, relation.attribute).in_(pairs))
            .group_by(holder.product_block, relation.attribute)
        )
        found[BLOCK] = {(block, name): number for block, name, number in current_session().execute(query)}
    if pairs := list(of_products):
        roots = (
            sa.select(ProductTable.name, holder.attribute, sa.func.count())
            .join(SubscriptionTable, SubscriptionTable.product_id == ProductTable.product_id)
            .join(holder, holder.subscription_id == SubscriptionTable.subscription_id)
            .where(sa.tuple_(ProductTable.name, holder.attribute).in_(pairs))
            .group_by(ProductTable.name, holder.attribute)
        )
        found[PRODUCT] = {(product, str(name)): number for product, name, number in current_session().execute(roots)}
    return found
