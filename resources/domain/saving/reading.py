"""Reads the rows of subscriptions, blocks and their history, each in one statement."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import Timestamp
from resources.database.typed_sql import UUIDS, sql
from resources.domain.models.block_model import secret_fields
from resources.domain.saving.headers import HEADER_LENGTH, SubscriptionHeader
from resources.domain.saving.records import (
    BlockRecord,
    Blocks,
    HeaderRecord,
    Place,
    ProductBlockRecord,
    ProductRecord,
    SubscriptionRecord,
)
from resources.errors import InvalidBlocks, UnknownProduct, UnknownProductBlock, UnknownSubscription
from resources.types import SubscriptionLifecycle

# UNION, not UNION ALL: each block once, so that subscriptions which use each other's blocks end the recursion.
_TREE = """
WITH RECURSIVE tree(id) AS (
    SELECT subscription_instance_id FROM subscription_instances WHERE {root}
    UNION
    SELECT r.depends_on_id FROM tree JOIN subscription_instance_relations r ON r.in_use_by_id = tree.id
)
"""
_BLOCKS = """
    (SELECT coalesce(json_agg(json_build_array(
        i.subscription_instance_id, i.subscription_id, i.product_block, i.label, i.values, i.attribute, i.position
     )), '[]')
     FROM tree JOIN subscription_instances i ON i.subscription_instance_id = tree.id),
    (SELECT coalesce(json_agg(json_build_array(r.in_use_by_id, r.attribute, r.position, r.depends_on_id)), '[]')
     FROM tree JOIN subscription_instance_relations r ON r.in_use_by_id = tree.id)
"""
_HEADER = ", ".join(f"s.{field.name}" for field in fields(HeaderRecord))
_PRODUCT = ", ".join(f"p.{field.name}" for field in fields(ProductRecord))
_READ_SUBSCRIPTION = sql(
    _TREE.format(root="subscription_id = :subscription_id")
    + f"SELECT {_HEADER}, {_PRODUCT}, s.insync, s.version, {_BLOCKS}"
    + "FROM subscriptions s JOIN products p USING (product_id) WHERE s.subscription_id = :subscription_id",
    subscription_id=sa.Uuid,
)
_READ_MANY = sql(
    f"""
SELECT {_HEADER}, {_PRODUCT}, s.insync, s.version, found.* FROM subscriptions s JOIN products p USING (product_id)
CROSS JOIN LATERAL ({_TREE.format(root="subscription_id = s.subscription_id")} SELECT {_BLOCKS}) found
WHERE s.subscription_id = ANY(:subscription_ids)
""",
    subscription_ids=UUIDS,
)
_READ_BLOCK = sql(
    _TREE.format(root="subscription_instance_id = :block")
    + f"SELECT s.status, {_BLOCKS} FROM subscription_instances b JOIN subscriptions s USING (subscription_id)"
    + " WHERE b.subscription_instance_id = :block",
    block=sa.Uuid,
)
_READ_BLOCKS = sql(
    _TREE.format(root="subscription_instance_id = ANY(:blocks)") + f"SELECT {_BLOCKS}",
    blocks=UUIDS,
)
_READ_PRODUCT = sql(f"SELECT {_PRODUCT} FROM products p WHERE p.product_id = :product_id", product_id=sa.Uuid)
_READ_PRODUCTS = sql(f"SELECT {_PRODUCT} FROM products p WHERE p.product_id = ANY(:product_ids)", product_ids=UUIDS)
_HEADER_LENGTH, _PRODUCT_LENGTH = len(fields(HeaderRecord)), len(fields(ProductRecord))


ReadRows: TypeAlias = tuple[SubscriptionRecord, ProductRecord]
FRESH_SECONDS = 1.0


@dataclass(slots=True)
class ReadAhead:
    """Rows of a subscription that serve one reading, while they are fresh."""

    rows: ReadRows
    until: float = field(default_factory=lambda: time.monotonic() + FRESH_SECONDS)

    @property
    def is_fresh(self) -> bool:
        """Whether they may still be used."""
        return time.monotonic() < self.until


_ahead: ContextVar[ReadAhead | None] = ContextVar("read_ahead", default=None)


def read_subscription(subscription_id: UUID) -> ReadRows:
    """Read all rows of a subscription, of the blocks of others that it reaches, and of its product.

    Raises UnknownSubscription.
    """
    ahead = _ahead.get()
    if ahead is not None and ahead.rows[0].header.subscription_id == subscription_id and ahead.is_fresh:
        ahead.until = 0.0
        return ahead.rows
    found = current_session().execute(_READ_SUBSCRIPTION, {"subscription_id": subscription_id}).first()
    if found is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    return _rows(tuple(found))


def read_ahead(subscription_ids: Iterable[UUID]) -> dict[UUID, ReadAhead]:
    """Read several in one statement, by id; those that there are."""
    found = current_session().execute(_READ_MANY, {"subscription_ids": list(subscription_ids)})
    each = (ReadAhead(_rows(tuple(row))) for row in found)
    return {one.rows[0].header.subscription_id: one for one in each}


@contextmanager
def given_ahead(ahead: ReadAhead) -> Iterator[None]:
    """Let the block's first reading of this subscription have these rows, for work that notices when it has changed."""
    token = _ahead.set(ahead)
    try:
        yield
    finally:
        _ahead.reset(token)


