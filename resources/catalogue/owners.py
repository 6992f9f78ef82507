"""Decides whose a row of the catalogue is: a code location sees and changes its own rows, and shares what is shared.

Products, blocks and workflows have one owner. The built-in workflows are the engine's, the same in every location;
resource types are nobody's, and stay while a block has them. A row without an owner, from before owners were kept, and
one that its owner has retired are free: the next location that declares the name becomes the owner. A block may be
declared by several locations if all declare the same; the first one is its owner.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import KeyedColumnElement

from resources.catalogue.kinds import BLOCK, ENGINE, NOBODY, PRODUCT, VALUE, WORKFLOW, Kind
from resources.catalogue.rows import DeclaredCatalogue
from resources.catalogue.stored import StoredCatalogue, StoredRow
from resources.database.session import current_session
from resources.database.tables import EngineSettingsTable, ProcessTable
from resources.errors import CatalogueClash, CatalogueError

OWNED = (PRODUCT, BLOCK, WORKFLOW)
OWNER_COLUMNS: Mapping[str, KeyedColumnElement[Any]] = {
    **{kind.title: kind.table.__table__.c.owner for kind in OWNED},
    "process": ProcessTable.__table__.c.location,
}
MOST = 10
"""A refusal names at most so many rows."""


@dataclass(frozen=True)
class Share:
    """What a location acts on. `declared`: without the blocks of others that it uses too. `stored`: its rows.

    `heirs`: of its blocks that other locations use, the name of one of these.
    """

    declared: DeclaredCatalogue
    stored: StoredCatalogue
    everything: StoredCatalogue
    heirs: Mapping[str, str | None]

    def others(self) -> dict[str, Counter[str]]:
        """The owners of the other rows, with the number of rows of each kind."""
        found: dict[str, Counter[str]] = {}
        for kind, row in _foreign(self.everything, self.stored):
            if row.owner != ENGINE:
                found.setdefault(row.owner or NOBODY, Counter())[kind.title] += 1
        return dict(sorted(found.items()))


def share_of(
    owner: str, declared: DeclaredCatalogue, everything: StoredCatalogue, take_over: str | None = None
) -> Share:
    """The share of a location, with the rows that it takes over. Raises CatalogueClash."""
    mine = {owner} if take_over is None else {owner, None if take_over == NOBODY else take_over}
    stored = {kind: _own(kind, declared, everything, mine) for kind in OWNED}
    shared = {name for name in _taken(BLOCK, declared, everything, stored) if _same(declared, everything, name)}
    _refuse_clashes(owner, declared, everything, stored, shared)
    foreign = {name for _, row in _foreign(everything, stored) for name in row.links["values"]}
    own = replace(declared, blocks={name: row for name, row in declared.blocks.items() if name not in shared})
    values = own.values
    stored[VALUE] = {name: row for name, row in everything[VALUE].items() if name in values or name not in foreign}
    return Share(own, stored, everything, _heirs(everything, stored))


def belongings(owner: str) -> Counter[str]:
    """How many rows of each kind, and processes, belong to a location. Raises CatalogueError if none does."""
    session, found = current_session(), Counter[str]()
    for title, column in OWNER_COLUMNS.items():
        if number := session.scalar(sa.select(sa.func.count()).where(_is(column, owner))):
            found[title] = number
    if not found:
        names: set[str | None] = set()
        for column in OWNER_COLUMNS.values():
            names.update(session.scalars(sa.select(column).distinct()))
        known = ", ".join(f"'{name}'" for name in sorted(filter(None, names - {ENGINE}))) or "nobody yet"
        raise CatalogueError(f"Nothing in the database belongs to code location '{owner}'; rows belong to {known}.")
    return found


def become_owner(owner: str, former: str) -> None:
    """Give all that belongs to the location `former` to `owner`. Raises CatalogueError if nothing does."""
    session = current_session()
    for title in belongings(former):
        column = OWNER_COLUMNS[title]
        session.execute(sa.update(column.table).where(_is(column, former)).values({column: owner}))
    known = EngineSettingsTable.catalogue_hash
    session.execute(sa.update(EngineSettingsTable).values(catalogue_hash=known.op("-")(former)))


def _is(column: KeyedColumnElement[Any], owner: str) -> sa.ColumnElement[bool]:
    # Any location continues processes of nobody as they are.
    nobodys = sa.false() if column.table is ProcessTable.__table__ else column.is_(None)
    return nobodys if owner == NOBODY else column == owner


def _own(
    kind: Kind, declared: DeclaredCatalogue, everything: StoredCatalogue, mine: Collection[str | None]
) -> dict[str, StoredRow]:
    """The rows of these owners, and what is free and declared."""
    wanted = {name for row in declared.of(kind).values() for name in (row.name, *row.formerly)}
    return {
        name: row
        for name, row in everything[kind].items()
        if row.owner in mine or (name in wanted and (row.owner in (None, ENGINE) or row.retired))
    }


def _taken(
    kind: Kind, declared: DeclaredCatalogue, everything: StoredCatalogue, stored: StoredCatalogue
) -> Iterator[str]:
    """The declared names, present or former, whose rows belong to others."""
    for name, row in declared.of(kind).items():
        known = next((one for one in (name, *reversed(row.formerly)) if one in everything[kind]), None)
        if known and known not in stored[kind]:
            yield known


def _same(declared: DeclaredCatalogue, everything: StoredCatalogue, name: str) -> bool:
    """Whether a block is declared as its owner has it."""
    row, there = declared.blocks.get(name), everything[BLOCK][name]
    return row is not None and row.is_part_of(there.columns["tag"], there.links["values"], there.links["holds"])


def _refuse_clashes(
    owner: str,
    declared: DeclaredCatalogue,
    everything: StoredCatalogue,
    stored: StoredCatalogue,
    shared: Collection[str],
) -> None:
    clashes: dict[str, list[str]] = {}
    for kind in OWNED:
        for name in _taken(kind, declared, everything, stored):
            if not (kind is BLOCK and name in shared):
                clashes.setdefault(everything[kind][name].owner or NOBODY, []).append(f"{kind.title} '{name}'")
    if clashes:
        raise CatalogueClash(" ".join(_clash(owner, other, names) for other, names in sorted(clashes.items())))


def _clash(owner: str, other: str, names: list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    same = "A block may be in both if its tag and its values are the same in both. " if "block" in str(names) else ""
    return (
        f"Code location '{owner}' declares what belongs to code location '{other}': {', '.join(names[:MOST])}{more}. "
        f"Names are unique in a database: choose others. {same}If '{other}' is the former name of '{owner}', run "
        f"`orchestrator catalogue apply --take-over {other}`."
    )


def _foreign(everything: StoredCatalogue, stored: StoredCatalogue) -> Iterator[tuple[Kind, StoredRow]]:
    for kind in OWNED:
        yield from ((kind, row) for name, row in everything[kind].items() if name not in stored[kind])


def _heirs(everything: StoredCatalogue, stored: StoredCatalogue) -> dict[str, str | None]:
    holders = sorted(
        ((row.owner, row) for _, row in _foreign(everything, stored) if not row.retired),
        key=lambda each: (each[0] is not None, each[0] or ""),
    )
    return {name: owner for owner, row in holders for link in ("roots", "holds") for name in row.links[link]}
