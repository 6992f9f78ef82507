"""Derives the catalogue's rows from the models of the code: blocks, values, and which block may hold which."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from resources.catalogue.kinds import BLOCK, PRODUCT, VALUE, WORKFLOW, Kind
from resources.catalogue.value_types import origin_of, reader_of, sources_of, type_of
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import BlockField
from resources.domain.models.formerly import filler_of, former_names, renames_of
from resources.domain.models.lifecycle import class_for
from resources.types import ProductLifecycle, SubscriptionLifecycle


@dataclass(frozen=True)
class Multiplicity:
    """How many blocks of one kind a block may hold; a maximum of None means no limit."""

    minimum: int = 1
    maximum: int | None = 1

    def __add__(self, other: "Multiplicity") -> "Multiplicity":
        bounded = self.maximum is not None and other.maximum is not None
        return Multiplicity(
            self.minimum + other.minimum, (self.maximum or 0) + (other.maximum or 0) if bounded else None
        )

    def __str__(self) -> str:
        return f"{self.minimum}..{'*' if self.maximum is None else self.maximum}"


@dataclass(frozen=True)
class ValueRow:
    """One value of a block. `required_in`: the statuses in which a block without it cannot be read.

    `origin`: where a block from before gets it from, in words; `sources` the (block, value) that go into it, without a
    block of its own. `reads`: whether a stored value is converted; ValueError for one that cannot be read.
    """

    name: str
    description: str
    formerly: tuple[str, ...] = ()
    required_in: frozenset[SubscriptionLifecycle] = frozenset()
    type: str = ""
    origin: str = ""
    reads: Callable[[Any], Any] | None = field(default=None, repr=False, compare=False)
    is_secret: bool = False
    sources: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class BlockRow:
    """A block as its class declares it; `holds` maps the names of the blocks it may hold.

    A class may set `description`, `tag` and `formerly` (its former name or names) as ClassVar. A value says by
    `Formerly` and `FilledBy` what it was, or its former name in `Field(json_schema_extra={"formerly": "old_name"})`.
    `moved`: former name -> name of its fields that hold blocks. `required`: the blocks that it must hold, with what
    makes one for a block from before; empty for nothing.
    """

    status: ClassVar[str] = ProductLifecycle.ACTIVE.value

    name: str
    description: str
    tag: str | None = None
    formerly: tuple[str, ...] = ()
    values: Mapping[str, ValueRow] = field(default_factory=dict)
    holds: Mapping[str, Multiplicity] = field(default_factory=dict)
    owner: str = ""
    moved: Mapping[str, str] = field(default_factory=dict)
    required: Mapping[str, str] = field(default_factory=dict)

    def is_part_of(self, tag: str | None, values: Iterable[str], holds: Iterable[str]) -> bool:
        """Whether two locations may share a block: the tag and the values are the same, and it holds nothing else.

        It may hold less, as a field of an abstract block lists the classes that are loaded.
        """
        return self.tag == tag and self.values.keys() == set(values) and self.holds.keys() <= set(holds)


@dataclass(frozen=True)
class WorkflowRow:
    """A workflow as the code declares it; under a new name it has its processes still."""

    name: str
    target: str
    description: str
    is_task: bool
    owner: str
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProductRow:
    """A product as the code declares it; `fixed_inputs` as JSON, `roots` and `workflows` by name."""

    name: str
    description: str
    product_type: str
    tag: str
    status: str
    fixed_inputs: Mapping[str, Any]
    formerly: tuple[str, ...]
    roots: frozenset[str]
    workflows: frozenset[str]
    owner: str
    moved: Mapping[str, str] = field(default_factory=dict)
    required: Mapping[str, str] = field(default_factory=dict)
    split_from: str = ""


@dataclass(frozen=True)
class DeclaredCatalogue:
    """The whole catalogue of the code, by name."""

    products: Mapping[str, ProductRow]
    blocks: Mapping[str, BlockRow]
    workflows: Mapping[str, WorkflowRow]

    @property
    def values(self) -> dict[str, ValueRow]:
        """The resource types; of blocks that share one, the first that describes it decides."""
        described: dict[str, str] = {}
        for block in self.blocks.values():
            for name, row in block.values.items():
                described[name] = described.get(name) or row.description
        return {name: ValueRow(name, described[name] or name.replace("_", " ")) for name in sorted(described)}

    @property
    def carried(self) -> dict[tuple[str, str], str]:
        """(block, value) that the code no longer has -> the name, in words, of the value that takes it over."""
        return {
            (of or block.name, old): f"'{name}'" if of in ("", block.name) else f"'{name}' of block '{block.name}'"
            for block in self.blocks.values()
            for name, value in block.values.items()
            for of, old in value.sources
            if (of or block.name) in self.blocks and old not in self.blocks[of or block.name].values
        }

    def of(self, kind: Kind) -> Mapping[str, Any]:
        """The rows of a kind."""
        return {PRODUCT: self.products, BLOCK: self.blocks, VALUE: self.values, WORKFLOW: self.workflows}[kind]


def root_blocks(model: type[DomainModel]) -> set[str]:
    """The names of the blocks that a subscription of this class may have at its root."""
    fields = (held for member in members([model]) for held in member.block_fields().values())
    return {name for held in fields for name in held_blocks(held)}


def block_rows(models: Iterable[type[DomainModel]], owner: str) -> dict[str, BlockRow]:
    """Every block in the trees of these models, by name."""
    roots = members(models)
    families: dict[str, list[type[DomainModel]]] = {}
    for block in dict.fromkeys(block for model in roots for block in blocks_below(model)):
        families.setdefault(block_name(block), []).append(block)
    required = _statuses_that_require(roots)
    return {name: replace(_block_row(name, classes, required), owner=owner) for name, classes in families.items()}


def members(models: Iterable[type[DomainModel]]) -> list[type[DomainModel]]:
    """The models, and the classes of their families for each status: a value may be in one of these alone."""
    found: dict[type[DomainModel], None] = {}
    for model in models:
        found |= dict.fromkeys([*(class_for(model, status) for status in SubscriptionLifecycle), model])
    return list(found)


def blocks_below(model: type[DomainModel]) -> list[type[DomainModel]]:
    """The named block classes in the tree of a subscription class, nearest to the root first."""
    found: dict[type[DomainModel], None] = {}
    waiting = [model]
    while waiting:
        for held in waiting.pop(0).block_fields().values():
            fresh = [block for block in _named_types(held) if block not in found]
            found |= dict.fromkeys(fresh)
            waiting += fresh
    return list(found)


def held_blocks(held: BlockField) -> dict[str, Multiplicity]:
    """The names of the blocks that a field may hold, and how many of each."""
    names = {block_name(block) for block in _named_types(held)}
    minimum, maximum = (held.min_length, held.max_length) if held.is_list else (0 if held.is_optional else 1, 1)
    return dict.fromkeys(sorted(names), Multiplicity(minimum if len(names) == 1 else 0, maximum))


def block_name(block: type[Any]) -> str:
    """The block's name in the catalogue; empty for an abstract class."""
    return str(getattr(block, "__block_name__", None) or "")


