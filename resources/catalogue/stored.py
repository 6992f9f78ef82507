"""The catalogue as the database holds it, read in a constant number of statements."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from resources.catalogue.rows import Multiplicity
from resources.database.session import current_session
from resources.database.tables import (
    ProductBlockRelationTable,
    ProductBlockResourceTypeTable,
    ProductBlockTable,
    ProductProductBlockTable,
    ProductTable,
    ProductWorkflowTable,
    ResourceTypeTable,
    SubscriptionInstanceTable,
    SubscriptionTable,
    WorkflowTable,
)

HELD_KEYS = (
    sa.func.jsonb_object_keys(SubscriptionInstanceTable.values)
    .table_valued("value")
    .render_derived("held")
    .lateral("held")
)


@dataclass
class StoredProduct:
    """`retired`: the code has it no more, but subscriptions do."""

    id: UUID
    name: str
    product_type: str
    tag: str
    fixed_inputs: dict[str, Any]
    retired: bool
    subscriptions: int
    roots: set[str] = field(default_factory=set)
    workflows: set[str] = field(default_factory=set)


@dataclass
class StoredBlock:
    """`subscriptions`: how many have an instance of it."""

    id: UUID
    name: str
    tag: str | None
    retired: bool
    subscriptions: int
    values: set[str] = field(default_factory=set)
    holds: dict[str, Multiplicity] = field(default_factory=dict)


@dataclass
class StoredWorkflow:
    """A workflow's row."""

    id: UUID
    name: str
    target: str
    is_task: bool
    deleted: bool


@dataclass
class StoredCatalogue:
    """Everything by name; names are unique in each table."""

    products: dict[str, StoredProduct]
    blocks: dict[str, StoredBlock]
    values: dict[str, UUID]
    workflows: dict[str, StoredWorkflow]


@dataclass(frozen=True)
class Holders:
    """Who holds a value: instances of a block, and the subscriptions that own them."""

    instances: int
    subscriptions: int


def read_catalogue() -> StoredCatalogue:
    """Read all of it: eight statements."""
    session = current_session()
    stored = StoredCatalogue(_products(), _blocks(), {}, {})
    for resource_type in session.execute(
        sa.select(ResourceTypeTable.resource_type, ResourceTypeTable.resource_type_id)
    ):
        stored.values[resource_type[0]] = resource_type[1]
    for row in session.execute(sa.select(WorkflowTable.__table__)):
        stored.workflows[row.name] = StoredWorkflow(
            row.workflow_id, row.name, row.target, row.is_task, row.deleted_at is not None
        )
    _read_links(stored)
    return stored


def _products() -> dict[str, StoredProduct]:
    counts = (
        sa.select(SubscriptionTable.product_id, sa.func.count().label("subscriptions"))
        .group_by(SubscriptionTable.product_id)
        .subquery()
    )
    query = sa.select(ProductTable.__table__, sa.func.coalesce(counts.c.subscriptions, 0).label("subscriptions"))
    rows = current_session().execute(query.outerjoin(counts, counts.c.product_id == ProductTable.product_id))
    return {
        row.name: StoredProduct(
            row.product_id,
            row.name,
            row.product_type,
            row.tag,
            row.fixed_inputs,
            row.end_date is not None,
            row.subscriptions,
        )
        for row in rows
    }


def _blocks() -> dict[str, StoredBlock]:
    instance = SubscriptionInstanceTable
    counts = (
        sa.select(instance.product_block, sa.func.count(sa.distinct(instance.subscription_id)).label("subscriptions"))
        .group_by(instance.product_block)
        .subquery()
    )
    query = sa.select(ProductBlockTable.__table__, sa.func.coalesce(counts.c.subscriptions, 0).label("subscriptions"))
    rows = current_session().execute(query.outerjoin(counts, counts.c.product_block == ProductBlockTable.name))
    return {
        row.name: StoredBlock(row.product_block_id, row.name, row.tag, row.end_date is not None, row.subscriptions)
        for row in rows
    }


def _read_links(stored: StoredCatalogue) -> None:
    session = current_session()
    products = {product.id: product for product in stored.products.values()}
    blocks = {block.id: block for block in stored.blocks.values()}
    workflows = {workflow.id: name for name, workflow in stored.workflows.items()}
    values = {identifier: name for name, identifier in stored.values.items()}
    for root in session.execute(sa.select(ProductProductBlockTable.__table__)):
        products[root.product_id].roots.add(blocks[root.product_block_id].name)
    for link in session.execute(sa.select(ProductWorkflowTable.__table__)):
        products[link.product_id].workflows.add(workflows[link.workflow_id])
    for value in session.execute(sa.select(ProductBlockResourceTypeTable.__table__)):
        blocks[value.product_block_id].values.add(values[value.resource_type_id])
    for held in session.execute(sa.select(ProductBlockRelationTable.__table__)):
        name = blocks[held.depends_on_id].name
        blocks[held.in_use_by_id].holds[name] = Multiplicity(held.min or 0, held.max)


def count_holders(values: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Holders]:
    """How many instances hold each (block, value); pairs that nobody holds are left out. One statement, or none."""
    wanted = list(values)
    if not wanted:
        return {}
    return _holders(sa.tuple_(SubscriptionInstanceTable.product_block, HELD_KEYS.c.value).in_(wanted))


def count_all_holders() -> dict[tuple[str, str], Holders]:
    """How many instances hold each (block, value) that is stored anywhere. One statement over all instances."""
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
    """How many subscriptions in one of the given statuses lack a (block, value). One statement, or none."""
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
