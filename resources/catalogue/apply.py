"""Applies the catalogue of the code to the database, in a constant number of statements."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.catalogue.kinds import BLOCK, KINDS, LINKS, PRODUCT, VALUE, Kind, Link
from resources.catalogue.owners import Share
from resources.catalogue.plan import Match, match, surplus_values, vanished
from resources.catalogue.rows import DeclaredCatalogue
from resources.catalogue.stored import count_all_holders, count_places
from resources.catalogue.value_edits import BlockEdit, edit_root_fields, edit_stored_values
from resources.database.session import current_session
from resources.database.tables import ProductBlockResourceTypeTable, ResourceTypeTable, Table
from resources.types import ProductLifecycle

Ids = Mapping[Kind, Mapping[str, UUID]]

NAMESPACE = UUID("5a3d2c1e-6f0b-5c57-9c43-2b1f0f6f7a10")


def catalogue_id(kind: str, name: str) -> UUID:
    """The id of a new row: the same name has the same id in every database."""
    return uuid5(NAMESPACE, f"{kind}:{name}")


Fills = Mapping[tuple[str, str], Any]


def make_so(share: Share, fills: Fills, *, drop_values: bool = False) -> None:
    """Write every difference. The caller holds the catalogue's lock and commits."""
    declared, matched = share.declared, match(share.declared, share.stored)
    _edit_subscriptions(share, matched, fills, drop_values=drop_values)
    for kind in KINDS:
        _take_away(kind, share, matched)
    ids = _ids(share, matched)
    _put_rows(declared, ids)
    _remove_links(share, ids)
    _put_links(declared, ids)


def add_to(share: Share, fills: Fills) -> None:
    """Write the differences that remove nothing. The caller holds the catalogue's lock and commits."""
    declared, matched = share.declared, match(share.declared, share.stored)
    _edit_subscriptions(share, matched, fills, drop_values=False)
    ids = _ids(share, matched)
    _carry(share, matched)
    _put_rows(_with_stored_inputs(share, matched), ids)
    _put_links(declared, ids)


def _carry(share: Share, matched: Match) -> None:
    """Remove the links of values that others take over, and their types when no block has them."""
    carried, stored = share.declared.carried, share.stored
    blocks, links = matched.names[BLOCK], ProductBlockResourceTypeTable
    pairs = [(blocks[block], value) for block, value in carried if block in blocks]
    gone = {
        (stored[BLOCK][block].id, share.everything[VALUE][value].id)
        for block, value in pairs
        if value in stored[BLOCK][block].links["values"]
    }
    if gone:
        columns = sa.tuple_(links.product_block_id, links.resource_type_id)
        current_session().execute(sa.delete(links).where(columns.in_(gone)))
        unused = ResourceTypeTable.resource_type_id.in_([value for _, value in gone]) & ~sa.exists().where(
            links.resource_type_id == ResourceTypeTable.resource_type_id
        )
        named = ResourceTypeTable.resource_type.not_in(share.declared.values)
        current_session().execute(sa.delete(ResourceTypeTable).where(unused, named))


def _with_stored_inputs(share: Share, matched: Match) -> DeclaredCatalogue:
    """The same products, with the fixed inputs that only other code declares."""
    products = dict(share.declared.products)
    for name, known in matched.names[PRODUCT].items():
        there = share.stored[PRODUCT][known].columns["fixed_inputs"]
        products[name] = replace(products[name], fixed_inputs={**there, **products[name].fixed_inputs})
    return replace(share.declared, products=products)


def _ids(share: Share, matched: Match) -> Ids:
    """The id of all that is declared or stored, by name.

    Of a declared row it is that of the stored row, else that of its name (its oldest name, when renamed).
    """
    ids: dict[Kind, dict[str, UUID]] = {}
    for kind in KINDS:
        ids[kind] = {name: row.id for name, row in share.everything[kind].items()}
        known, taken = matched.names[kind], set(ids[kind].values())
        for name, row in share.declared.of(kind).items():
            ids[kind][name] = ids[kind][known[name]] if name in known else _new_id(kind, name, row, taken)
    return ids


def _new_id(kind: Kind, name: str, row: Any, taken: Set[UUID]) -> UUID:
    of, known_as = kind.title.replace(" ", "_"), (*row.formerly, name)[0]
    # A row that once had this name, perhaps of another location, has kept the id.
    while (found := catalogue_id(of, known_as)) in taken:
        known_as = f"{getattr(row, 'owner', '')}:{known_as if known_as.startswith(':') else name}"
    return found


def _edit_subscriptions(share: Share, matched: Match, fills: Fills, *, drop_values: bool) -> None:
    """Rename, fill and drop what subscriptions hold, in a number of statements that no number of them changes."""
    fields = {
        kind: {
            (known, old): new
            for name, known in matched.names[kind].items()
            for old, new in share.declared.of(kind)[name].moved.items()
        }
        for kind in (BLOCK, PRODUCT)
    }
    places = count_places(fields[BLOCK], fields[PRODUCT])  # a field that was moved before is not moved again
    roots: dict[UUID, dict[str, str]] = {}
    for known, old in places[PRODUCT]:
        roots.setdefault(share.stored[PRODUCT][known].id, {})[old] = fields[PRODUCT][known, old]
    moved: dict[str, dict[str, str]] = {}
    for known, old in places[BLOCK]:
        moved.setdefault(known, {})[old] = fields[BLOCK][known, old]
    edit_root_fields(roots)
    edit_stored_values(_edits(share.declared, matched, fills, moved, drop_values=drop_values))