def _rows(row: tuple[Any, ...]) -> ReadRows:
    header, product = row[:_HEADER_LENGTH], row[_HEADER_LENGTH : _HEADER_LENGTH + _PRODUCT_LENGTH]
    insync, version, blocks, places = row[_HEADER_LENGTH + _PRODUCT_LENGTH :]
    own = HeaderRecord(*header)
    record = SubscriptionRecord(own, insync, version, _blocks(blocks, places, own.subscription_id))
    return record, ProductRecord(*product)


def read_block(block_id: UUID) -> tuple[str, Blocks]:
    """Read one block and what it holds, with the status of its owner. Raises InvalidBlocks when there is none."""
    found = current_session().execute(_READ_BLOCK, {"block": block_id}).first()
    if found is None:
        raise InvalidBlocks(f"There is no block {block_id}.")
    status, blocks, places = found
    return status, _blocks(blocks, places, None)


def read_blocks(block_ids: Iterable[UUID]) -> Blocks:
    """Read several blocks and what they hold; those that are not there are left out."""
    blocks, places = current_session().execute(_READ_BLOCKS, {"blocks": list(block_ids)}).one()
    return _blocks(blocks, places, None)


def read_product(product_id: UUID) -> ProductRecord:
    """Read a product. Raises UnknownProduct."""
    found = current_session().execute(_READ_PRODUCT, {"product_id": product_id}).first()
    if found is None:
        raise UnknownProduct(f"There is no product {product_id}; `orchestrator catalogue plan` shows what is missing.")
    return ProductRecord(*found)


def read_products(product_ids: Iterable[UUID]) -> dict[UUID, ProductRecord]:
    """Read products by id; those that are unknown are left out."""
    if not (wanted := list(product_ids)):
        return {}
    found = [ProductRecord(*row) for row in current_session().execute(_READ_PRODUCTS, {"product_ids": wanted})]
    return {record.product_id: record for record in found}


def _blocks(rows: list[Any], relations: list[Any], subscription_id: UUID | None) -> Blocks:
    records: dict[UUID, BlockRecord] = {}
    places: dict[Place, UUID] = {}
    for key, owner, product_block, label, values, attribute, position in rows:
        record = BlockRecord(UUID(key), UUID(owner), product_block, label, values)
        records[record.subscription_instance_id] = record
        if attribute is not None and record.subscription_id == subscription_id:
            places[Place(None, attribute, position)] = record.subscription_instance_id
    for holder, attribute, position, held in relations:
        places[Place(UUID(holder), attribute, position)] = UUID(held)
    return Blocks(records, places)


# --- the past ---


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A row of subscription_versions."""

    subscription_id: UUID
    version: int
    document: dict[str, Any]
    process_id: UUID | None
    step_key: str | None
    created_by: str | None
    created_at: datetime


_VERSION = "v.subscription_id, v.version, v.document, v.process_id, v.step_key, v.created_by, v.created_at"
_READ_VERSIONS = sql(
    f"SELECT {_VERSION} FROM subscription_versions v WHERE v.subscription_id = :subscription_id ORDER BY v.version",
    subscription_id=sa.Uuid,
)
# A version read by number has the others' blocks as they were when it was written.
_READ_PAST = sql(
    f"""
