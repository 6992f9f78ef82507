"""Converts the blocks of a subscription for another class: of another lifecycle, or of another product."""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from resources.domain.models.block_model import BlockModel, resolve
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import BlockField
from resources.domain.models.new_blocks import new_block_fields
from resources.domain.saving.rows_from_models import held_blocks
from resources.errors import InvalidBlocks
from resources.types import SubscriptionLifecycle

logger = logging.getLogger(__name__)


class Converter:
    """Makes new blocks with the ids and values of the old, which stay as they are."""

    def __init__(self, subscription_id: UUID, status: SubscriptionLifecycle) -> None:
        self._subscription_id = subscription_id
        self._status = status
        self._made: dict[tuple[UUID, type[BlockModel]], BlockModel] = {}

    def block_fields(self, cls: type[DomainModel], source: DomainModel, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments for the block fields of `cls`: given, converted, or new where the source has none.

        A block of a kind that an optional field of `cls` does not accept is left out, with a warning in the log. Raises
        InvalidBlocks when the field requires one.
        """
        known = source.block_fields()
        converted = {
            name: self._field(cls, field, source, known[name])
            for name, field in cls.block_fields().items()
            if name in known and name not in given
        }
        return new_block_fields(cls, self._owner(source), {**given, **converted})

    def _owner(self, source: DomainModel) -> UUID:
        return source.owner_subscription_id if isinstance(source, BlockModel) else self._subscription_id

    def _field(self, cls: type[DomainModel], field: BlockField, source: DomainModel, known: BlockField) -> Any:
        found = [self._block(cls, field, block) for _, block in held_blocks(source, known)]
        blocks = [block for block in found if block is not None]
        if field.is_list:
            return blocks
        return blocks[0] if blocks else None

    def _block(self, holder: type[DomainModel], field: BlockField, source: BlockModel) -> BlockModel | None:
        cls = resolve(field.types, source.name, self._status)
        if cls is None:
            message = (
                f"{holder.__name__}.{field.name} expects {field.expected}, not block {source.name} "
                f"{source.subscription_instance_id}"
            )
            if not field.is_optional:
                raise InvalidBlocks(f"{message}.")
            logger.warning("%s: it is left out.", message)
            return None
        key = source.subscription_instance_id, cls
        if key not in self._made:
            self._made[key] = self._converted(cls, source)
        return self._made[key]

    def _converted(self, cls: type[BlockModel], source: BlockModel) -> BlockModel:
        known = source.plain_fields()
        return cls(
            subscription_instance_id=source.subscription_instance_id,
            owner_subscription_id=source.owner_subscription_id,
            label=source.label,
            **{name: getattr(source, name) for name in cls.plain_fields() if name in known},
            **self.block_fields(cls, source, {}),
        )
