"""The values that searches may name, from the registered models of every loaded location: `port.speed`, `site`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, TIMESTAMP
from sqlalchemy.orm import aliased

from resources.database.tables import ProductTable, SubscriptionInstanceTable, SubscriptionTable
from resources.domain.models.block_model import BlockModel
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import leaves
from resources.domain.models.lifecycle import family
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.errors import InvalidQuery
from resources.subscriptions.block_values import blocks_at
from resources.subscriptions.list_fields import Condition, Field, Kind
from resources.subscriptions.search_query import Phrase, Word

DEEPEST = 6
"""Blocks within blocks."""
MOST_PATHS = 10
"""That the end of a path may stand for; each is a query of its own."""
NUMERIC = r"^-?\d{1,255}(\.\d{1,255})?([eE][-+]?\d{1,3})?$"
_DAY = (
    r"(?!0000)\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
    r"|(\d\d(0[48]|[2468][048]|[13579][26])|([13579][26]|[2468][048]|0[48])00)-02-29"
)
_CLOCK = r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[-+](0\d|1[0-5]):?[0-5]\d)?"
MOMENT = rf"^({_DAY})({_CLOCK})?$"
"""Texts that PostgreSQL casts to a moment for certain: a cast that fails would fail the whole search."""


@dataclass(frozen=True, slots=True)
class ValuePath:
    """A value by its fields from the subscription down; `block` is the one that has it, None for a fixed input."""

    path: str
    kind: Kind
    block: str | None = None
    words: tuple[str, ...] = ()
    is_json_number: bool = False

    @property
    def name(self) -> str:
        """The value's own name."""
        return self.path.rpartition(".")[2]


def value_paths() -> Sequence[ValuePath]:
    """All paths of all models, without secrets."""
    return _paths_of(tuple(SUBSCRIPTION_MODEL_REGISTRY.values()))


def fields_of(name: str, found_by: Callable[[Word | Phrase], Condition]) -> list[Field]:
    """The fields for a path, the end of one, or the name of a value in whatever block; none if no model has it.

    `found_by` answers words in the value of a name. Raises InvalidQuery for an end of too many paths.
    """
    wanted = _plain(name)
    found = [one for one in value_paths() if f".{_plain(one.path)}".endswith(f".{wanted}")]
    found = [one for one in found if _plain(one.path) == wanted] or found
    if not found:
        return []
    if "." not in name:
        merged = _merged(found)
        own = [_of_any_block(merged, sorted({one.block for one in found if one.block}))] if _has_block(found) else []
        fixed = [_of_product(merged)] if not all(one.block for one in found) else []
        by_name = lambda leaf: found_by(replace(leaf, field=merged.name))  # noqa: E731
        return [replace(one, name=name, found_by=by_name if one.kind is Kind.TEXT else None) for one in own + fixed]
    paths = dict.fromkeys(one.path for one in found)
    if len(paths) > MOST_PATHS:
        raise InvalidQuery(
            f"{name!r} is the end of {len(paths)} paths, such as {', '.join(list(paths)[:3])}; give one."
        )
    each = [[one for one in found if one.path == path] for path in paths]
    return [_at_path(_merged(same), sorted({one.block or "" for one in same})) for same in each]


def _has_block(found: Sequence[ValuePath]) -> bool:
    return any(one.block for one in found)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _merged(found: Sequence[ValuePath]) -> ValuePath:
    """One of several of a name: text when their types differ, any of their words."""
    kinds = {one.kind for one in found}
    words = tuple(dict.fromkeys(word for one in found for word in one.words))
    is_number = all(one.is_json_number for one in found)
    kind = kinds.pop() if len(kinds) == 1 else Kind.TEXT
    return replace(found[0], kind=kind, words=words, is_json_number=is_number)


# --- conditions ---


def _of_any_block(value: ValuePath, blocks: Sequence[str]) -> Field:
    block = aliased(SubscriptionInstanceTable)
    return _field(value, block.values, sa.select(block.subscription_id), block, blocks)


def _at_path(value: ValuePath, blocks: Sequence[str]) -> Field:
    found, block = blocks_at(value.path.split(".")[:-1])
    return _field(value, block.values, found, block, blocks)


def _of_product(value: ValuePath) -> Field:
    products = sa.select(ProductTable.product_id)

    def within(condition: Condition) -> Condition:
        ids = products.where(condition).scalar_subquery()
        return SubscriptionTable.product_id == sa.any_(sa.func.array(ids))

    of_product = SubscriptionTable.product_id == ProductTable.product_id
    return _made(
        value, ProductTable.fixed_inputs, within, sa.select(SubscriptionTable.subscription_id).where(of_product)
    )


