"""The words by which a subscription is found."""

import json
from collections.abc import Iterator
from typing import Any

from resources.documents import BLOCK_KEYS, ID, Document, is_block, is_block_list

MASK = "**********"
LONGEST = 200_000
"""Characters. PostgreSQL refuses to index a text of more than a megabyte, and a save must not fail for that."""

HEADER = ("subscription_id", "status", "description", "note", "customer_id")
PRODUCT = {
    "product_id": "product_id",
    "name": "product_name",
    "description": "product_description",
    "tag": "tag",
    "product_type": "product_type",
}


def search_text(document: Document) -> str:
    """`key:value` for the header, product, fixed inputs, own blocks' ids, labels and values; hyphens as underscores.

    `insync` is not among them: it changes without a save, its column is the place to look.
    """
    words = " ".join(f"{key}:{value}" for key, value in _pairs(document))
    return words.replace("-", "_").replace("\x00", " ")[:LONGEST]


def _pairs(document: Document) -> Iterator[tuple[str, str]]:
    for key in HEADER:
        yield from _words(key, document[key])
    for key, shown in PRODUCT.items():
        yield from _words(shown, document["product"][key])
    for key, value in document.items():
        if key not in HEADER and key not in ("product", "start_date", "end_date"):
            yield from _field(key, value)


def _field(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if is_block_list(value):
        for block in value:
            yield from _block(block)
    elif is_block(value):
        yield from _block(value)
    else:
        yield from _words(key, value)


def _block(block: Document) -> Iterator[tuple[str, str]]:
    if "name" not in block:
        return
    yield from _words(ID, block[ID])
    yield from _words("label", block["label"])
    for key, value in block.items():
        if key not in BLOCK_KEYS:
            yield from _field(key, value)


def _words(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None or value == MASK:
        return
    if isinstance(value, list):
        for item in value:
            yield from _words(key, item)
    elif isinstance(value, str):
        yield key, value
    else:
        yield key, json.dumps(value)
