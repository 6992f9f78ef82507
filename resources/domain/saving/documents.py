"""A subscription as one JSON document, which lists, searches and history read."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_jsonable_python

from resources.domain.models.block_model import BlockModel
from resources.domain.models.declaration import DomainModel
from resources.domain.saving.records import BlockRecord, Blocks, HeaderRecord, Place, ProductRecord, SubscriptionRecord
from resources.domain.saving.rows_from_models import held_blocks, shown_values

Document = dict[str, Any]
"""The model's dump without computed fields, `insync` and `version`. Secrets are masked, and a block of another
subscription is `{"subscription_instance_id", "owner_subscription_id"}`.
"""

ID, OWNER = "subscription_instance_id", "owner_subscription_id"
BLOCK_KEYS = ("name", ID, OWNER, "label")


def make_document(model: DomainModel, header: HeaderRecord, product: Mapping[str, Any]) -> Document:
    """The document of a subscription; `product` is its product as JSON."""
    described: Document = to_jsonable_python(asdict(header))
    del described["product_id"]
    return {
        **described,
        "product": dict(product),
        **shown_values(model),
        **_block_fields(model, header.subscription_id),
    }


def is_block(value: Any) -> bool:
    """Whether a value in a document is a block, or a reference to one of another subscription."""
    return isinstance(value, dict) and ID in value and OWNER in value


def is_block_list(value: Any) -> bool:
    """Whether a value in a document is a list of blocks; an empty list counts."""
    return isinstance(value, list) and bool(value) and all(map(is_block, value))


def past_record(
    documents: Mapping[UUID, Document], subscription_id: UUID, version: int
) -> tuple[SubscriptionRecord, ProductRecord]:
    """The record and product in a document, without secrets; the blocks of others come from the other documents."""
    document = documents[subscription_id]
    product = dict(document["product"])
    header = HeaderRecord(
        subscription_id=subscription_id,
        product_id=UUID(product["product_id"]),
        customer_id=document["customer_id"],
        description=document["description"],
        status=document["status"],
        start_date=_moment(document["start_date"]),
        end_date=_moment(document["end_date"]),
        note=document["note"],
    )
    parts = [_own_blocks(each) for each in documents.values()]
    records = {key: record for part in parts for key, record in part.records.items()}
    places = {place: key for part in parts for place, key in part.places.items() if place.holder is not None}
    places |= dict(_own_blocks(document).roots())
    blocks = Blocks(records, {place: key for place, key in places.items() if key in records})
    return SubscriptionRecord(header, insync=False, version=version, blocks=blocks), _product(product, document)


def _product(product: Document, document: Document) -> ProductRecord:
    moments = {key: _moment(product[key]) for key in ("created_at", "end_date")}
    ids = {"product_id": UUID(product["product_id"])}
    return ProductRecord(**{**product, **ids, **moments, "fixed_inputs": document})


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _own_blocks(document: Document) -> Blocks:
    records: dict[UUID, BlockRecord] = {}
    places: dict[Place, UUID] = {}
    for place, block in _walk(document, None):
        key = UUID(block[ID])
        places[place] = key
        if "name" in block:
            values = {name: value for name, value in block.items() if name not in BLOCK_KEYS}
            records[key] = BlockRecord(key, UUID(block[OWNER]), block["name"], block["label"], values)
    return Blocks(records, places)


def _block_fields(model: DomainModel, subscription_id: UUID) -> Document:
    found: Document = {}
    for field in model.block_fields().values():
        blocks = [_block(block, subscription_id) for _, block in held_blocks(model, field)]
        found[field.name] = blocks if field.is_list else (blocks[0] if blocks else None)
    return found


def _block(block: BlockModel, subscription_id: UUID) -> Document:
    ids = {ID: str(block.subscription_instance_id), OWNER: str(block.owner_subscription_id)}
    if block.owner_subscription_id != subscription_id:
        return ids
    return {
        "name": block.name,
        **ids,
        "label": block.label or None,
        **shown_values(block),
        **_block_fields(block, subscription_id),
    }


def _walk(holder: Document, holder_id: UUID | None) -> Iterator[tuple[Place, Document]]:
    for attribute, value in holder.items():
        blocks = value if is_block_list(value) else [value] if is_block(value) else []
        for position, block in enumerate(blocks):
            yield Place(holder_id, attribute, position), block
            yield from _walk(block, UUID(block[ID]))
