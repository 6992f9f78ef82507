"""The registry of models: product name to class."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, get_args

from pydantic import BaseModel

from resources.domain.models.block_model import BlockModel
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import is_unresolved
from resources.domain.models.lifecycle import family
from resources.errors import ModelDeclarationError, ProductNotInRegistry


class SubscriptionModelRegistry(dict[str, type[DomainModel]]):
    """Product name -> any class of the family that models it; several products may share one.

    Setting an item checks the whole tree of blocks, and raises one ModelDeclarationError with all faults.
    """

    def __setitem__(self, product_name: str, model: type[DomainModel]) -> None:
        if faults := sorted(set(_faults(model))):
            raise ModelDeclarationError(f"The model of product {product_name!r} cannot be used: {'; '.join(faults)}.")
        super().__setitem__(product_name, model)

    def update(self, *others: Any, **named: type[DomainModel]) -> None:
        """Set several items, each checked."""
        for product_name, model in dict(*others, **named).items():
            self[product_name] = model

    def setdefault(self, product_name: str, default: Any = None) -> type[DomainModel]:
        """Set an item unless it is there, checked."""
        if product_name not in self:
            self[product_name] = default
        return self[product_name]

    def __missing__(self, product_name: str) -> type[DomainModel]:
        known = ", ".join(sorted(self)) or "none"
        raise ProductNotInRegistry(
            f"No model is registered for product {product_name!r}; products with a model: {known}."
        )


SUBSCRIPTION_MODEL_REGISTRY = SubscriptionModelRegistry()

VALIDATED_WITHIN: dict[str, timedelta | None] = {}
"""Product name -> the maximum age of its subscriptions' last validation; None is that of the settings."""


def _faults(model: type[DomainModel]) -> Iterator[str]:
    names: dict[str, type[BlockModel]] = {}
    for cls in reachable_classes(model):
        yield from _fields_of_pydantic_models(cls)
        if issubclass(cls, BlockModel) and cls.__block_name__ is not None and cls.__base_type__ is not None:
            other = names.setdefault(cls.__block_name__, cls.__base_type__)
            if other is not cls.__base_type__:
                yield f"{other.__name__} and {cls.__base_type__.__name__} are both named {cls.__block_name__!r}"


def reachable_classes(model: type[DomainModel]) -> Iterable[type[DomainModel]]:
    """All classes of the family, and those of every block they may hold. Reading their fields checks them."""
    found: dict[type[DomainModel], None] = {}
    waiting: list[type[DomainModel]] = [model]
    while waiting:
        cls = waiting.pop()
        if cls in found:
            continue
        found[cls] = None
        waiting += family(cls.__base_type__) if cls.__base_type__ is not None else []
        blocks: Mapping[str, Any] = cls.block_fields()
        waiting += [block for field in blocks.values() for block in field.types]
    return found


def _fields_of_pydantic_models(cls: type[DomainModel]) -> Iterator[str]:
    for name in cls.plain_fields():
        annotation = cls.model_fields[name].annotation
        for model in _pydantic_models(annotation):
            yield f"{cls.__name__}.{name} is a pydantic {model.__name__}, make it a block"


def _pydantic_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if is_unresolved(annotation):
        return
    if isinstance(annotation, type) and (annotation is BaseModel or BaseModel in annotation.__bases__):
        yield annotation
    for part in get_args(annotation):
        yield from _pydantic_models(part)
