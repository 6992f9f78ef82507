"""Finds the differences between the catalogue of the code and that of the database, and describes them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from resources.catalogue.differences import (
    Counts,
    Difference,
    column_differences,
    count,
    hold_differences,
    link_differences,
    moved_fields,
    retyped_values,
    root_differences,
    stored_name,
    value_differences,
)
from resources.catalogue.kinds import BLOCK, KINDS, NOBODY, PRODUCT, VALUE, WORKFLOW, Kind, Names, Title
from resources.catalogue.owners import Share
from resources.catalogue.rows import BlockRow, DeclaredCatalogue, ProductRow, ValueRow
from resources.catalogue.stored import (
    Holders,
    Pair,
    StoredCatalogue,
    StoredRow,
    count_all_holders,
    count_holders,
    count_lacking,
    count_places,
    held_values,
)

READING_ORDER = (WORKFLOW, VALUE, BLOCK, PRODUCT)
Action = Literal["create", "update", "remove"]


@dataclass(frozen=True)
class CatalogueChange:
    """A difference. `subscriptions`: how many it affects. `processes`: how many in flight need the row.

    `warning`: think before applying it. `takes_away`: it removes or retires something, so somebody has to consent.
    `adopts`: only the owner changes. `blocked`: it cannot be applied, since subscriptions would fail to load.
    `refills`: the product or block whose subscriptions the back-fill has to visit.
    """

    action: Action
    kind: Title
    name: str
    detail: str
    subscriptions: int = 0
    warning: bool = False
    takes_away: bool = False
    adopts: bool = False
    processes: int = 0
    blocked: bool = False
    refills: str = ""

    @property
    def touched(self) -> str:
        """What it affects, in words."""
        numbers = {"subscription": self.subscriptions, "process in flight": self.processes}
        return ", ".join(count(number, what) for what, number in numbers.items() if number)

    def __str__(self) -> str:
        touched = f" [{self.touched}]" if self.touched else ""
        return f"{self.action} {self.kind} '{self.name}': {self.detail}{touched}"


@dataclass(frozen=True)
class CataloguePlan:
    """All differences, in the order for people; falsy when there are none.

    `owner`: the code location whose rows were compared. `others`: the owners of the other rows, with their numbers.
    """

    changes: tuple[CatalogueChange, ...] = ()
    owner: str = ""
    others: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __iter__(self) -> Iterator[CatalogueChange]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def warnings(self) -> tuple[CatalogueChange, ...]:
        """The changes that make subscriptions unreadable or leave something behind."""
        return tuple(change for change in self.changes if change.warning)

    @property
    def additions(self) -> "CataloguePlan":
        """The changes that remove nothing."""
        return replace(self, changes=tuple(change for change in self.changes if not change.takes_away))

    @property
    def removals(self) -> "CataloguePlan":
        """The changes that remove or retire something."""
        return replace(self, changes=tuple(change for change in self.changes if change.takes_away))

    @property
    def blocked(self) -> tuple[CatalogueChange, ...]:
        """The changes that cannot be applied, since subscriptions would fail to load."""
        return tuple(change for change in self.changes if change.blocked)

    @property
    def reads_old_values(self) -> bool:
        """Whether the back-fill has to read what is stored before values may be deleted."""
        return any(one.refills and not one.takes_away for one in self.changes)

    def refilled(self, kind: Kind) -> list[str]:
        """The products, or blocks, whose subscriptions the back-fill has to visit."""
        return sorted({one.refills for one in self.changes if one.kind == kind.title and one.refills})

    @property
    def needed(self) -> "CataloguePlan":
        """The changes without which the code cannot run."""
        return replace(self, changes=tuple(change for change in self.additions if not change.adopts))


@dataclass(frozen=True)
class Match:
    """Pairs stored and declared rows: `names` maps the declared name to the stored name."""

    names: Names
    renamed_values: Mapping[str, Mapping[str, str]]
    """Declared block name -> old value name -> new value name."""


def match(declared: DeclaredCatalogue, stored: StoredCatalogue) -> Match:
    """Find the stored row of each declared one: by its name, else by the newest of its former names."""
    names: dict[Kind, dict[str, str]] = {}
    for kind in KINDS:
        candidates = {name: (name, *reversed(row.formerly)) for name, row in declared.of(kind).items()}
        found = {name: next((one for one in known if one in stored[kind]), "") for name, known in candidates.items()}
        names[kind] = {name: known for name, known in found.items() if known}
    renamed = {
        name: moved
        for name, known in names[BLOCK].items()
        if (moved := _renamed_values(declared.blocks[name], stored[BLOCK][known].links["values"]))
    }
    used = declared.values
    for moved in renamed.values():  # a resource type that no block uses any more is carried over
        names[VALUE] |= {
            new: old
            for old, new in moved.items()
            if new not in stored[VALUE] and old in stored[VALUE] and old not in used
        }
    return Match(names, renamed)


def _renamed_values(row: BlockRow, held: Iterable[str]) -> dict[str, str]:
    there = set(held)
    moved: dict[str, str] = {}
    for name, value in row.values.items():
        old = next((one for one in reversed(value.formerly) if one in there and one not in row.values), None)
        if name not in there and old:
            moved[old] = name
    return moved


def vanished(kind: Kind, share: Share, matched: Match) -> Iterator[tuple[StoredRow, bool]]:
    """The rows that the code no longer has, by name, and whether they are kept, because something uses them."""
    stored = share.stored
    known = set(matched.names[kind].values())
    kept_values: set[str] = set()
    if kind is VALUE:
        kept_values.update(*(block.links["values"] for block, kept in vanished(BLOCK, share, matched) if kept))
    for name, row in sorted(stored[kind].items()):
        if name not in known:
            is_left = kind is BLOCK and name in share.heirs
            yield row, kind is WORKFLOW or row.subscriptions > 0 or name in kept_values or is_left


def compare(
    owner: str, share: Share, *, drop_values: bool = False, fills: Mapping[Pair, Any] | None = None
) -> CataloguePlan:
    """All changes that `apply` would make to the share of a location."""
    matched = match(share.declared, share.stored)
    counts = _counts(share.declared, share.stored, matched, fills or {}, drop_values=drop_values)
    found = _Comparison(share, matched, counts)
    changes = tuple(change for kind in READING_ORDER for change in found.changes(kind))
    return CataloguePlan(changes, owner, share.others())


def _counts(
    declared: DeclaredCatalogue,
    stored: StoredCatalogue,
    matched: Match,
    fills: Mapping[Pair, Any],
    *,
    drop_values: bool,
) -> Counts:
    """The counts of instances that the comparison needs."""
    gone: list[Pair] = []
    wanted: dict[Pair, Iterable[str]] = {}
    retyped: list[Pair] = []
    for name, known in matched.names[BLOCK].items():
        row, before, moved = declared.blocks[name], stored[BLOCK][known], matched.renamed_values.get(name, {})
        held = before.links["values"].keys()
        gone += [(known, value) for value in sorted(held - row.values.keys())]
        for value in sorted(row.values.keys() - held - set(moved.values())):
            one = row.values[value]
            if one.origin or (name, value) in fills:
                wanted[known, value] = ()
            elif one.required_in:
                wanted[known, value] = one.required_in
        retyped += [(known, stored_name(moved, value)) for value in retyped_values(row, before, moved)]
    fields: dict[Kind, list[Pair]] = {
        kind: [(known, old) for name, known in matched.names[kind].items() for old in declared.of(kind)[name].moved]
        for kind in (BLOCK, PRODUCT)
    }
    return Counts(
        count_all_holders() if drop_values else count_holders(gone),
        count_lacking(wanted),
        held_values(retyped),
        count_places(fields[BLOCK], fields[PRODUCT]),
        drop_values,
        declared.carried,
        fills,
    )


def surplus_values(declared: DeclaredCatalogue, matched: Match, holders: Mapping[Pair, Holders]) -> dict[str, set[str]]:
    """For each stored block name: values that instances hold and the model lacks."""
    declared_names = {known: name for name, known in matched.names[BLOCK].items()}
    surplus: dict[str, set[str]] = {}
    for block, value in holders:
        if (name := declared_names.get(block)) is None:
            continue
        moved = matched.renamed_values.get(name, {})
        if value not in declared.blocks[name].values and value not in moved:
            surplus.setdefault(block, set()).add(value)
    return surplus


@dataclass(frozen=True)
class _Comparison:
    """Both catalogues, and the pairs of their rows."""

    share: Share
    matched: Match
    counts: Counts

    @property
    def declared(self) -> DeclaredCatalogue:
        """What the code declares."""
        return self.share.declared

    @property
    def stored(self) -> StoredCatalogue:
        """The rows of the location."""
        return self.share.stored

    def changes(self, kind: Kind) -> Iterator[CatalogueChange]:
        """Every difference in the rows of a kind."""
        for name, row in self.declared.of(kind).items():
            known = self.matched.names[kind].get(name)
            if known is None:
                yield self._created(kind, row)
                continue
            before = self.stored[kind][known]
            for one in self._differences(kind, row, before):
                yield _changed(kind, name, before, one)
        if kind is BLOCK and self.counts.dropping:
            yield from self._dropped()
        for row, kept in vanished(kind, self.share, self.matched):
            if kind is BLOCK and row.name in self.share.heirs:
                heir = self.share.heirs[row.name] or NOBODY
                detail = f"no longer in the code; it becomes that of '{heir}', which uses it"
                yield CatalogueChange("update", kind.title, row.name, detail, row.subscriptions, takes_away=True)
            elif not kept or (kind.ended and not row.retired):
                yield self._vanished(kind, row)

    def _created(self, kind: Kind, row: Any) -> CatalogueChange:
        known = self.matched.names[PRODUCT].get(row.split_from) if kind is PRODUCT else None
        if known is None:
            return CatalogueChange("create", kind.title, row.name, _summary(row))
        source = self.stored[PRODUCT][known]
        detail = f"{_summary(row)}; the back-fill gives it those subscriptions of '{row.split_from}' that belong to it"
        touched = source.subscriptions, source.processes
        return CatalogueChange(
            "create", kind.title, row.name, detail, touched[0], processes=touched[1], refills=row.split_from
        )

    def _differences(self, kind: Kind, row: Any, before: StoredRow) -> Iterator[Difference]:
        names = {known: name for name, known in self.matched.names[BLOCK].items()}
        if before.name != row.name:
            yield Difference(f"renamed from '{before.name}'{kind.when_renamed}", refills=kind is PRODUCT)
        if before.retired:
            status = f"; its status becomes '{row.status}'" if kind is PRODUCT else ""
            yield Difference(f"is back in the code{status}")
        for column, old in before.columns.items():
            if old != getattr(row, column):
                yield from column_differences(column, old, getattr(row, column))
        if kind is PRODUCT:
            yield from root_differences(row, before, names)
            workflows = {known: name for name, known in self.matched.names[WORKFLOW].items()}
            there = {workflows.get(name, name) for name in before.links["workflows"]}
            yield from link_differences("workflow", row.workflows, there)
            yield from moved_fields(kind, row, before, self.counts)
        if kind is BLOCK:
            yield from value_differences(row, before, self.matched.renamed_values.get(row.name, {}), self.counts)
            yield from hold_differences(row, before, names)
            yield from moved_fields(kind, row, before, self.counts)

    def _dropped(self) -> Iterator[CatalogueChange]:
        names = {known: name for name, known in self.matched.names[BLOCK].items()}
        for block, values in sorted(surplus_values(self.declared, self.matched, self.counts.holders).items()):
            for value in sorted(values):
                held = self.counts.holders[block, value]
                detail = f"value '{value}' dropped from {count(held.instances, 'instance')}"
                number = held.subscriptions
                yield CatalogueChange(
                    "update", BLOCK.title, block, detail, number, True, takes_away=True, refills=names[block]
                )

    def _vanished(self, kind: Kind, row: StoredRow) -> CatalogueChange:
        has, blocked = row.subscriptions, False
        detail = "no block has it" if kind is VALUE else "no longer in the code"
        if kind is VALUE and row.name in {name for _, name in self.declared.carried}:
            return CatalogueChange("remove", kind.title, row.name, f"{detail}; another takes it over")
        if kind is WORKFLOW:
            detail += "; its processes keep their history"
            if row.processes:
                detail += ", and those that have not ended cannot continue: let them end first, or abort them"
        if has:
            detail += ", but subscriptions have it: kept as 'end of life'"
        if has and kind is PRODUCT and any(one.split_from == row.name for one in self.declared.products.values()):
            detail, blocked = "keep it in the code until the back-fill has given away its subscriptions", True
        warns = has > 0 or (kind is WORKFLOW and row.processes > 0)
        return CatalogueChange(
            "remove", kind.title, row.name, detail, has, warns, True, processes=row.processes, blocked=blocked
        )


def _changed(kind: Kind, name: str, before: StoredRow, one: Difference) -> CatalogueChange:
    touched = before.subscriptions if one.subscriptions is None else one.subscriptions
    is_row_alone = one.adopts or (kind is not WORKFLOW and not touched)
    return CatalogueChange(
        "update",
        kind.title,
        name,
        one.detail,
        touched,
        one.warning,
        one.takes_away,
        one.adopts,
        0 if is_row_alone else before.processes,
        one.blocked,
        name if one.refills and touched else "",
    )


def _summary(row: Any) -> str:
    """The description of a new row."""
    match row:
        case ProductRow():
            inputs = "".join(f", {key} {value}" for key, value in row.fixed_inputs.items())
            return f"type {row.product_type}, tag {row.tag}{inputs}"
        case BlockRow():
            return f"values {', '.join(sorted(row.values))}" if row.values else "no values"
        case ValueRow():
            return row.description
    return f"{row.target}{', a task' if row.is_task else ''}"