WITH RECURSIVE past(subscription_id, version, at) AS (
    (SELECT subscription_id, version, coalesce(:at, created_at) FROM subscription_versions
     WHERE subscription_id = :subscription_id AND (version = :version OR created_at <= :at)
     ORDER BY version DESC LIMIT 1)
    UNION
    SELECT theirs.subscription_id, theirs.version, past.at
    FROM past
    JOIN subscription_versions v USING (subscription_id, version)
    CROSS JOIN LATERAL (
        SELECT DISTINCT CAST(owner #>> '{{}}' AS uuid) AS owner
        FROM jsonb_path_query(v.document, '$.**.owner_subscription_id') AS owner
    ) used
    CROSS JOIN LATERAL (
        SELECT w.subscription_id, w.version FROM subscription_versions w
        WHERE w.subscription_id = used.owner AND w.subscription_id <> :subscription_id AND w.created_at <= past.at
        ORDER BY w.version DESC LIMIT 1
    ) theirs
)
SELECT {_VERSION} FROM past JOIN subscription_versions v USING (subscription_id, version)
""",
    subscription_id=sa.Uuid,
    version=sa.Integer,
    at=Timestamp,
)


def read_versions(subscription_id: UUID) -> list[VersionRecord]:
    """Read the whole history of a subscription, oldest first; empty for an unknown one."""
    rows = current_session().execute(_READ_VERSIONS, {"subscription_id": subscription_id})
    return [VersionRecord(*row) for row in rows]


def read_past(subscription_id: UUID, moment: datetime | int) -> dict[UUID, VersionRecord]:
    """Read the version at a time, or of a number, and those of the subscriptions that it used then, by subscription id.

    Raises UnknownSubscription when there was none, ValueError for a time without a zone.
    """
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raise ValueError(f"The time {moment} has no time zone, so the moment is unknown.")
    version, at = (moment, None) if isinstance(moment, int) else (None, moment)
    parameters = {"subscription_id": subscription_id, "version": version, "at": at}
    found = [VersionRecord(*row) for row in current_session().execute(_READ_PAST, parameters)]
    if not found:
        wanted = f"version {moment}" if isinstance(moment, int) else f"version at {moment.isoformat()}"
        raise UnknownSubscription(f"Subscription {subscription_id} has no {wanted}.")
    return {record.subscription_id: record for record in found}


# --- who holds whom, across subscriptions ---


@dataclass(frozen=True, slots=True)
class RelatedBlock:
    """A saved block that holds another or is held by it, in `attribute` of the holder, with its owner and its kind."""

    subscription: SubscriptionHeader
    product_block: ProductBlockRecord
    subscription_instance_id: UUID
    label: str | None
    attribute: str
    stored: Mapping[str, Any]
    """Its values as they are stored, secrets too."""
    of: UUID
    """The block of the query."""

    @property
    def subscription_id(self) -> UUID:
        """Its owner."""
        return self.subscription.subscription_id

    @property
    def status(self) -> SubscriptionLifecycle:
        """Its owner's status."""
        return self.subscription.status

    @property
    def values(self) -> Mapping[str, Any]:
        """Its values as JSON, without secrets. Raises InvalidBlocks when no loaded class says which those are."""
        secrets = secret_fields(self.product_block.name)
        return {name: value for name, value in self.stored.items() if name not in secrets}


_OWNER = ", ".join(f"s.{field.name}" for field in fields(SubscriptionHeader)[:-1])
_BLOCK = "k.product_block_id, i.product_block, k.description, k.tag"
_RELATED = f"""
SELECT {_OWNER}, {_PRODUCT}, {_BLOCK}, i.subscription_instance_id, i.label, r.attribute, i.values, r.{{asked}}
FROM subscription_instance_relations r
JOIN subscription_instances i ON i.subscription_instance_id = r.{{answer}}
JOIN subscriptions s ON s.subscription_id = i.subscription_id
JOIN products p USING (product_id)
LEFT JOIN product_blocks k ON k.name = i.product_block
WHERE r.{{asked}} = ANY(:blocks)
ORDER BY r.attribute, r.position, i.subscription_instance_id
"""
_USERS = sql(_RELATED.format(asked="depends_on_id", answer="in_use_by_id"), blocks=UUIDS)
_USED = sql(_RELATED.format(asked="in_use_by_id", answer="depends_on_id"), blocks=UUIDS)


def blocks_using(blocks: Iterable[UUID]) -> list[RelatedBlock]:
    """The blocks, of any subscription, that hold one of these."""
    return _related(_USERS, blocks)


def blocks_used_by(blocks: Iterable[UUID]) -> list[RelatedBlock]:
    """The blocks, of any subscription, that one of these holds."""
    return _related(_USED, blocks)


def _related(statement: sa.TextClause, blocks: Iterable[UUID]) -> list[RelatedBlock]:
    rows = map(tuple, current_session().execute(statement, {"blocks": list(blocks)}))
    header, kind = HEADER_LENGTH, HEADER_LENGTH + len(fields(ProductBlockRecord))
    return [
        RelatedBlock(SubscriptionHeader.of(row[:header]), ProductBlockRecord(*row[header:kind]), *row[kind:])
        for row in rows
    ]


_READ_KIND = sql(
    "SELECT k.product_block_id, k.name, k.description, k.tag FROM product_blocks k WHERE k.name = :name", name=sa.String
)


def read_product_block(name: str) -> ProductBlockRecord:
    """Read a kind of block. Raises UnknownProductBlock."""
    found = current_session().execute(_READ_KIND, {"name": name}).first()
    if found is None:
        raise UnknownProductBlock(
            f"The catalogue has no block {name!r}; `orchestrator catalogue plan` shows what is missing."
        )
    return ProductBlockRecord(*found)
