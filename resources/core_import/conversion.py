"""Makes models of the rows of orchestrator-core: texts become what the fields of the models say."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any, get_origin
from uuid import UUID

from resources.core_import.source import Batch, Row, SourceBlock
from resources.domain.models.block_model import BlockModel, block_class, resolve
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import alternatives
from resources.domain.models.lifecycle import class_for, family
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.domain.saving.records import BlockRecord, Blocks, HeaderRecord, Place, ProductRecord, SubscriptionRecord
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import InvalidBlocks
from resources.types import SubscriptionLifecycle


@dataclass(frozen=True, slots=True)
class Converted:
    """A subscription as a model, and what of its rows has no place in it, each as a sentence."""

    model: SubscriptionModel
    lost: list[str]


def convert(batch: Batch, subscription_id: UUID, products: Mapping[UUID, ProductRecord]) -> Converted:
    """Make the model of one subscription of a batch; `products` are ours by the ids that they have there.

    Raises errors of ours, such as InvalidBlocks, ValueError for an unknown status, and pydantic's ValidationError.
    """
    row = batch.headers[subscription_id]
    product = products[row["product_id"]]
    status = SubscriptionLifecycle(row["status"])
    cls = class_for(SUBSCRIPTION_MODEL_REGISTRY[product.name], status)
    own = batch.own(subscription_id)
    blocks = _reached(batch, own)
    records = {block.id: _record(block, status) for block in blocks}
    places = {place: key for block in blocks for place, key in _held(block)} | dict(_roots(cls, status, own))
    record = SubscriptionRecord(_header(row, product), row["insync"], 1, Blocks(records, places))
    model = SubscriptionModel.from_record(record, product)
    return Converted(model, list(_lost(model, own)))


def used_by(batch: Batch, subscription_id: UUID) -> Iterator[SourceBlock]:
    """The blocks of other subscriptions that a subscription holds, at any depth."""
    return (each for each in _reached(batch, batch.own(subscription_id)) if each.subscription_id != subscription_id)


def _reached(batch: Batch, own: Iterable[SourceBlock]) -> list[SourceBlock]:
    found: dict[UUID, SourceBlock] = {}
    waiting = list(own)
    while waiting:
        block = waiting.pop()
        if block.id not in found:
            found[block.id] = block
            waiting += [batch.blocks[key] for held in block.holds.values() for key in held]
    return list(found.values())


def _header(row: Row, product: ProductRecord) -> HeaderRecord:
    kept = ("subscription_id", "customer_id", "description", "status", "start_date", "end_date", "note")
    return HeaderRecord(product_id=product.product_id, **{name: row[name] for name in kept})


def _held(block: SourceBlock) -> Iterator[tuple[Place, UUID]]:
    """The places below a block. A relation without an attribute is from before 5.0, and no model shows it there."""
    for attribute, held in block.holds.items():
        if attribute is not None:
            for position, key in enumerate(held):
                yield Place(block.id, attribute, position), key


def _roots(
    cls: type[DomainModel], status: SubscriptionLifecycle, own: list[SourceBlock]
) -> Iterator[tuple[Place, UUID]]:
    """The blocks at the root: those of a field's kinds that no other block of the subscription holds."""
    held = {key for block in own for keys in block.holds.values() for key in keys}
    free = [block for block in own if block.id not in held]
    taken: dict[UUID, str] = {}
    for field in cls.block_fields().values():
        found = [block for block in free if resolve(field.types, block.product_block, status)]
        if len(found) > 1 and not field.is_list:
            raise InvalidBlocks(f"{field.name}: {len(found)} blocks {found[0].product_block} are at the root, for one.")
        for position, block in enumerate(found):
            if block.id in taken:
                raise InvalidBlocks(
                    f"Block {block.product_block} {block.id} fits {taken[block.id]} and {field.name}; nothing there "
                    "says in which of them it is."
                )
            taken[block.id] = field.name
            yield Place(None, field.name, position), block.id


def _record(block: SourceBlock, status: SubscriptionLifecycle) -> BlockRecord:
    cls = block_class(block.product_block, status)
    if cls is None:
        raise InvalidBlocks(f"No class of block {block.product_block!r} is loaded, so block {block.id} fits nowhere.")
    lists, values = list_fields(cls), {}
    for name, texts in block.values.items():
        if len(texts) > 1 and name not in lists:
            raise InvalidBlocks(
                f"Block {block.product_block} {block.id} has {len(texts)} values of {name}, {_shown(texts)}; "
                f"{cls.__name__} holds one."
            )
        values[name] = texts if name in lists else texts[0]
    empty: dict[str, Any] = {
        name: [] if name in lists else None for name in cls.plain_fields() if _may_be_empty(cls, name)
    }
    return BlockRecord(block.id, block.subscription_id, block.product_block, block.label, empty | values)


@cache
def list_fields(cls: type[DomainModel]) -> frozenset[str]:
    """The fields of a class, in any status, that hold lists, whose values are rows of their own there."""
    found = (each for one in family(cls.__base_type__ or cls) for each in one.model_fields.items())
    return frozenset(name for name, info in found if any(_is_list(one) for one in alternatives(info.annotation)))


def _is_list(annotation: Any) -> bool:
    return (get_origin(annotation) or annotation) is list


@cache
def _may_be_empty(cls: type[DomainModel], name: str) -> bool:
    """Whether no value means None or an empty list there, whatever the default."""
    return name in list_fields(cls) or NoneType in alternatives(cls.model_fields[name].annotation)


def _lost(model: SubscriptionModel, own: list[SourceBlock]) -> Iterator[str]:
    made = {block.subscription_instance_id: block for block in _blocks_of(model, model.subscription_id)}
    for block in own:
        at = f"block {block.product_block} {block.id}"
        if block.id not in made:
            yield f"{at}: nothing holds it, with its values {_shown(block.values)}."
            continue
        cls = type(made[block.id])
        for name in block.values.keys() - cls.plain_fields().keys():
            yield f"{at}: {cls.__name__} has no field {name}, which is {_shown(block.values[name])}."
        for attribute, held in block.holds.items():
            if attribute not in cls.block_fields():
                yield f"{at}: {cls.__name__} has no field {attribute}, which holds {', '.join(map(str, held))}."


def _blocks_of(holder: DomainModel, owner: UUID) -> Iterator[BlockModel]:
    for field in holder.block_fields().values():
        value = getattr(holder, field.name)
        for block in value if field.is_list else [value] if value is not None else []:
            if block.owner_subscription_id == owner:
                yield block
                yield from _blocks_of(block, owner)


def _shown(value: Any) -> str:
    return str(value)[:200]