def _field(value: ValuePath, values: Any, found: sa.Select[Any], block: Any, blocks: Sequence[str]) -> Field:
    """Only of the named blocks: another block may have a secret of the same name."""

    rows = found.where(block.product_block.in_(blocks))
    return _made(value, values, lambda one: SubscriptionTable.subscription_id.in_(rows.where(one)), rows)


def _made(value: ValuePath, values: Any, within: Callable[[Condition], Condition], rows: sa.Select[Any]) -> Field:
    """A field of the items of a value: a list has several, and one that fits suffices."""
    path = sa.cast(sa.literal(f'$."{value.name}"[*]'), JSONPATH)
    item = sa.func.jsonb_path_query(values, path, type_=JSONB).column_valued("item", joins_implicitly=True)
    text = sa.case((sa.func.jsonb_typeof(item) != "null", item.op("#>>", return_type=sa.Text)(sa.text("'{}'"))))
    columns: dict[Kind, Any] = {
        Kind.NUMBER: sa.case((text.regexp_match(NUMERIC), sa.cast(text, sa.Numeric))),
        Kind.MOMENT: sa.case((text.regexp_match(MOMENT), sa.cast(text, TIMESTAMP(timezone=True)))),
        Kind.FLAG: text == "true",
    }

    def narrowed(wanted: Sequence[Any]) -> Condition:
        held = (form for one in wanted for form in (one, [one]))
        return sa.or_(*(values.contains({value.name: _json(one)}) for one in held))

    is_indexed = value.kind is not Kind.NUMBER or value.is_json_number
    return Field(
        value.path,
        value.kind,
        columns.get(value.kind, text),
        within=within,
        words=value.words,
        narrowed=narrowed if is_indexed else None,
        rows=rows.add_columns(columns.get(value.kind, text)),
    )


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(one) for one in value]
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)


# --- models to paths ---


@lru_cache(maxsize=8)
def _paths_of(models: tuple[type[DomainModel], ...]) -> Sequence[ValuePath]:
    found: dict[tuple[str, str | None], list[ValuePath]] = {}
    for model in dict.fromkeys(models):
        for one in _paths(model, (), ()):
            found.setdefault((one.path, one.block), []).append(one)
    return tuple(_merged(same) for same in found.values())


def _paths(model: type[DomainModel], at: tuple[str, ...], above: tuple[Any, ...]) -> Iterator[ValuePath]:
    base = model.__base_type__ or model
    if base in above or len(at) > DEEPEST:
        return
    for cls in family(base):
        block = cls.__block_name__ if issubclass(cls, BlockModel) else None
        for name, plain in cls.plain_fields().items():
            if not plain.is_secret:
                kind, words, is_number = _kind_of(cls.model_fields[name].annotation)
                yield ValuePath(".".join((*at, name)), kind, block, words, is_number)
        for name, field in cls.block_fields().items():
            for held in dict.fromkeys(each for one in field.types for each in _concrete(one)):
                yield from _paths(held, (*at, name), (*above, base))


def _concrete(block: Any) -> Iterator[type[BlockModel]]:
    """The bases of the blocks that a declared class stands for; an abstract one is any below it."""
    if block.__base_type__ is not None:
        yield block.__base_type__
    else:
        for below in block.__subclasses__():
            yield from _concrete(below)


def _kind_of(annotation: Any) -> tuple[Kind, tuple[str, ...], bool]:
    """How texts for a value are read, its words, and whether it is a number in JSON."""
    found = [leaf for leaf in leaves(annotation) if leaf is not NoneType]
    values = [value for leaf in found for value in _values_of(leaf)]
    if found and all(map(_values_of, found)):
        types = {type(value) for value in values}
        if types == {str}:
            return Kind.WORD, tuple(dict.fromkeys(values)), False
        return (Kind.NUMBER, (), True) if types == {int} else (Kind.TEXT, (), False)
    for kind, is_number, bases in (
        (Kind.FLAG, False, (bool,)),
        (Kind.NUMBER, True, (int,)),
        (Kind.NUMBER, False, (int, float, Decimal)),
        (Kind.MOMENT, False, (date,)),
        (Kind.ADDRESS, False, (IPv4Address, IPv6Address, IPv4Network, IPv6Network)),
    ):
        if found and all(isinstance(leaf, type) and issubclass(leaf, bases) for leaf in found):
            return kind, (), is_number
    return Kind.TEXT, (), False


def _values_of(leaf: Any) -> Sequence[Any]:
    if get_origin(leaf) is Literal:
        return get_args(leaf)
    if isinstance(leaf, type) and issubclass(leaf, Enum):
        return [one.value for one in leaf]
    return ()
