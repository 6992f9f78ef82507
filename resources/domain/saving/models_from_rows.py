"""Makes models from records: the name and status of each block select its class, and each block is made once."""

from typing import Any
from uuid import UUID

from pydantic import ValidationError

from resources.domain.models.block_model import BlockModel, resolve
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import BlockField
from resources.domain.saving.records import BlockRecord, Blocks
from resources.errors import InvalidBlocks
from resources.types import SubscriptionLifecycle


class Assembler:
    """Makes the blocks of one subscription, or of one block; a block in two fields is one object."""

    def __init__(self, blocks: Blocks, status: SubscriptionLifecycle) -> None:
        self._blocks = blocks
        self._status = status
        self._made: dict[tuple[UUID, type[BlockModel]], BlockModel] = {}
        self._path: list[UUID] = []

    def root_fields(self, cls: type[DomainModel], subscription_id: UUID) -> dict[str, Any]:
        """The arguments for the block fields of a subscription class."""
        return self._block_fields(cls, None, subscription_id)

    def block(self, cls: type[BlockModel], key: UUID) -> BlockModel:
        """Make a block as `cls`. Raises pydantic's ValidationError, with a note, when the rows do not fit it."""
        if (made := self._made.get((key, cls))) is not None:
            return made
        record = self._blocks.records[key]
        self._path.append(key)
        try:
            made = cls(
                subscription_instance_id=key,
                owner_subscription_id=record.subscription_id,
                label=record.label,
                **plain_values(cls, record.values),
                **self._block_fields(cls, key, record.subscription_id),
            )
        except ValidationError as error:
            error.add_note(f"This is block {record.product_block} {key} of subscription {record.subscription_id}.")
            raise
        finally:
            self._path.pop()
        self._made[key, cls] = made
        return made

    def _block_fields(self, cls: type[DomainModel], holder: UUID | None, owner: UUID) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in cls.block_fields().values():
            held = [key for key in self._blocks.held_by(holder, field.name) if not self._closes_circle(key)]
            blocks = [self.block(self._class(cls, field, self._blocks.records[key], owner), key) for key in held]
            if field.is_list:
                found[field.name] = blocks
            elif blocks:
                found[field.name] = blocks[0]
            elif field.is_optional and not field.has_default:
                found[field.name] = None
        return found

    def _closes_circle(self, key: UUID) -> bool:
        # Subscriptions may use each other's blocks. Every circle runs through a block of another subscription (saving
        # refuses the others), and that one's own blocks are never saved from here, so the circle may be cut in it.
        return key in self._path

    def _class(
        self, holder: type[DomainModel], field: BlockField, record: BlockRecord, owner: UUID
    ) -> type[BlockModel]:
        cls = resolve(field.types, record.product_block, self._status)
        if cls is None:
            raise InvalidBlocks(
                f"{holder.__name__}.{field.name} of subscription {owner} holds a block {record.product_block} "
                f"({record.subscription_instance_id}); the class expects {field.expected}."
            )
        return cls


def plain_values(cls: type[DomainModel], values: Any) -> dict[str, Any]:
    """The arguments for the plain fields of a class; missing values are left out and get their defaults."""
    found: dict[str, Any] = {}
    for field in cls.plain_fields().values():
        if field.name in values:
            found[field.name] = values[field.name]
        elif not field.has_default and field.absent is not ...:
            found[field.name] = field.absent
    return found
