"""Makes the catalogue in the database the one of the code, in a constant number of statements."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.catalogue.plan import Match, kept_blocks, match, surplus_values, unused_values, value_descriptions
from resources.catalogue.rows import DeclaredCatalogue
from resources.catalogue.stored import StoredCatalogue, count_all_holders
from resources.catalogue.value_edits import BlockEdit, edit_stored_values
from resources.database.session import current_session
from resources.database.tables import (
    ProductBlockRelationTable,
    ProductBlockResourceTypeTable,
    ProductBlockTable,
    ProductProductBlockTable,
    ProductTable,
    ProductWorkflowTable,
    ResourceTypeTable,
    Table,
    WorkflowTable,
)
from resources.types import ProductLifecycle

NAMESPACE = UUID("5a3d2c1e-6f0b-5c57-9c43-2b1f0f6f7a10")


def catalogue_id(kind: str, name: str) -> UUID:
    """The id of a new row: the same for the same name in every database."""
    return uuid5(NAMESPACE, f"{kind}:{name}")


def make_so(declared: DeclaredCatalogue, stored: StoredCatalogue, *, drop_values: bool = False) -> None:
    """Write every difference. The caller holds the catalogue's lock and commits."""
    matched = match(declared, stored)
    edit_stored_values(_edits(declared, matched, drop_values=drop_values))
    _take_away(declared, stored, matched)
    ids = _Ids(declared, stored, matched)
    _put_rows(declared, ids)
    _remove_links(declared, stored, ids)
    _put_links(declared, ids)


def add_to(declared: DeclaredCatalogue, stored: StoredCatalogue) -> None:
    """Write the differences that take nothing away. The caller holds the catalogue's lock and commits."""
    matched = match(declared, stored)
    edit_stored_values(_edits(declared, matched, drop_values=False))
    ids = _Ids(declared, stored, matched)
    _put_rows(_with_stored_inputs(declared, stored, matched), ids)
    _put_links(declared, ids)


def _with_stored_inputs(declared: DeclaredCatalogue, stored: StoredCatalogue, matched: Match) -> DeclaredCatalogue:
    """The same products, with the fixed inputs that only other code knows."""
    products = {
        name: replace(row, fixed_inputs={**stored.products[matched.products[name]].fixed_inputs, **row.fixed_inputs})
        if name in matched.products
        else row
        for name, row in declared.products.items()
    }
    return replace(declared, products=products)


class _Ids:
    """The id of everything declared: the stored row's, else that of the name (of the oldest name, when renamed)."""

    def __init__(self, declared: DeclaredCatalogue, stored: StoredCatalogue, matched: Match) -> None:
        self.products = {
            name: stored.products[matched.products[name]].id
            if name in matched.products
            else catalogue_id("product", (*row.formerly, name)[0])
            for name, row in declared.products.items()
        }
        self.blocks = {
            name: stored.blocks[matched.blocks[name]].id
            if name in matched.blocks
            else catalogue_id("product_block", (*row.formerly, name)[0])
            for name, row in declared.blocks.items()
        }
        self.values = {
            name: stored.values.get(matched.values.get(name, name)) or catalogue_id("resource_type", name)
            for name in value_descriptions(declared)
        }
        self.workflows = {
            name: stored.workflows[name].id if name in stored.workflows else catalogue_id("workflow", name)
            for name in declared.workflows
        }


def _edits(declared: DeclaredCatalogue, matched: Match, *, drop_values: bool) -> dict[str, BlockEdit]:
    surplus = surplus_values(declared, matched, count_all_holders()) if drop_values else {}
    edits: dict[str, BlockEdit] = {}
    for name, known in matched.blocks.items():
        renamed = matched.renamed_values.get(name, {})
        dropped = surplus.get(known, set())
        if name != known or renamed or dropped:
            edits[known] = BlockEdit(name, renamed, dropped)
    return edits


def _take_away(declared: DeclaredCatalogue, stored: StoredCatalogue, matched: Match) -> None:
    """Remove what nobody has, retire what subscriptions still have."""
    session = current_session()
    ended = {"status": ProductLifecycle.END_OF_LIFE.value, "end_date": sa.func.now()}
    known_products = set(matched.products.values())
    vanished = [product for name, product in stored.products.items() if name not in known_products]
    if unsold := [product.id for product in vanished if not product.subscriptions]:
        session.execute(sa.delete(ProductTable).where(ProductTable.product_id.in_(unsold)))
    if sold := [product.id for product in vanished if product.subscriptions and not product.retired]:
        session.execute(sa.update(ProductTable).where(ProductTable.product_id.in_(sold)).values(ended))

    known_blocks = set(matched.blocks.values())
    unused = [b.id for name, b in stored.blocks.items() if name not in known_blocks and not b.subscriptions]
    if unused:
        session.execute(sa.delete(ProductBlockTable).where(ProductBlockTable.product_block_id.in_(unused)))
    if kept := [block.id for block in kept_blocks(stored, matched) if not block.retired]:
        session.execute(sa.update(ProductBlockTable).where(ProductBlockTable.product_block_id.in_(kept)).values(ended))

    if values := [stored.values[name] for name in unused_values(declared, stored, matched)]:
        session.execute(sa.delete(ResourceTypeTable).where(ResourceTypeTable.resource_type_id.in_(values)))
    gone = [w.id for name, w in stored.workflows.items() if name not in declared.workflows and not w.deleted]
    if gone:
        deleted = {"deleted_at": sa.func.now()}
        session.execute(sa.update(WorkflowTable).where(WorkflowTable.workflow_id.in_(gone)).values(deleted))