def _edits(
    declared: DeclaredCatalogue,
    matched: Match,
    fills: Fills,
    moved_fields: Mapping[str, Mapping[str, str]],
    *,
    drop_values: bool,
) -> dict[str, BlockEdit]:
    surplus = surplus_values(declared, matched, count_all_holders()) if drop_values else {}
    edits: dict[str, BlockEdit] = {}
    for name, known in matched.names[BLOCK].items():
        moved = moved_fields.get(known, {})
        edit = BlockEdit(
            name,
            {**moved, **matched.renamed_values.get(name, {})},
            surplus.get(known, set()),
            {value: given for (block, value), given in fills.items() if block == name},
            moved,
        )
        if name != known or edit.renamed or edit.dropped or edit.filled:
            edits[known] = edit
    return edits


def _take_away(kind: Kind, share: Share, matched: Match) -> None:
    """Remove rows that nothing uses, leave to another location the blocks that it uses, retire the others."""
    gone = list(vanished(kind, share, matched))
    key = kind.table.__table__.c[kind.key]
    if kind is BLOCK:
        for left in [row for row, _ in gone if row.name in share.heirs]:
            given = sa.update(kind.table).where(key == left.id).values(owner=share.heirs[left.name])
            current_session().execute(given)
        gone = [(row, kept) for row, kept in gone if row.name not in share.heirs]
    if unused := [row.id for row, kept in gone if not kept]:
        current_session().execute(sa.delete(kind.table).where(key.in_(unused)))
    if kind.ended and (used := [row.id for row, kept in gone if kept and not row.retired]):
        status = {"status": ProductLifecycle.END_OF_LIFE.value} if "status" in kind.edited else {}
        ended = sa.update(kind.table).where(key.in_(used)).values({kind.ended: sa.func.now(), **status})
        current_session().execute(ended)


def _put_rows(declared: DeclaredCatalogue, ids: Ids) -> None:
    """Insert new rows and update the others, except what people may edit: descriptions, and status unless retired."""
    for kind in KINDS:
        columns = (*kind.edited, *kind.owned)
        unended = {kind.ended: None} if kind.ended else {}
        rows = [
            {kind.key: ids[kind][name], kind.name: name, **{one: getattr(row, one) for one in columns}, **unended}
            for name, row in declared.of(kind).items()
        ]
        _upsert(kind.table, rows, (kind.key,), (kind.name, *kind.owned), ended=kind.ended)


def _remove_links(share: Share, ids: Ids) -> None:
    """Remove links that are no longer declared; links of retired rows stay."""
    declared = share.declared
    for link in LINKS:
        declared_ids = {ids[link.holder][name] for name in declared.of(link.holder)}
        there = {
            (row.id, share.everything[link.held][name].id)
            for row in share.stored[link.holder].values()
            for name in row.links[link.name]
            if row.id in declared_ids
        }
        if surplus := there - _wanted(link, declared, ids).keys():
            columns = sa.tuple_(*(getattr(link.table, name) for name in link.columns))
            current_session().execute(sa.delete(link.table).where(columns.in_(surplus)))


def _put_links(declared: DeclaredCatalogue, ids: Ids) -> None:
    for link in LINKS:
        wanted = _wanted(link, declared, ids)
        rows = [{**dict(zip(link.columns, pair, strict=True)), **limits} for pair, limits in wanted.items()]
        _upsert(link.table, rows, link.columns, tuple(rows[0].keys() - set(link.columns)) if rows else ())


def _wanted(link: Link, declared: DeclaredCatalogue, ids: Ids) -> dict[tuple[UUID, UUID], dict[str, Any]]:
    """The links that the code declares, as the ids of both ends, with numbers of blocks and types of values."""
    wanted: dict[tuple[UUID, UUID], dict[str, Any]] = {}
    for holder, row in declared.of(link.holder).items():
        held = getattr(row, link.name)
        for name in held:
            limits: dict[str, Any] = {}
            if link.name == "holds":
                limits = {"min": held[name].minimum, "max": held[name].maximum}
            elif link.name == "values":
                limits = {"type": held[name].type}
            wanted[ids[link.holder][holder], ids[link.held][name]] = limits
    return wanted


def _upsert(
    table: type[Table],
    rows: list[dict[str, Any]],
    key: Iterable[str],
    owned: Iterable[str],
    *,
    ended: str | None = None,
) -> None:
    """Insert the rows; of rows that exist write only the `owned` columns, and revive one that is `ended`."""
    if not rows:
        return
    statement = insert(table)
    values: dict[str, Any] = {name: statement.excluded[name] for name in owned}
    if ended:
        columns = table.__table__.c
        values[ended] = None
        if "status" in columns:
            values["status"] = sa.case(
                (columns[ended].is_not(None), statement.excluded["status"]), else_=columns["status"]
            )
    if values:
        upsert = statement.on_conflict_do_update(index_elements=list(key), set_=values)
    else:
        upsert = statement.on_conflict_do_nothing(index_elements=list(key))
    current_session().execute(upsert, rows)
