"""The catalogue's entries as people read and edit them: products, blocks, values and workflows, by id.

`catalogue apply` leaves what people may edit alone: descriptions and the status of products. Everything here works in
the current transaction, and the caller commits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import (
    ProductBlockResourceTypeTable,
    ProductBlockTable,
    ProductProductBlockTable,
    ProductTable,
    ProductWorkflowTable,
    ResourceTypeTable,
    SubscriptionTable,
    Table,
    WorkflowTable,
)
from resources.domain.saving.headers import PRODUCT_COLUMNS
from resources.domain.saving.records import ProductRecord
from resources.errors import (
    ProductInUse,
    UnknownProduct,
    UnknownProductBlock,
    UnknownResourceType,
    UnknownWorkflow,
)
from resources.types import ProductLifecycle, SubscriptionLifecycle, Target

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CatalogueValue:
    """A named value of a block."""

    resource_type_id: UUID
    resource_type: str
    description: str


@dataclass(frozen=True, slots=True)
class CatalogueBlock:
    """A block with its values, by name."""

    product_block_id: UUID
    name: str
    description: str
    tag: str | None
    status: str
    created_at: datetime
    end_date: datetime | None
    resource_types: tuple[CatalogueValue, ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogueWorkflow:
    """A workflow that the code has."""

    workflow_id: UUID
    name: str
    target: str
    description: str
    is_task: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CatalogueProduct(ProductRecord):
    """A product with its root blocks and its workflows, each by name. `end_date`: since when the code lacks it."""

    created_at: datetime
    product_blocks: tuple[CatalogueBlock, ...] = ()
    workflows: tuple[CatalogueWorkflow, ...] = ()


_VALUE = (ResourceTypeTable.resource_type_id, ResourceTypeTable.resource_type, ResourceTypeTable.description)
_BLOCK = (
    ProductBlockTable.product_block_id,
    ProductBlockTable.name,
    ProductBlockTable.description,
    ProductBlockTable.tag,
    ProductBlockTable.status,
    ProductBlockTable.created_at,
    ProductBlockTable.end_date,
)
_WORKFLOW = (
    WorkflowTable.workflow_id,
    WorkflowTable.name,
    WorkflowTable.target,
    WorkflowTable.description,
    WorkflowTable.is_task,
    WorkflowTable.created_at,
)


# --- reading ---


def list_products(
    *, tag: str | None = None, product_type: str | None = None, where: Sequence[sa.ColumnElement[bool]] = ()
) -> list[CatalogueProduct]:
    """All products by name, filtered by tag, type and conditions."""
    wanted = {ProductTable.tag: tag, ProductTable.product_type: product_type}
    return _products([*where, *(column == value for column, value in wanted.items() if value is not None)])


def get_product(product_id: UUID) -> CatalogueProduct:
    """Read a product. Raises UnknownProduct."""
    found = _products([ProductTable.product_id == product_id])
    if not found:
        raise UnknownProduct(_no(product_id, "product"))
    return found[0]


def get_product_block(product_block_id: UUID) -> CatalogueBlock:
    """Read a block with its values. Raises UnknownProductBlock."""
    found = _blocks(sa.select(*_BLOCK).where(ProductBlockTable.product_block_id == product_block_id))
    if not found:
        raise UnknownProductBlock(_no(product_block_id, "product block"))
    return found[product_block_id]


def get_resource_type(resource_type_id: UUID) -> CatalogueValue:
    """Read a value. Raises UnknownResourceType."""
    query = sa.select(*_VALUE).where(ResourceTypeTable.resource_type_id == resource_type_id)
    row = current_session().execute(query).one_or_none()
    if row is None:
        raise UnknownResourceType(_no(resource_type_id, "resource type"))
    return CatalogueValue(*row)


def list_workflows(
    *, target: Target | None = None, is_task: bool | None = None, where: Sequence[sa.ColumnElement[bool]] = ()
) -> list[CatalogueWorkflow]:
    """The workflows of the code by name, filtered by target, kind and conditions."""
    query = sa.select(*_WORKFLOW).where(WorkflowTable.deleted_at.is_(None), *where).order_by(WorkflowTable.name)
    wanted = {WorkflowTable.target: target, WorkflowTable.is_task: is_task}
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    return [CatalogueWorkflow(*row) for row in current_session().execute(query)]


def get_workflow(workflow_id: UUID) -> CatalogueWorkflow:
    """Read a workflow that the code has. Raises UnknownWorkflow."""
    return _workflow(WorkflowTable.workflow_id == workflow_id, workflow_id)


def workflow_named(name: str) -> CatalogueWorkflow:
    """Read a workflow that the code has, by its name. Raises UnknownWorkflow."""
    return _workflow(WorkflowTable.name == name, repr(name))


def _workflow(condition: sa.ColumnElement[bool], what: Any) -> CatalogueWorkflow:
    row = current_session().execute(sa.select(*_WORKFLOW).where(condition, WorkflowTable.deleted_at.is_(None))).first()
    if row is None:
        raise UnknownWorkflow(_no(what, "workflow"))
    return CatalogueWorkflow(*row)


def _no(what: Any, kind: str) -> str:
    return f"There is no {kind} {what}; `orchestrator catalogue show` lists those there are."


def _products(conditions: Iterable[sa.ColumnElement[bool]]) -> list[CatalogueProduct]:
    session = current_session()
    rows = session.execute(sa.select(*PRODUCT_COLUMNS).where(*conditions).order_by(ProductTable.name)).all()
    ids = sa.select(ProductTable.product_id).where(*conditions)
    roots, flows = ProductProductBlockTable, ProductWorkflowTable
    links = session.execute(sa.select(roots.product_id, roots.product_block_id).where(roots.product_id.in_(ids))).all()
    blocks = _blocks(sa.select(*_BLOCK).where(ProductBlockTable.product_block_id.in_({link[1] for link in links})))
    query = sa.select(flows.product_id, *_WORKFLOW).join(WorkflowTable, WorkflowTable.workflow_id == flows.workflow_id)
    query = query.where(flows.product_id.in_(ids), WorkflowTable.deleted_at.is_(None)).order_by(WorkflowTable.name)
    workflows = _grouped(
        ((row[0], CatalogueWorkflow(*row[1:])) for row in session.execute(query)), lambda one: one.name
    )
    held = _grouped(((product, blocks[block]) for product, block in links), lambda one: one.name)
    return [
        replace(CatalogueProduct(*row), product_blocks=held.get(row[0], ()), workflows=workflows.get(row[0], ()))
        for row in rows
    ]


def _blocks(query: sa.Select[*tuple[Any, ...]]) -> dict[UUID, CatalogueBlock]:
    found = {row[0]: CatalogueBlock(*row) for row in current_session().execute(query)}
    links = ProductBlockResourceTypeTable
    values = sa.select(links.product_block_id, *_VALUE).join(
        ResourceTypeTable, ResourceTypeTable.resource_type_id == links.resource_type_id
    )
    rows = current_session().execute(values.where(links.product_block_id.in_(found)))
    by_block = _grouped(((row[0], CatalogueValue(*row[1:])) for row in rows), lambda one: one.resource_type)
    return {key: replace(block, resource_types=by_block.get(key, ())) for key, block in found.items()}


def _grouped(pairs: Iterable[tuple[UUID, T]], name: Callable[[T], str]) -> dict[UUID, tuple[T, ...]]:
    groups: dict[UUID, list[T]] = {}
    for key, one in pairs:
        groups.setdefault(key, []).append(one)
    return {key: tuple(sorted(group, key=name)) for key, group in groups.items()}


# --- editing ---


def edit_product(
    product_id: UUID, *, description: str | None = None, status: ProductLifecycle | None = None
) -> CatalogueProduct:
    """Change the description or status of a product; None leaves it.

    Raises UnknownProduct, and ProductInUse for `end of life` while subscriptions to it live, or for another status of a
    product that the code no longer has.
    """
    if status is not None:
        _check_status(product_id, status)
    _edit(ProductTable, ProductTable.product_id == product_id, description=description, status=status)
    return get_product(product_id)


def edit_product_block(product_block_id: UUID, *, description: str | None = None) -> CatalogueBlock:
    """Change the description of a block. Raises UnknownProductBlock."""
    condition = ProductBlockTable.product_block_id == product_block_id
    _edit(ProductBlockTable, condition, description=description)
    return get_product_block(product_block_id)


def edit_resource_type(resource_type_id: UUID, *, description: str | None = None) -> CatalogueValue:
    """Change the description of a value. Raises UnknownResourceType."""
    condition = ResourceTypeTable.resource_type_id == resource_type_id
    _edit(ResourceTypeTable, condition, description=description)
    return get_resource_type(resource_type_id)


def edit_workflow(workflow_id: UUID, *, description: str | None = None) -> CatalogueWorkflow:
    """Change the description of a workflow. Raises UnknownWorkflow."""
    _edit(WorkflowTable, WorkflowTable.workflow_id == workflow_id, description=description)
    return get_workflow(workflow_id)


def _edit(table: type[Table], condition: sa.ColumnElement[bool], **values: str | None) -> None:
    changes = {name: value for name, value in values.items() if value is not None}
    if changes:
        current_session().execute(sa.update(table).where(condition).values(changes))


def _check_status(product_id: UUID, status: ProductLifecycle) -> None:
    """The row is locked: a subscription that is created now waits for the end of this transaction, or is counted."""
    row = (
        current_session()
        .execute(
            sa.select(ProductTable.name, ProductTable.end_date)
            .where(ProductTable.product_id == product_id)
            .with_for_update()
        )
        .one_or_none()
    )
    if row is None:
        return
    name, end_date = row
    if end_date is not None and status is not ProductLifecycle.END_OF_LIFE:
        raise ProductInUse(
            f"Product '{name}' has not been in the code since {end_date:%Y-%m-%d}; until it is back, it"
            f" stays '{ProductLifecycle.END_OF_LIFE}'."
        )
    if status is ProductLifecycle.END_OF_LIFE and (living := _count_living(product_id)):
        have = "1 subscription that is" if living == 1 else f"{living} subscriptions that are"
        raise ProductInUse(
            f"Product '{name}' has {have} not terminated; terminate them before the end of its life, or make it"
            f" '{ProductLifecycle.PHASE_OUT}'."
        )


def _count_living(product_id: UUID) -> int:
    table = SubscriptionTable
    living = table.status != SubscriptionLifecycle.TERMINATED.value
    query = sa.select(sa.func.count()).where(table.product_id == product_id, living)
    return current_session().scalar(query) or 0