def _put_rows(declared: DeclaredCatalogue, ids: _Ids) -> None:
    """Insert what is new; of what is known, leave what people may edit: descriptions, and status unless retired."""
    products = [
        {
            "product_id": ids.products[row.name],
            "name": row.name,
            "description": row.description,
            "product_type": row.product_type,
            "tag": row.tag,
            "status": row.status,
            "fixed_inputs": dict(row.fixed_inputs),
            "end_date": None,
        }
        for row in declared.products.values()
    ]
    _upsert(ProductTable, products, ("product_id",), ("name", "product_type", "tag", "fixed_inputs"), revived=True)
    blocks = [
        {
            "product_block_id": ids.blocks[row.name],
            "name": row.name,
            "description": row.description,
            "tag": row.tag,
            "status": ProductLifecycle.ACTIVE.value,
            "end_date": None,
        }
        for row in declared.blocks.values()
    ]
    _upsert(ProductBlockTable, blocks, ("product_block_id",), ("name", "tag"), revived=True)
    values = [
        {"resource_type_id": ids.values[name], "resource_type": name, "description": description}
        for name, description in value_descriptions(declared).items()
    ]
    _upsert(ResourceTypeTable, values, ("resource_type_id",), ("resource_type",))
    workflows = [
        {
            "workflow_id": ids.workflows[row.name],
            "name": row.name,
            "target": row.target,
            "description": row.description,
            "is_task": row.is_task,
            "deleted_at": None,
        }
        for row in declared.workflows.values()
    ]
    _upsert(WorkflowTable, workflows, ("workflow_id",), ("name", "target", "is_task", "deleted_at"))


def _remove_links(declared: DeclaredCatalogue, stored: StoredCatalogue, ids: _Ids) -> None:
    """Remove the links of everything declared that are not declared; links of what is retired stay as they are."""
    owners = {*ids.products.values(), *ids.blocks.values()}
    products = [product for product in stored.products.values() if product.id in owners]
    blocks = [block for block in stored.blocks.values() if block.id in owners]
    there: list[set[tuple[UUID, UUID]]] = [
        {(p.id, stored.blocks[root].id) for p in products for root in p.roots},
        {(p.id, stored.workflows[workflow].id) for p in products for workflow in p.workflows},
        {(b.id, stored.values[value]) for b in blocks for value in b.values},
        {(b.id, stored.blocks[held].id) for b in blocks for held in b.holds},
    ]
    for (table, key, wanted), pairs in zip(_links(declared, ids), there, strict=True):
        if surplus := pairs - set(wanted):
            columns = sa.tuple_(*(getattr(table, name) for name in key))
            current_session().execute(sa.delete(table).where(columns.in_(surplus)))


def _put_links(declared: DeclaredCatalogue, ids: _Ids) -> None:
    for table, key, wanted in _links(declared, ids):
        rows = [{**dict(zip(key, pair, strict=True)), **values} for pair, values in wanted.items()]
        _upsert(table, rows, key, tuple(rows[0].keys() - set(key)) if rows else ())


Links = tuple[type[Table], tuple[str, str], Mapping[tuple[UUID, UUID], dict[str, Any]]]


def _links(declared: DeclaredCatalogue, ids: _Ids) -> list[Links]:
    """Per table of links, its key and the rows that the code declares: products' first, then blocks'."""
    products, blocks = declared.products.values(), declared.blocks.values()
    return [
        (
            ProductProductBlockTable,
            ("product_id", "product_block_id"),
            {(ids.products[p.name], ids.blocks[root]): {} for p in products for root in p.roots},
        ),
        (
            ProductWorkflowTable,
            ("product_id", "workflow_id"),
            {(ids.products[p.name], ids.workflows[w]): {} for p in products for w in p.workflows},
        ),
        (
            ProductBlockResourceTypeTable,
            ("product_block_id", "resource_type_id"),
            {(ids.blocks[b.name], ids.values[value]): {} for b in blocks for value in b.values},
        ),
        (
            ProductBlockRelationTable,
            ("in_use_by_id", "depends_on_id"),
            {
                (ids.blocks[b.name], ids.blocks[held]): {"min": number.minimum, "max": number.maximum}
                for b in blocks
                for held, number in b.holds.items()
            },
        ),
    ]


def _upsert(
    table: type[Table],
    rows: list[dict[str, Any]],
    key: Iterable[str],
    owned: Iterable[str],
    *,
    revived: bool = False,
) -> None:
    """Insert the rows; of those that exist write only the `owned` columns, and the status of a retired one."""
    if not rows:
        return
    statement = insert(table)
    values: dict[str, Any] = {name: statement.excluded[name] for name in owned}
    if revived:
        columns = table.__table__.c
        status = sa.case((columns.end_date.is_not(None), statement.excluded["status"]), else_=columns.status)
        values |= {"status": status, "end_date": None}
    if values:
        upsert = statement.on_conflict_do_update(index_elements=list(key), set_=values)
    else:
        upsert = statement.on_conflict_do_nothing(index_elements=list(key))
    current_session().execute(upsert, rows)
