"""The four kinds of catalogue rows and the four links between them, for all code that reads or writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from resources.database.tables import (
    ProcessTable,
    ProductBlockRelationTable,
    ProductBlockResourceTypeTable,
    ProductBlockTable,
    ProductProductBlockTable,
    ProductTable,
    ProductWorkflowTable,
    ResourceTypeTable,
    SubscriptionInstanceTable,
    SubscriptionTable,
    Table,
    WorkflowTable,
)

Title = Literal["product", "product block", "resource type", "workflow"]

ENGINE, NOBODY = "engine", "nobody"
"""Owners that no code location can be: of built-in workflows, and of rows from before owners were kept."""


@dataclass(frozen=True, eq=False)
class Kind:
    """A table of the catalogue. A declared row has an attribute of the name of each `owned` and `edited` column."""

    title: Title
    table: type[Table]
    key: str
    owned: tuple[str, ...] = ()
    """Columns that follow the code."""
    edited: tuple[str, ...] = ("description",)
    """Columns that people may edit, so the code writes them in a new row only."""
    name: str = "name"
    ended: str | None = None
    """The column with the time since when the code lacks it."""
    users: tuple[Any, str, sa.ColumnElement[int]] | None = None
    """The column by which subscriptions use it, its own column there, and how to count the uses."""
    when_renamed: str = ""
    in_flight: sa.Subquery | None = None
    """By `used`, what processes that have not ended need: the `number` of these processes."""


_HELD, _INSTANCE = SubscriptionTable.locked_by, SubscriptionInstanceTable
_WORKFLOW_OF, _STATUS = ProcessTable.workflow_id, ProcessTable.last_status
_OF_PRODUCTS = sa.select(SubscriptionTable.product_id.label("used"), sa.func.count(sa.distinct(_HELD)).label("number"))
_OF_BLOCKS = sa.select(_INSTANCE.product_block.label("used"), sa.func.count(sa.distinct(_HELD)).label("number"))
_OF_WORKFLOWS = sa.select(_WORKFLOW_OF.label("used"), sa.func.count().label("number"))
_JOINED = _OF_BLOCKS.join(SubscriptionTable, SubscriptionTable.subscription_id == _INSTANCE.subscription_id)

PRODUCT = Kind(
    "product",
    ProductTable,
    "product_id",
    owned=("product_type", "tag", "fixed_inputs", "owner"),
    edited=("description", "status"),
    ended="end_date",
    users=(SubscriptionTable.product_id, "product_id", sa.func.count()),
    when_renamed="; the row and its id stay",
    in_flight=_OF_PRODUCTS.where(_HELD.is_not(None)).group_by(SubscriptionTable.product_id).subquery(),
)
BLOCK = Kind(
    "product block",
    ProductBlockTable,
    "product_block_id",
    owned=("tag", "owner"),
    edited=("description", "status"),
    ended="end_date",
    users=(
        SubscriptionInstanceTable.product_block,
        "name",
        sa.func.count(sa.distinct(SubscriptionInstanceTable.subscription_id)),
    ),
    when_renamed="; its instances are renamed with it",
    in_flight=_JOINED.where(_HELD.is_not(None)).group_by(_INSTANCE.product_block).subquery(),
)
VALUE = Kind("resource type", ResourceTypeTable, "resource_type_id", name="resource_type")
WORKFLOW = Kind(
    "workflow",
    WorkflowTable,
    "workflow_id",
    owned=("target", "is_task", "owner"),
    ended="deleted_at",
    when_renamed="; its processes are those of the new name",
    in_flight=_OF_WORKFLOWS.where(_STATUS.not_in(("completed", "aborted"))).group_by(_WORKFLOW_OF).subquery(),
)

KINDS = (PRODUCT, BLOCK, VALUE, WORKFLOW)


@dataclass(frozen=True, eq=False)
class Link:
    """A table of links; `name` is the attribute of the holder, declared or stored, with the names of what it holds."""

    name: str
    table: type[Table]
    holder: Kind
    held: Kind
    columns: tuple[str, str]


LINKS = (
    Link("roots", ProductProductBlockTable, PRODUCT, BLOCK, ("product_id", "product_block_id")),
    Link("workflows", ProductWorkflowTable, PRODUCT, WORKFLOW, ("product_id", "workflow_id")),
    Link("values", ProductBlockResourceTypeTable, BLOCK, VALUE, ("product_block_id", "resource_type_id")),
    Link("holds", ProductBlockRelationTable, BLOCK, BLOCK, ("in_use_by_id", "depends_on_id")),
)

Names = Mapping[Kind, Mapping[str, str]]
