"""The differences between the catalogue of the code and the one in the database, in words."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from resources.catalogue.rows import BlockRow, DeclaredCatalogue, Multiplicity, ProductRow, ValueRow, WorkflowRow
from resources.catalogue.stored import (
    Holders,
    StoredBlock,
    StoredCatalogue,
    StoredProduct,
    StoredWorkflow,
    count_all_holders,
    count_holders,
    count_lacking,
)

NOBODY = Holders(0, 0)
Action = Literal["create", "update", "remove"]
Kind = Literal["product", "product block", "resource type", "workflow"]


@dataclass(frozen=True)
class CatalogueChange:
    """One difference. `subscriptions`: how many it touches. `warning`: think before applying it.

    `takes_away`: other code may still want what it ends, so nothing but `orchestrator catalogue apply` does it.
    """

    action: Action
    kind: Kind
    name: str
    detail: str
    subscriptions: int = 0
    warning: bool = False
    takes_away: bool = False

    def __str__(self) -> str:
        touched = f" [{_count(self.subscriptions, 'subscription')}]" if self.subscriptions else ""
        return f"{self.action} {self.kind} '{self.name}': {self.detail}{touched}"


@dataclass(frozen=True)
class CataloguePlan:
    """All differences, in the order in which people read them; falsy when there is none."""

    changes: tuple[CatalogueChange, ...] = ()

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
        """The part that adds and updates, without what takes something away."""
        return CataloguePlan(tuple(change for change in self.changes if not change.takes_away))


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def formerly(self) -> tuple[str, ...]: ...


Stored = TypeVar("Stored")


@dataclass(frozen=True)
class Match:
    """Which stored row is which declared one; `blocks` and `products` map the declared name to the stored name."""

    products: Mapping[str, str]
    blocks: Mapping[str, str]
    values: Mapping[str, str]
    """Declared resource type name -> stored name, for renamed resource types whose row is carried over."""
    renamed_values: Mapping[str, Mapping[str, str]]
    """Declared block name -> old value name -> new value name."""


def match(declared: DeclaredCatalogue, stored: StoredCatalogue) -> Match:
    """Find the stored row of each declared thing: by its name, else by the newest of its former names."""
    blocks = _match(declared.blocks, stored.blocks)
    renamed = {
        name: moved
        for name, row in declared.blocks.items()
        if name in blocks and (moved := _renamed_values(row, stored.blocks[blocks[name]].values))
    }
    used = {value for block in declared.blocks.values() for value in block.values}
    values = {
        new: old
        for moved in renamed.values()
        for old, new in moved.items()
        if new not in stored.values and old not in used
    }
    return Match(_match(declared.products, stored.products), blocks, values, renamed)


def _match(declared: Mapping[str, _Named], stored: Mapping[str, Stored]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, row in declared.items():
        candidates = (name, *reversed(row.formerly))
        if known := next((candidate for candidate in candidates if candidate in stored), None):
            found[name] = known
    return found


def _renamed_values(row: BlockRow, stored: Iterable[str]) -> dict[str, str]:
    held = set(stored)
    moved: dict[str, str] = {}
    for name, value in row.values.items():
        old = next((former for former in reversed(value.formerly) if former in held and former not in row.values), None)
        if name not in held and old:
            moved[old] = name
    return moved


def compare(declared: DeclaredCatalogue, stored: StoredCatalogue, *, drop_values: bool = False) -> CataloguePlan:
    """Every difference that `apply` would remove; at most two statements on top of reading the catalogue."""
    matched = match(declared, stored)
    counts = _Counts.of(declared, stored, matched, drop_values=drop_values)
    return CataloguePlan(
        (
            *_workflows(declared.workflows, stored.workflows),
            *_resource_types(declared, stored, matched),
            *_blocks(declared, stored, matched, counts),
            *_products(declared, stored, matched),
        )
    )


@dataclass(frozen=True)
class _Counts:
    """What the comparison asks of the instances."""

    holders: Mapping[tuple[str, str], Holders]
    lacking: Mapping[tuple[str, str], int]
    dropping: bool

    @classmethod
    def of(
        cls, declared: DeclaredCatalogue, stored: StoredCatalogue, matched: Match, *, drop_values: bool
    ) -> "_Counts":
        gone: list[tuple[str, str]] = []
        required: dict[tuple[str, str], Iterable[str]] = {}
        for name, known in matched.blocks.items():
            row, block = declared.blocks[name], stored.blocks[known]
            gone += [(known, value) for value in sorted(block.values - set(row.values))]
            arrived = set(row.values) - block.values - set(matched.renamed_values.get(name, {}).values())
            required |= {(known, v): row.values[v].required_in for v in sorted(arrived) if row.values[v].required_in}
        holders = count_all_holders() if drop_values else count_holders(gone)
        return cls(holders, count_lacking(required), drop_values)


def surplus_values(
    declared: DeclaredCatalogue, matched: Match, holders: Mapping[tuple[str, str], Holders]
) -> dict[str, set[str]]:
    """Per stored block name: values that instances hold and the model does not know."""
    declared_names = {known: name for name, known in matched.blocks.items()}
    surplus: dict[str, set[str]] = {}
    for block, value in holders:
        if (name := declared_names.get(block)) is None:
            continue
        moved = matched.renamed_values.get(name, {})
        if value not in declared.blocks[name].values and value not in moved:
            surplus.setdefault(block, set()).add(value)
    return surplus


def _workflows(declared: Mapping[str, WorkflowRow], stored: Mapping[str, StoredWorkflow]) -> Iterator[CatalogueChange]:
    for name, row in declared.items():
        known = stored.get(name)
        if known is None:
            yield CatalogueChange("create", "workflow", name, f"{row.target}{', a task' if row.is_task else ''}")
            continue
        if known.deleted:
            yield CatalogueChange("update", "workflow", name, "is back in the code")
        if known.target != row.target:
            yield CatalogueChange("update", "workflow", name, f"target: {known.target} → {row.target}")
        if known.is_task != row.is_task:
            yield CatalogueChange(
                "update", "workflow", name, "becomes a task" if row.is_task else "is no longer a task"
            )
    for name in sorted(set(stored) - set(declared)):
        if not stored[name].deleted:
            detail = "no longer in the code; its processes keep their history"
            yield CatalogueChange("remove", "workflow", name, detail, takes_away=True)


def _resource_types(declared: DeclaredCatalogue, stored: StoredCatalogue, matched: Match) -> Iterator[CatalogueChange]:
    descriptions = value_descriptions(declared)
    for name in sorted(descriptions):
        if old := matched.values.get(name):
            yield CatalogueChange("update", "resource type", name, f"renamed from '{old}'")
        elif name not in stored.values:
            yield CatalogueChange("create", "resource type", name, descriptions[name])
    for name in sorted(unused_values(declared, stored, matched)):
        yield CatalogueChange("remove", "resource type", name, "no block has it", takes_away=True)


def value_descriptions(declared: DeclaredCatalogue) -> dict[str, str]:
    """The resource types; of blocks that share one, the first that describes it decides."""
    described: dict[str, str] = {}
    for block in declared.blocks.values():
        for name, row in block.values.items():
            described[name] = described.get(name) or row.description
    return {name: text or name.replace("_", " ") for name, text in described.items()}


def unused_values(declared: DeclaredCatalogue, stored: StoredCatalogue, matched: Match) -> set[str]:
    """Stored resource types that no block has any more; blocks that are kept keep theirs."""
    used = {value for block in declared.blocks.values() for value in block.values}
    kept = {value for block in kept_blocks(stored, matched) for value in block.values}
    return set(stored.values) - used - kept - set(matched.values.values())


def kept_blocks(stored: StoredCatalogue, matched: Match) -> list[StoredBlock]:
    """Blocks that the code has no more and subscriptions still have."""
    known = set(matched.blocks.values())
    return [block for name, block in stored.blocks.items() if name not in known and block.subscriptions]


def _blocks(
    declared: DeclaredCatalogue, stored: StoredCatalogue, matched: Match, counts: _Counts
) -> Iterator[CatalogueChange]:
    names = {known: name for name, known in matched.blocks.items()}
    for name, row in declared.blocks.items():
        known = matched.blocks.get(name)
        if known is None:
            yield CatalogueChange("create", "product block", name, _listed("values", row.values))
        else:
            block = stored.blocks[known]
            holds = {names.get(held, held): number for held, number in block.holds.items()}
            yield from _block(row, block, holds, matched.renamed_values.get(name, {}), counts)
    if counts.dropping:
        yield from _dropped(surplus_values(declared, matched, counts.holders), counts.holders)
    yield from _vanished_blocks(stored, matched)


def _block(
    row: BlockRow, known: StoredBlock, holds: Mapping[str, Multiplicity], moved: Mapping[str, str], counts: _Counts
) -> Iterator[CatalogueChange]:
    def changed(
        detail: str, subscriptions: int = known.subscriptions, *, warning: bool = False, takes_away: bool = False
    ) -> CatalogueChange:
        return CatalogueChange("update", "product block", row.name, detail, subscriptions, warning, takes_away)

    if known.name != row.name:
        yield changed(f"renamed from '{known.name}'; its instances are renamed with it")
    if known.retired:
        yield changed("is back in the code")
    if known.tag != row.tag:
        yield changed(f"tag: {known.tag} → {row.tag}")
    for old, new in moved.items():
        held = counts.holders.get((known.name, old), NOBODY)
        where = f"moved in {_count(held.instances, 'instance')}" if held.instances else "no instance holds it"
        yield changed(f"value '{old}' renamed to '{new}'; {where}", held.subscriptions)
    for value in sorted(set(row.values) - known.values - set(moved.values())):
        lacking = counts.lacking.get((known.name, value), 0)
        yield changed(_added(row.values[value], lacking), lacking, warning=lacking > 0)
    for value in sorted(known.values - set(row.values) - set(moved)):
        held = counts.holders.get((known.name, value), NOBODY)
        if not (counts.dropping and held.instances):  # else `_dropped` says it
            yield changed(_removed(value, held), held.subscriptions, warning=held.instances > 0, takes_away=True)
    yield from (changed(detail) for detail in _relations(row.holds, holds))
    yield from (changed(f"holds '{name}' no more", takes_away=True) for name in sorted(holds.keys() - row.holds.keys()))


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
            yield CatalogueChange("update", "product block", block, detail, held.subscriptions, True, takes_away=True)


def _relations(declared: Mapping[str, Multiplicity], stored: Mapping[str, Multiplicity]) -> Iterator[str]:
    for name, new in sorted(declared.items()):
        old = stored.get(name)
        if old is None:
            yield f"may hold '{name}' ({new})"
        elif new != old:
            yield f"number of '{name}': {old} → {new}"


def _vanished_blocks(stored: StoredCatalogue, matched: Match) -> Iterator[CatalogueChange]:
    known = set(matched.blocks.values())
    for name, block in sorted(stored.blocks.items()):
        if name in known or (block.retired and block.subscriptions):
            continue
        yield _vanished("product block", name, block.subscriptions)


def _vanished(kind: Kind, name: str, subscriptions: int) -> CatalogueChange:
    if not subscriptions:
        return CatalogueChange("remove", kind, name, "no longer in the code", takes_away=True)
    detail = "no longer in the code, but subscriptions have it: kept as 'end of life'"
    return CatalogueChange("remove", kind, name, detail, subscriptions, True, takes_away=True)


def _products(declared: DeclaredCatalogue, stored: StoredCatalogue, matched: Match) -> Iterator[CatalogueChange]:
    for name, row in declared.products.items():
        known = matched.products.get(name)
        if known is None:
            inputs = "".join(f", {key} {value}" for key, value in row.fixed_inputs.items())
            yield CatalogueChange("create", "product", name, f"type {row.product_type}, tag {row.tag}{inputs}")
        else:
            yield from _product(row, stored.products[known], matched)
    known_names = set(matched.products.values())
    for name, product in sorted(stored.products.items()):
        if name not in known_names and not (product.retired and product.subscriptions):
            yield _vanished("product", name, product.subscriptions)


def _product(row: ProductRow, known: StoredProduct, matched: Match) -> Iterator[CatalogueChange]:
    def changed(detail: str, *, takes_away: bool = False) -> CatalogueChange:
        return CatalogueChange("update", "product", row.name, detail, known.subscriptions, takes_away=takes_away)

    if known.name != row.name:
        yield changed(f"renamed from '{known.name}'; the row and its id stay")
    if known.retired:
        yield changed(f"is back in the code; its status becomes '{row.status}'")
    if known.product_type != row.product_type:
        yield changed(f"type: {known.product_type} → {row.product_type}")
    if known.tag != row.tag:
        yield changed(f"tag: {known.tag} → {row.tag}")
    for key in sorted(row.fixed_inputs.keys() | known.fixed_inputs.keys()):
        new, old = row.fixed_inputs.get(key), known.fixed_inputs.get(key)
        if new != old:
            detail = f"fixed input {key}: {'nothing' if old is None else old} → {'nothing' if new is None else new}"
            yield changed(detail, takes_away=key not in row.fixed_inputs)
    roots = {matched.blocks.get(root, root) for root in row.roots}
    for what, new_names, old_names in (
        ("root block", roots, known.roots),
        ("workflow", set(row.workflows), known.workflows),
    ):
        yield from (changed(f"{what} '{name}' added") for name in sorted(new_names - old_names))
        yield from (changed(f"{what} '{name}' removed", takes_away=True) for name in sorted(old_names - new_names))


def _listed(what: str, names: Iterable[str]) -> str:
    listed = ", ".join(sorted(names))
    return f"{what} {listed}" if listed else f"no {what}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
