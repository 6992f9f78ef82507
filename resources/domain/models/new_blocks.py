"""Makes the blocks that a new block or subscription has from the start."""

from typing import Any
from uuid import UUID

from resources.domain.models.block_model import BlockModel
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import Block, BlockField
from resources.errors import InvalidBlocks


def new_block_fields(
    cls: type[DomainModel], subscription_id: UUID, supplied: dict[str, Any], within: tuple[type[DomainModel], ...] = ()
) -> dict[str, Any]:
    """The supplied values, and new blocks for the other block fields that require one.

    Raises InvalidBlocks with the field when the class does not determine which block to make.
    """
    if cls in within:
        circle = " > ".join(one.__name__ for one in (*within[within.index(cls) :], cls))
        raise InvalidBlocks(f"A new {cls.__name__} would never end: {circle}. Make one of these fields optional.")
    missing = (field for field in cls.block_fields().values() if field.name not in supplied and not field.has_default)
    return supplied | {field.name: _new(cls, field, subscription_id, (*within, cls)) for field in missing}


def new_block(
    cls: type[BlockModel], subscription_id: UUID, supplied: dict[str, Any], within: tuple[type[DomainModel], ...] = ()
) -> BlockModel:
    """A new block of a concrete class, owned by the subscription."""
    if cls.__block_name__ is None:
        raise InvalidBlocks(f"{cls.__name__} is abstract; make a block of one of its named subclasses.")
    return cls(owner_subscription_id=subscription_id, **new_block_fields(cls, subscription_id, supplied, within))


def _new(
    cls: type[DomainModel], field: BlockField, subscription_id: UUID, within: tuple[type[DomainModel], ...]
) -> Any:
    if field.is_list:
        # Of several classes the last one is used, as in orchestrator-core.
        return [_make(field.types[-1], subscription_id, within) for _ in range(field.min_length)]
    if field.is_optional:
        return None
    if len(field.types) > 1:
        raise InvalidBlocks(f"{cls.__name__}.{field.name} may be {field.expected}; say which by giving a value for it.")
    return _make(field.types[0], subscription_id, within)


def _make(cls: type[Block], subscription_id: UUID, within: tuple[type[DomainModel], ...]) -> BlockModel:
    assert issubclass(cls, BlockModel)
    return new_block(cls, subscription_id, {}, within)
