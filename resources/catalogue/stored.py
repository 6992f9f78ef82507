"""The catalogue in the database, read in a constant number of statements."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from resources.catalogue.kinds import KINDS, LINKS, Kind
from resources.catalogue.rows import Multiplicity
from resources.database.session import current_session
from resources.database.tables import SubscriptionInstanceTable, SubscriptionTable

HELD_KEYS = (
    sa.func.jsonb_object_keys(SubscriptionInstanceTable.values)
    .table_valued("value")
    .render_derived("held")
    .lateral("held")
)


@dataclass(frozen=True)
class StoredRow:
    """A row of any kind. `retired`: the code no longer has it. `subscriptions`: how many use it.

    `links`: for each link, the names of what it holds, and how many of each where that is limited.
    """

    id: UUID
    name: str
    columns: Mapping[str, Any]
    retired: bool
    subscriptions: int
    links: dict[str, dict[str, Multiplicity]] = field(default_factory=lambda: defaultdict(dict))

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
    return stored


def _rows(kind: Kind) -> dict[str, StoredRow]:
    table = kind.table.__table__
    query = sa.select(table, sa.literal(0).label("subscriptions"))
    if kind.users is not None:
        used, own, number = kind.users
        counts = sa.select(used.label("used"), number.label("number")).group_by(used).subquery()
        query = sa.select(table, sa.func.coalesce(counts.c.number, 0).label("subscriptions"))
        query = query.outerjoin(counts, counts.c.used == table.c[own])
    return {
        row[kind.name]: StoredRow(
            id=row[kind.key],
            name=row[kind.name],
            columns={column: row[column] for column in kind.owned},
            retired=kind.ended is not None and row[kind.ended] is not None,
            subscriptions=row["subscriptions"],
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


def count_lacking(required: Mapping[tuple[str, str], Iterable[str]]) -> dict[tuple[str, str], int]:
    """How many subscriptions in one of the given statuses lack a (block, value)."""
    if not required:
        return {}
    instance = SubscriptionInstanceTable
    demands = [{"block": b, "value": v, "statuses": sorted(statuses)} for (b, v), statuses in required.items()]
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
        .where(demand.c.statuses.has_key(SubscriptionTable.status))
        .where(sa.not_(instance.values.has_key(demand.c.value)))
        .group_by(demand.c.block, demand.c.value)
    )
    return {(row.block, row.value): row.lacking for row in current_session().execute(query)}
