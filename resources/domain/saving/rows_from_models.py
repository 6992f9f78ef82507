"""Makes records from models: a subscription's own blocks, checked, as rows would have them."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from resources.domain.models.block_model import BlockModel
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import BlockField
from resources.domain.saving.records import BlockRecord, Blocks, Place
from resources.errors import InvalidBlocks

EXPONENT_FROM = 1e16
"""From this size on Python writes floats with an exponent."""


@dataclass(frozen=True, slots=True)
class FlatSubscription:
    """The own blocks of a subscription, as records and as models."""

    blocks: Blocks
    models: Mapping[UUID, BlockModel]

    def keeping_unknown(self, before: Blocks) -> "FlatSubscription":
        """Add the stored values for which the class has no field: removing a field from the code loses nothing.

        `orchestrator catalogue apply --drop-values` removes them.
        """
        records = dict(self.blocks.records)
        for key, model in self.models.items():
            stored = before.records[key].values if key in before.records else {}
            if unknown := {name: value for name, value in stored.items() if name not in model.plain_fields()}:
                records[key] = replace(records[key], values={**unknown, **records[key].values})
        return replace(self, blocks=Blocks(records, self.blocks.places))

    def changed_secrets(self, before: Blocks) -> frozenset[tuple[str, str]]:
        """(block id, field) of the secrets that have changed; masked they look the same."""
        return frozenset(
            (str(key), field.name)
            for key, model in self.models.items()
            for field in model.plain_fields().values()
            if field.is_secret
            and key in before.records
            and before.records[key].values.get(field.name) != self.blocks.records[key].values.get(field.name)
        )


def flatten(subscription: DomainModel, subscription_id: UUID) -> FlatSubscription:
    """Make records of a subscription: its own blocks and their relations, also to blocks of others.

    Validates every own block as a whole, because pydantic does not check what is appended to a list. Raises pydantic's
    ValidationError, and InvalidBlocks when a block is in a wrong place.
    """
    flattening = _Flattening(subscription_id)
    flattening.walk(subscription, None)
    return FlatSubscription(Blocks(flattening.records, flattening.places), flattening.models)


def held_blocks(holder: DomainModel, field: BlockField) -> Iterator[tuple[int, BlockModel]]:
    """The blocks in one field of a model, with their positions."""
    value = getattr(holder, field.name)
    if field.is_list:
        yield from enumerate(value)
    elif value is not None:
        yield 0, value


def shown_values(model: DomainModel) -> dict[str, Any]:
    """The plain values of a block, or the fixed inputs of a subscription, as JSON; secrets masked."""
    fields = model.plain_fields()
    values = model.model_dump(mode="json", by_alias=False, include=set(fields))
    for name, value in values.items():
        if fields[name].is_unordered and isinstance(value, list):
            value.sort(key=json.dumps)
        values[name] = _as_database(value)
    return values


def stored_values(block: BlockModel) -> dict[str, Any]:
    """The plain values of a block for its row: secrets readable, none left out when missing means None."""
    fields = block.plain_fields()
    values = {
        name: to_jsonable_python(_revealed(getattr(block, name))) if fields[name].is_secret else value
        for name, value in shown_values(block).items()
    }
    return {name: value for name, value in values.items() if value is not None or fields[name].absent is not None}


class _Flattening:
    def __init__(self, subscription_id: UUID) -> None:
        self.records: dict[UUID, BlockRecord] = {}
        self.places: dict[Place, UUID] = {}
        self._subscription_id = subscription_id
        self.models: dict[UUID, BlockModel] = {}
        self._path: list[UUID] = []

    def walk(self, holder: DomainModel, holder_id: UUID | None) -> None:
        _validate(holder)
        for field in holder.block_fields().values():
            for position, block in held_blocks(holder, field):
                place = Place(holder_id, field.name, position)
                if holder_id is None:
                    self._check_root(place, block)
                self.places[place] = block.subscription_instance_id
                if block.owner_subscription_id == self._subscription_id:
                    self._enter(block)

    def _enter(self, block: BlockModel) -> None:
        key = block.subscription_instance_id
        if key in self._path:
            raise InvalidBlocks(f"Block {block.name} {key} holds itself; a subscription's blocks form a tree.")
        if (seen := self.models.setdefault(key, block)) is not block and seen != block:
            raise InvalidBlocks(
                f"There are two versions of block {block.name} {key} in the subscription; use one object."
            )
        if key in self.records:
            return
        self._path.append(key)
        self.walk(block, key)
        self._path.pop()
        self.records[key] = BlockRecord(
            key, self._subscription_id, block.name, block.label or None, stored_values(block)
        )

    def _check_root(self, place: Place, block: BlockModel) -> None:
        if block.owner_subscription_id != self._subscription_id:
            raise InvalidBlocks(
                f"{place.attribute}: block {block.name} {block.subscription_instance_id} belongs to subscription "
                f"{block.owner_subscription_id}; at the root a subscription holds only its own. Hold it in a block."
            )
        for other, held in self.places.items():
            if other.holder is None and held == block.subscription_instance_id:
                raise InvalidBlocks(
                    f"Block {block.name} {held} stands in {other.attribute} and in {place.attribute}; it can be in one."
                )


def _validate(model: DomainModel) -> None:
    cls = type(model)
    cls.__pydantic_validator__.validate_python({name: getattr(model, name) for name in cls.model_fields})


def _as_database(value: Any) -> Any:
    """Numbers as JSONB returns them: without exponent, so a large float is an integer with the same digits.

    JSON has no number for inf and nan; they become words, as in some versions of pydantic.
    """
    match value:
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case float() if abs(value) >= EXPONENT_FROM:
            return int(Decimal(repr(value)))
        case list():
            return [_as_database(item) for item in value]
        case dict():
            return {key: _as_database(item) for key, item in value.items()}
    return value


def _revealed(value: Any) -> Any:
    match value:
        case SecretStr() | SecretBytes():
            return value.get_secret_value()
        case dict():
            return {key: _revealed(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_revealed(item) for item in value]
    return value
