"""The shape of a product block: its common fields, its name, and how a name selects its class."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID, uuid4

from pydantic import Field

from resources.domain.models.declaration import DomainModel, declare, refuse_taken_names, refuse_unknown_keywords
from resources.domain.models.fields import Block
from resources.domain.models.lifecycle import class_for, family
from resources.errors import InvalidBlocks, ModelDeclarationError
from resources.types import SubscriptionLifecycle

KEYWORDS = ("product_block_name", "lifecycle")

_bases: dict[str, type["BlockModel"]] = {}


class BlockModel(DomainModel, Block):
    """A typed group of values. A class with `product_block_name=` begins a block; without a name it is abstract."""

    __common__: ClassVar[frozenset[str]] = frozenset(
        {"name", "subscription_instance_id", "owner_subscription_id", "label"}
    )
    __block_name__: ClassVar[str | None] = None

    name: str = Field(max_length=255)
    subscription_instance_id: UUID = Field(default_factory=uuid4, frozen=True)
    owner_subscription_id: UUID = Field(frozen=True)
    label: str | None = Field(None, max_length=255)

    def __init_subclass__(
        cls, product_block_name: str | None = None, lifecycle: list[SubscriptionLifecycle] | None = None, **unknown: Any
    ) -> None:
        refuse_unknown_keywords(cls, unknown, KEYWORDS)
        refuse_taken_names(cls)
        if product_block_name is not None:
            if not product_block_name.strip():
                raise ModelDeclarationError(f"class {cls.__name__}: product_block_name is empty.")
            # pydantic takes a class attribute as the default of the field of that name.
            cls.name = cls.__block_name__ = product_block_name
            cls.__base_type__ = cls
            _bases[product_block_name] = cls

    @classmethod
    def __pydantic_init_subclass__(
        cls, product_block_name: str | None = None, lifecycle: list[SubscriptionLifecycle] | None = None, **_: Any
    ) -> None:
        if cls.__block_name__ is not None:
            cls.name = cls.__block_name__
        declare(cls, lifecycle)


def resolve(types: Sequence[type[Block]], name: str, status: SubscriptionLifecycle) -> type[BlockModel] | None:
    """The class among the declared ones, or below an abstract one of them, for a block of this name, or None.

    Of several classes of the same block the one for the status is used, else the first declared.
    """
    declared = [block for block in types if issubclass(block, BlockModel)]
    named = [block for block in declared if block.__block_name__ == name]
    if named:
        return next((block for block in named if class_for(block, status) is block), named[0])
    base = _bases.get(name)
    if base is None:
        return None
    candidates = [class_for(base, status), *sorted(family(base), key=lambda block: -len(block.__mro__))]
    return next((block for block in candidates if issubclass(block, tuple(declared))), None)


def block_class(name: str, status: SubscriptionLifecycle) -> type[BlockModel] | None:
    """The class of the block of this name in a status; None when no class of it is loaded."""
    return class_for(_bases[name], status) if name in _bases else None


def secret_fields(name: str) -> frozenset[str]:
    """The fields of a block, by its name, that hold secrets in any status. Raises InvalidBlocks for an unknown one."""
    if name not in _bases:
        raise InvalidBlocks(f"No class of block {name!r} is loaded, so nobody knows which of its values are secret.")
    fields = (field for cls in family(_bases[name]) for field in cls.plain_fields().values())
    return frozenset(field.name for field in fields if field.is_secret)


def named_block(cls: type[BlockModel], name: str, status: SubscriptionLifecycle) -> type[BlockModel]:
    """The class at or below `cls` for a block of this name and status. Raises InvalidBlocks when none is."""
    found = resolve((cls,), name, status)
    if found is None:
        raise InvalidBlocks(f"The block is a {name}, which is not a {cls.__name__}.")
    for_status = class_for(found, status)
    return for_status if issubclass(for_status, cls) else found
