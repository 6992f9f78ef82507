"""The products that a project has already, to whose blocks those of a new one may relate."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo

from orchestrator_defs.scaffolding.faults import ScaffoldingError
from orchestrator_defs.scaffolding.plain_types import Unfit, ValueType, quoted
from resources.catalogue.catalogue import Product
from resources.domain.blocks import ProductBlockModel


@dataclass(frozen=True)
class Relation:
    """A block at the root of a product: to hold it is to hold what another subscription owns."""

    product: Product
    attribute: str
    block: type[ProductBlockModel]

    @property
    def module(self) -> str:
        """The module of its product's model."""
        return self.product.model.__module__

    @property
    def variable(self) -> str:
        """The last part of its module: what the product is called in names."""
        return self.module.rpartition(".")[2]

    @property
    def subscription(self) -> str:
        """The class of a subscription in service."""
        return self.product.model.__name__

    def class_for(self, lifecycle: str) -> str:
        """The block's class for `Inactive`, `Provisioning`, or in service; the nearest one that there is."""
        if not lifecycle:
            return self.block.__name__
        family = [
            one for one in self.block.__mro__ if getattr(one, "__block_name__", None) == self.block.__block_name__
        ]
        named = [one.__name__ for one in family if one.__name__.endswith(lifecycle)]
        return named[0] if named else family[-1].__name__


@dataclass(frozen=True)
class Existing:
    """The products, blocks and workflows that a project has, besides those in the module of the new product."""

    products: tuple[Product, ...] = ()
    workflows: frozenset[str] = frozenset()
    relations: Mapping[str, Relation] = field(default_factory=dict)

    @classmethod
    def of(cls, products: Iterable[Product], workflows: Iterable[str], module: str) -> "Existing":
        """`workflows` are names; what is in `module`, that of the new product's blocks, does not count."""
        others = [one for one in products if one.model.__module__ != module]
        relations: dict[str, Relation] = {}
        for product in others:
            for attribute, block in _root_blocks(product):
                found = Relation(product, attribute, block)
                for name in (block.__name__.removesuffix("Block"), str(block.__block_name__)):
                    relations.setdefault(name, found)
        return cls(tuple(others), frozenset(workflows), relations)

    @property
    def block_names(self) -> set[str]:
        """The names of all blocks, at any depth."""
        return {name for product in self.products for name in _names_below(product.model)}


class Samples:
    """Makes up, as lines of a test, the subscriptions to which an order relates."""

    def __init__(self, existing: Existing) -> None:
        self._existing = existing
        self.lines: list[str] = []
        self.modules: dict[str, None] = {}

    def add(self, relation: Relation) -> str:
        """Add lines that make a subscription, and return the variable that has it. Raises ScaffoldingError."""
        values = self._values(relation.block)
        self.modules[relation.module] = None
        variable = f"{relation.variable}_{len(self.lines) + 1}"
        name = quoted(relation.product.name)
        self.lines.append(f"{variable} = bed.add({name}, {relation.attribute}={{{', '.join(values)}}})")
        return variable

    def _values(self, block: type[ProductBlockModel]) -> Iterator[str]:
        for name, info in block.model_fields.items():
            if name in block.__common__ or not info.is_required():
                continue
            held = _block_in(info.annotation)
            if held is None:
                yield f'"{name}": {self._value(block, name)}'
                continue
            fitting = [one for one in self._existing.relations.values() if issubclass(one.block, held)]
            count = 1 if held is info.annotation else _least(info)
            if fitting:
                items = [f"{self.add(fitting[0])}.{fitting[0].attribute}" for _ in range(count)]
            else:
                items = [f"{{{', '.join(self._values(held))}}}"] * count
            yield f'"{name}": {items[0] if held is info.annotation else "[" + ", ".join(items) + "]"}'

    def _value(self, block: type[ProductBlockModel], name: str) -> str:
        info = block.model_fields[name]
        is_list = get_origin(info.annotation) is list
        annotation: Any = get_args(info.annotation)[0] if is_list else Annotated[info.annotation, *info.metadata, None]
        try:
            example = ValueType(str(annotation), "", annotation).examples()[0]
        except Unfit:
            raise ScaffoldingError(
                f"No value is known for {block.__name__}.{name}, which the test of a product that relates to it needs; "
                "give it a default, or relate to another block."
            ) from None
        return quoted([example] * _least(info) if is_list else example)


def _least(info: FieldInfo) -> int:
    """How many items a list has at least."""
    return max([getattr(one, "min_length", None) or 0 for one in info.metadata], default=0)


def _root_blocks(product: Product) -> Iterator[tuple[str, type[ProductBlockModel]]]:
    for name, info in product.model.model_fields.items():
        if inspect.isclass(info.annotation) and issubclass(info.annotation, ProductBlockModel):
            yield name, info.annotation


def _block_in(annotation: Any) -> type[ProductBlockModel] | None:
    """The block class of a field, alone or in a list."""
    for one in (annotation, *get_args(annotation)):
        if inspect.isclass(one) and issubclass(one, ProductBlockModel):
            return one
    return None


def _names_below(model: type[Any], seen: frozenset[type[Any]] = frozenset()) -> Iterator[str]:
    for info in model.model_fields.values():
        block = _block_in(info.annotation)
        if block is not None and block not in seen:
            yield str(block.__block_name__)
            yield from _names_below(block, seen | {block})