def _named_types(held: BlockField) -> list[type[DomainModel]]:
    """The classes that a field may hold; the named subclasses of an abstract class instead of it."""
    return [named for block in held.types for named in _named(block)]


def _named(block: type[Any]) -> list[type[DomainModel]]:
    if block_name(block):
        return [block]
    return [named for child in block.__subclasses__() for named in _named(child)]


def _statuses_that_require(models: Iterable[type[DomainModel]]) -> dict[tuple[str, str], set[SubscriptionLifecycle]]:
    """For each (block, value): the statuses whose class requires it."""
    required: dict[tuple[str, str], set[SubscriptionLifecycle]] = {}
    for model in models:
        for status in SubscriptionLifecycle:
            for block in blocks_below(class_for(model, status)):
                for key, value in block.plain_fields().items():
                    if value.absent is ... and not value.has_default:
                        required.setdefault((block_name(block), key), set()).add(status)
    return required


def _block_row(
    name: str, classes: list[type[DomainModel]], required: Mapping[tuple[str, str], set[SubscriptionLifecycle]]
) -> BlockRow:
    """One row for all classes of a block; the most derived class decides."""
    values: dict[str, type[DomainModel]] = {}
    holds: dict[str, Multiplicity] = {}
    classes = sorted(classes, key=lambda block: len(block.__mro__))
    for block in classes:
        holds |= _holds(block)
        values |= dict.fromkeys(block.plain_fields(), block)
    decisive = classes[-1]
    return BlockRow(
        name,
        _description(decisive),
        _text(decisive, "tag"),
        former_names(getattr(decisive, "formerly", None)),
        {key: _value_row(cls, key, frozenset(required.get((name, key), ()))) for key, cls in values.items()},
        holds,
        moved=moved_fields(classes),
        required=required_blocks(classes),
    )


def moved_fields(classes: Iterable[type[DomainModel]]) -> dict[str, str]:
    """Former name -> name of the fields of these classes that hold blocks."""
    return {old: new for cls in classes for old, new in renames_of(cls) if new in cls.block_fields()}


def required_blocks(classes: Iterable[type[DomainModel]]) -> dict[str, str]:
    """The blocks that one of these classes must hold, with what makes one for older blocks; empty for nothing."""
    fields = ((cls, held) for cls in classes for held in cls.block_fields().values())
    return {
        name: str(filler_of(cls, held.name) or "")
        for cls, held in fields
        if not (held.is_optional or held.has_default)
        for name, number in held_blocks(held).items()
        if number.minimum
    }


def _holds(block: type[DomainModel]) -> dict[str, Multiplicity]:
    holds: dict[str, Multiplicity] = {}
    for held in block.block_fields().values():
        for name, number in held_blocks(held).items():
            holds[name] = holds[name] + number if name in holds else number
    return holds


def _value_row(cls: type[DomainModel], name: str, required_in: frozenset[SubscriptionLifecycle]) -> ValueRow:
    info, plain = cls.model_fields[name], cls.plain_fields()[name]
    return ValueRow(
        name,
        info.description or "",
        tuple(old for old, new in renames_of(cls) if new == name),
        required_in,
        type_of(info),
        origin_of(cls, plain),
        reader_of(cls, name),
        plain.is_secret,
        sources_of(cls, name),
    )


def _text(block: type[DomainModel], attribute: str) -> str | None:
    text = getattr(block, attribute, None)
    return text if isinstance(text, str) and text else None


def _description(block: type[DomainModel]) -> str:
    """The description of the class, else the first line of the nearest docstring in its family, else its name."""
    if described := _text(block, "description"):
        return described
    for ancestor in block.__mro__:
        text = (ancestor.__dict__.get("__doc__") or "").strip()
        if text and block_name(ancestor):
            return str(text.splitlines()[0])
    return block_name(block)
