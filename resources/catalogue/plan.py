"""Finds the differences between the catalogue of the code and that of the database, and describes them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from resources.catalogue.kinds import BLOCK, KINDS, NOBODY, PRODUCT, VALUE, WORKFLOW, Kind, Names, Title
from resources.catalogue.owners import Share
from resources.catalogue.rows import BlockRow, DeclaredCatalogue, Multiplicity, ProductRow, ValueRow
from resources.catalogue.stored import (
    Holders,
    StoredCatalogue,
    StoredRow,
    count_all_holders,
    count_holders,
    count_lacking,
)

UNHELD = Holders(0, 0)
READING_ORDER = (WORKFLOW, VALUE, BLOCK, PRODUCT)
Action = Literal["create", "update", "remove"]


@dataclass(frozen=True)
class CatalogueChange:
    """A difference. `subscriptions`: how many it affects. `warning`: think before applying it.

    `takes_away`: it removes or retires something, so somebody has to consent. `adopts`: only the owner changes.
    """

    action: Action
    kind: Title
    name: str
    detail: str
    subscriptions: int = 0
    warning: bool = False
    takes_away: bool = False
    adopts: bool = False

    def __str__(self) -> str:
        touched = f" [{_count(self.subscriptions, 'subscription')}]" if self.subscriptions else ""
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


def compare(owner: str, share: Share, *, drop_values: bool = False) -> CataloguePlan:
    """All changes that `apply` would make to the share of a location."""
    matched = match(share.declared, share.stored)
    counts = _Counts.of(share.declared, share.stored, matched, drop_values=drop_values)
    found = _Comparison(share, matched, counts)
    changes = tuple(change for kind in READING_ORDER for change in found.changes(kind))
    return CataloguePlan(changes, owner, share.others())


@dataclass(frozen=True)
class _Counts:
    """The counts of instances that the comparison needs."""

    holders: Mapping[tuple[str, str], Holders]
    lacking: Mapping[tuple[str, str], int]
    dropping: bool

    @classmethod
    def of(
        cls, declared: DeclaredCatalogue, stored: StoredCatalogue, matched: Match, *, drop_values: bool
    ) -> "_Counts":
        gone: list[tuple[str, str]] = []
        required: dict[tuple[str, str], Iterable[str]] = {}
        for name, known in matched.names[BLOCK].items():
            row, held = declared.blocks[name], stored[BLOCK][known].links["values"].keys()
            gone += [(known, value) for value in sorted(held - row.values.keys())]
            arrived = row.values.keys() - held - set(matched.renamed_values.get(name, {}).values())
            required |= {(known, v): row.values[v].required_in for v in sorted(arrived) if row.values[v].required_in}
        holders = count_all_holders() if drop_values else count_holders(gone)
        return cls(holders, count_lacking(required), drop_values)


def surplus_values(
    declared: DeclaredCatalogue, matched: Match, holders: Mapping[tuple[str, str], Holders]
) -> dict[str, set[str]]:
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
class _Difference:
    """A difference in a row that both have; `subscriptions` when it does not affect all that use the row."""

    detail: str
    takes_away: bool = False
    warning: bool = False
    subscriptions: int | None = None
    adopts: bool = False


@dataclass(frozen=True)
class _Comparison:
    """Both catalogues, and the pairs of their rows."""

    share: Share
    matched: Match
    counts: _Counts

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
                yield CatalogueChange("create", kind.title, name, _summary(row))
                continue
            before = self.stored[kind][known]
            for one in self._differences(kind, row, before):
                touched = before.subscriptions if one.subscriptions is None else one.subscriptions
                yield CatalogueChange(
                    "update", kind.title, name, one.detail, touched, one.warning, one.takes_away, one.adopts
                )
        if kind is BLOCK and self.counts.dropping:
            yield from _dropped(surplus_values(self.declared, self.matched, self.counts.holders), self.counts.holders)
        for row, kept in vanished(kind, self.share, self.matched):
            if kind is BLOCK and row.name in self.share.heirs:
                heir = self.share.heirs[row.name] or NOBODY
                detail = f"no longer in the code; it becomes that of '{heir}', which uses it"
                yield CatalogueChange("update", kind.title, row.name, detail, row.subscriptions, takes_away=True)
            elif not kept or (kind.ended and not row.retired):
                yield _vanished(kind, row)

    def _differences(self, kind: Kind, row: Any, before: StoredRow) -> Iterator[_Difference]:
        if before.name != row.name:
            yield _Difference(f"renamed from '{before.name}'{kind.when_renamed}")
        if before.retired:
            status = f"; its status becomes '{row.status}'" if kind is PRODUCT else ""
            yield _Difference(f"is back in the code{status}")
        for column, old in before.columns.items():
            if old != getattr(row, column):
                yield from _column(column, old, getattr(row, column))
        if kind is PRODUCT:
            blocks = self.matched.names[BLOCK]
            yield from _links("root block", {blocks.get(root, root) for root in row.roots}, before.links["roots"])
            yield from _links("workflow", row.workflows, before.links["workflows"])
        if kind is BLOCK:
            yield from self._values(row, before)
            yield from self._holds(row.holds, before.links["holds"])

    def _values(self, row: BlockRow, before: StoredRow) -> Iterator[_Difference]:
        held, moved = before.links["values"].keys(), self.matched.renamed_values.get(row.name, {})
        for old, new in moved.items():
            holders = self.counts.holders.get((before.name, old), UNHELD)
            where = f"moved in {_count(holders.instances, 'instance')}" if holders.instances else "no instance holds it"
            detail = f"value '{old}' renamed to '{new}'; {where}"
            yield _Difference(detail, subscriptions=holders.subscriptions)
        for value in sorted(row.values.keys() - held - set(moved.values())):
            lacking = self.counts.lacking.get((before.name, value), 0)
            yield _Difference(_added(row.values[value], lacking), warning=lacking > 0, subscriptions=lacking)
        for value in sorted(held - row.values.keys() - moved.keys()):
            holders = self.counts.holders.get((before.name, value), UNHELD)
            if not (self.counts.dropping and holders.instances):  # else `_dropped` reports it
                yield _Difference(_removed(value, holders), True, holders.instances > 0, holders.subscriptions)

    def _holds(self, new: Mapping[str, Multiplicity], before: Mapping[str, Multiplicity]) -> Iterator[_Difference]:
        names = {known: name for name, known in self.matched.names[BLOCK].items()}
        old = {names.get(held, held): number for held, number in before.items()}
        for name, number in sorted(new.items()):
            if name not in old:
                yield _Difference(f"may hold '{name}' ({number})")
            elif number != old[name]:
                yield _Difference(f"number of '{name}': {old[name]} → {number}")
        yield from (
            _Difference(f"no longer holds '{name}'", takes_away=True) for name in sorted(old.keys() - new.keys())
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


def _column(column: str, old: Any, new: Any) -> Iterator[_Difference]:
    match column:
        case "fixed_inputs":
            for key in sorted(new.keys() | old.keys()):
                was, becomes = ("nothing" if one.get(key) is None else one[key] for one in (old, new))
                if old.get(key) != new.get(key):
                    yield _Difference(f"fixed input {key}: {was} → {becomes}", takes_away=key not in new)
        case "owner":
            yield _Difference(f"becomes that of '{new}'; so far that of '{old or NOBODY}'", adopts=True)
        case "is_task":
            yield _Difference("becomes a task" if new else "is no longer a task")
        case _:
            yield _Difference(f"{column.removeprefix('product_')}: {old} → {new}")


def _links(what: str, new: Iterable[str], old: Iterable[str]) -> Iterator[_Difference]:
    wanted, there = set(new), set(old)
    yield from (_Difference(f"{what} '{name}' added") for name in sorted(wanted - there))
    yield from (_Difference(f"{what} '{name}' removed", takes_away=True) for name in sorted(there - wanted))


def _added(value: ValueRow, lacking: int) -> str:
    if not lacking:
        return f"value '{value.name}' added"
    statuses = ", ".join(sorted(value.required_in))
    return (
        f"value '{value.name}' added, required when {statuses} and without a default: "
        f"{_count(lacking, 'subscription')} without it would fail to load; give it a default or fill it first"
    )


def _removed(value: str, held: Holders) -> str:
    if not held.instances:
        return f"value '{value}' removed; no instance holds it"
    kept = _count(held.instances, "instance")
    return f"value '{value}' removed; {kept} hold it and keep it until it is applied with --drop-values"


def _dropped(surplus: Mapping[str, set[str]], holders: Mapping[tuple[str, str], Holders]) -> Iterator[CatalogueChange]:
    for block, values in sorted(surplus.items()):
        for value in sorted(values):
            held = holders[block, value]
            detail = f"value '{value}' dropped from {_count(held.instances, 'instance')}"
            yield CatalogueChange("update", BLOCK.title, block, detail, held.subscriptions, True, takes_away=True)


def _vanished(kind: Kind, row: StoredRow) -> CatalogueChange:
    has = row.subscriptions
    detail = "no block has it" if kind is VALUE else "no longer in the code"
    if kind is WORKFLOW:
        detail += "; its processes keep their history"
    if has:
        detail += ", but subscriptions have it: kept as 'end of life'"
    return CatalogueChange("remove", kind.title, row.name, detail, has, has > 0, takes_away=True)


def counted(numbers: Mapping[str, int]) -> str:
    """Numbers of rows in words."""
    listed = [f"{number} {_plural(what) if number != 1 else what}" for what, number in numbers.items()]
    return " and ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))


def _plural(what: str) -> str:
    return f"{what}{'e' * what.endswith('s')}s"


def _count(number: int, what: str) -> str:
    return counted({what: number})
