"""Describes what differs in a row that code and database both have, and what becomes of the stored data."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from resources.catalogue.kinds import NOBODY, Kind
from resources.catalogue.rows import BlockRow, ProductRow, ValueRow
from resources.catalogue.stored import Holders, Pair, StoredRow

UNHELD = Holders(0, 0)


@dataclass(frozen=True)
class Difference:
    """A difference in a row that both have; `subscriptions` when it does not affect all that use the row."""

    detail: str
    takes_away: bool = False
    warning: bool = False
    subscriptions: int | None = None
    adopts: bool = False
    blocked: bool = False
    refills: bool = False


@dataclass(frozen=True)
class Counts:
    """What instances hold, by stored names; `fills` has the values that whoever applies gives, by present names."""

    holders: Mapping[Pair, Holders]
    lacking: Mapping[Pair, int]
    retyped: Mapping[Pair, list[tuple[Any, int]]]
    moved: Mapping[Kind, Mapping[Pair, int]]
    dropping: bool
    carried: Mapping[Pair, str]
    fills: Mapping[Pair, Any] = field(default_factory=dict)


def value_differences(
    row: BlockRow, before: StoredRow, moved: Mapping[str, str], counts: Counts
) -> Iterator[Difference]:
    """What differs in the values of a block; `moved` maps former to present names."""
    held = before.links["values"].keys()
    for old, new in moved.items():
        holders = counts.holders.get((before.name, old), UNHELD)
        where = f"moved in {count(holders.instances, 'instance')}" if holders.instances else "no instance holds it"
        detail = f"value '{old}' renamed to '{new}'; {where}"
        yield Difference(detail, subscriptions=holders.subscriptions, refills=holders.instances > 0)
    for name in sorted(row.values.keys() - held - set(moved.values())):
        lacking = counts.lacking.get((before.name, name), 0)
        yield _added(row.values[name], lacking, counts.fills.get((row.name, name), ...))
    for name in sorted(held - row.values.keys() - moved.keys()):
        holders = counts.holders.get((before.name, name), UNHELD)
        if target := counts.carried.get((row.name, name)):
            detail = f"value '{name}' goes into {target}; what is stored stays until --drop-values"
            yield Difference(detail, subscriptions=holders.subscriptions)
        elif not (counts.dropping and holders.instances):  # else the plan reports it as dropped
            yield Difference(_removed(name, holders), True, holders.instances > 0, holders.subscriptions)
    for name, old in sorted(retyped_values(row, before, moved).items()):
        yield _retyped(row.values[name], old, counts.retyped.get((before.name, stored_name(moved, name)), []))
    if held and None in before.types.values():
        yield Difference("the types of its values are kept from now on", adopts=True)


def retyped_values(row: BlockRow, before: StoredRow, moved: Mapping[str, str]) -> dict[str, str]:
    """The values, by present name, whose type is another than it was, with the type that it was."""
    was = {moved.get(name, name): kind for name, kind in before.types.items()}
    return {name: old for name, value in row.values.items() if (old := was.get(name)) and old != value.type}


def stored_name(moved: Mapping[str, str], name: str) -> str:
    """The name under which a value of this present name is stored so far."""
    return next((old for old, new in moved.items() if new == name), name)


def _added(value: ValueRow, lacking: int, fill: Any) -> Difference:
    added = f"value '{value.name}' added"
    if not lacking:
        return Difference(added, subscriptions=0)
    have = count(lacking, "subscription")
    if fill is not ...:
        return Difference(f"{added}; {have} without it: they get {fill!r}", subscriptions=lacking, refills=True)
    if value.origin:
        detail = f"{added}; {have} without it: the back-fill stores {value.origin}"
        return Difference(detail, subscriptions=lacking, refills=True)
    detail = (
        f"{added}, required when {', '.join(sorted(value.required_in))} and without a default: {have} without it would "
        "fail to load; give it a default, say Formerly or FilledBy, or apply with --fill"
    )
    return Difference(detail, warning=True, subscriptions=lacking, blocked=True)


def _retyped(value: ValueRow, old: str, stored: Iterable[tuple[Any, int]]) -> Difference:
    detail = f"value '{value.name}' changes its type: {old} → {value.type}"
    converted, unfit = 0, list[tuple[Any, int, str]]()
    for one, number in stored:
        try:
            converted += number if value.reads and value.reads(one) else 0
        except ValueError as error:
            unfit.append((one, number, str(error)))
    if unfit:
        example, _, why = unfit[0]
        such = "a secret" if value.is_secret else f"such as {example!r:.80}: {why:.200}"
        detail += (
            f"; in {count(sum(each[1] for each in unfit), 'instance')} what is stored does not fit, {such}; say how to "
            "convert it by Formerly(convert=…), or store what fits first"
        )
    elif converted:
        detail += f"; the back-fill converts it in {count(converted, 'instance')}"
    else:
        detail += "; what is stored fits"
    return Difference(detail, warning=bool(unfit), blocked=bool(unfit), refills=converted > 0)


def _removed(value: str, held: Holders) -> str:
    if not held.instances:
        return f"value '{value}' removed; no instance holds it"
    kept = count(held.instances, "instance")
    return f"value '{value}' removed; {kept} hold it and keep it until it is applied with --drop-values"


def hold_differences(row: BlockRow, before: StoredRow, names: Mapping[str, str]) -> Iterator[Difference]:
    """What differs in the blocks that a block may hold; `names` maps stored to present names."""
    old = {names.get(held, held): number for held, number in before.links["holds"].items()}
    for name, number in sorted(row.holds.items()):
        if name not in old:
            yield _new_block(f"may hold '{name}' ({number})", row.required.get(name), before)
        elif number != old[name]:
            yield Difference(f"number of '{name}': {old[name]} → {number}")
    gone = sorted(old.keys() - row.holds.keys())
    yield from (Difference(f"no longer holds '{name}'", takes_away=True) for name in gone)


def root_differences(row: ProductRow, before: StoredRow, names: Mapping[str, str]) -> Iterator[Difference]:
    """What differs in the root blocks and the workflows of a product; `names` maps stored to present names."""
    old = {names.get(root, root) for root in before.links["roots"]}
    for name in sorted(row.roots - old):
        yield _new_block(f"root block '{name}' added", row.required.get(name), before)
    yield from (Difference(f"root block '{name}' removed", takes_away=True) for name in sorted(old - row.roots))


def _new_block(detail: str, origin: str | None, before: StoredRow) -> Difference:
    """A block that older holders lack; `origin` is None where they need none, and empty where nothing makes it."""
    if origin is None or not before.subscriptions:
        return Difference(detail)
    if origin:
        return Difference(f"{detail}; the back-fill makes it of {origin}", refills=True)
    have = count(before.subscriptions, "subscription")
    detail = f"{detail}, required: {have} without it would fail to load; make it optional, or say FilledBy"
    return Difference(detail, warning=True, blocked=True)


def moved_fields(kind: Kind, row: Any, before: StoredRow, counts: Counts) -> Iterator[Difference]:
    """The fields of blocks that have another name than where blocks stand so far."""
    for old, new in row.moved.items():
        if number := counts.moved[kind].get((before.name, old), 0):
            yield Difference(f"field '{old}' renamed to '{new}'; moved for {count(number, 'block')}")


def column_differences(column: str, old: Any, new: Any) -> Iterator[Difference]:
    """What differs in a column of a row."""
    match column:
        case "fixed_inputs":
            for key in sorted(new.keys() | old.keys()):
                was, becomes = ("nothing" if one.get(key) is None else one[key] for one in (old, new))
                if old.get(key) != new.get(key):
                    yield Difference(f"fixed input {key}: {was} → {becomes}", takes_away=key not in new, refills=True)
        case "owner":
            yield Difference(f"becomes that of '{new}'; so far that of '{old or NOBODY}'", adopts=True)
        case "is_task":
            yield Difference("becomes a task" if new else "is no longer a task")
        case _:
            yield Difference(f"{column.removeprefix('product_')}: {old} → {new}", refills=True)


def link_differences(what: str, new: Iterable[str], old: Iterable[str]) -> Iterator[Difference]:
    """What differs in links that only have a name."""
    wanted, there = set(new), set(old)
    yield from (Difference(f"{what} '{name}' added") for name in sorted(wanted - there))
    yield from (Difference(f"{what} '{name}' removed", takes_away=True) for name in sorted(there - wanted))


def counted(numbers: Mapping[str, int]) -> str:
    """Numbers of rows in words."""
    listed = [f"{number:,} {_plural(what) if number != 1 else what}" for what, number in numbers.items()]
    return " and ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))


def _plural(what: str) -> str:
    head, _, tail = what.partition(" ")
    return f"{_plural(head)} {tail}" if tail == "in flight" else f"{what}{'e' * what.endswith('s')}s"


def count(number: int, what: str) -> str:
    """A number of things in words."""
    return counted({what: number})
