"""Makes models from records: the name and status of each block select its class, and each block is made once."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any
from uuid import UUID, uuid5

from pydantic import ValidationError

from resources.domain.models.block_model import BlockModel, resolve
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import BlockField
from resources.domain.models.formerly import StoredBlock, filler_of, past_of, present_values
from resources.domain.saving.records import BlockRecord, Blocks
from resources.errors import InvalidBlocks
from resources.types import SubscriptionLifecycle

ROOT = UUID(int=0)


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
                **plain_values(cls, self._values(cls, key)),
                **self._block_fields(cls, key, record.subscription_id),
            )
        except ValidationError as error:
            error.add_note(f"This is block {record.product_block} {key} of subscription {record.subscription_id}.")
            raise
        finally:
            self._path.pop()
        self._made[key, cls] = made
        return made

    def _values(self, cls: type[BlockModel], key: UUID) -> Any:
        stored = self._blocks.records[key].values
        return present_values(cls, cls.plain_fields(), self._stored(key)) if past_of(cls) else stored

    def _stored(self, key: UUID) -> StoredBlock:
        record = self._blocks.records[key]

        def nearest(name: str) -> list[StoredBlock]:
            return [self._stored(found) for found in self._nearest(key, name)]

        return StoredBlock(
            record.product_block, record.values, record.label, record.subscription_id, self._status, nearest
        )

    def _nearest(self, key: UUID, name: str) -> Iterable[UUID]:
        seen: set[UUID] = {key}
        around = self._neighbours.get(key, [])
        while around := [one for one in dict.fromkeys(around) if one not in seen]:
            if found := [one for one in around if self._is_named(one, name)]:
                return found
            seen.update(around)
            around = [further for one in around for further in self._neighbours.get(one, [])]
        return []

    def _is_named(self, key: UUID, name: str) -> bool:
        return key in self._blocks.records and self._blocks.records[key].product_block == name

    @cached_property
    def _neighbours(self) -> dict[UUID, list[UUID]]:
        """The blocks, and the subscription as `ROOT`, with what each holds and is held by, in the order of places."""
        found: dict[UUID, list[UUID]] = {}
        for place, held in sorted(self._blocks.places.items(), key=lambda pair: (pair[0].attribute, pair[0].position)):
            holder = place.holder or ROOT
            found.setdefault(holder, []).append(held)
            found.setdefault(held, []).append(holder)
        return found

    def _filled(self, cls: type[DomainModel], field: BlockField, holder: UUID, owner: UUID) -> list[BlockModel]:
        """The block that a holder from before the field was gets; its id is the same each time it is read."""
        filler = None if field.is_optional or field.is_list else filler_of(cls, field.name)
        if filler is None:
            return []
        made = resolve(field.types, str(getattr(field.types[0], "__block_name__", "")), self._status)
        assert made is not None, "the first of its own classes"
        try:
            values = filler.function(self._stored(holder))
        except Exception as error:  # a function of an organisation raises what it likes
            message = f"{cls.__name__}.{field.name} of subscription {owner} gets no block: {type(error).__name__}"
            raise InvalidBlocks(f"{message}: {error}.") from error
        return [made(subscription_instance_id=uuid5(holder, field.name), owner_subscription_id=owner, **values)]

    def _block_fields(self, cls: type[DomainModel], holder: UUID | None, owner: UUID) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in cls.block_fields().values():
            held = [key for key in self._blocks.held_by(holder, field.name) if not self._closes_circle(key)]
            blocks = [self.block(self._class(cls, field, self._blocks.records[key], owner), key) for key in held]
            if not held and holder is not None and past_of(cls):
                blocks = self._filled(cls, field, holder, owner)
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
