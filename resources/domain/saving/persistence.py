"""Subscriptions between rows and records: one statement reads any of them, a constant number saves what changed."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import IntegrityError

from resources.database.session import current_session
from resources.database.tables import Timestamp
from resources.domain.saving.authorship import current_author
from resources.domain.saving.records import BlockRecord, Blocks, HeaderRecord, Place, ProductRecord, SubscriptionRecord
from resources.errors import (
    BlockInUse,
    InvalidBlocks,
    StaleSubscription,
    SubscriptionLocked,
    UnknownProduct,
    UnknownSubscription,
)
from resources.types import SubscriptionLifecycle

_UUIDS = ARRAY(sa.Uuid)


def _sql(statement: str, **types: Any) -> sa.TextClause:
    """A statement with typed parameters, so that NULL and JSON arrive as what they are."""
    return sa.text(statement).bindparams(*(sa.bindparam(name, type_=type_) for name, type_ in types.items()))


# --- reading ---

# UNION, not UNION ALL: each block once, so subscriptions that use each other's blocks come to an end.
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
_PRODUCT = """
    p.product_id, p.name, p.description, p.product_type, p.tag, p.status, p.created_at, p.end_date, p.fixed_inputs
"""
_READ_SUBSCRIPTION = _sql(
    _TREE.format(root="subscription_id = :subscription_id")
    + "SELECT s.subscription_id, s.product_id, s.customer_id, s.description, s.status, s.start_date, s.end_date,"
    + " s.note,"
    + f"{_PRODUCT}, s.insync, s.version, {_BLOCKS}"
    + "FROM subscriptions s JOIN products p USING (product_id) WHERE s.subscription_id = :subscription_id",
    subscription_id=sa.Uuid,
)
_READ_BLOCK = _sql(
    _TREE.format(root="subscription_instance_id = :block")
    + f"SELECT s.status, {_BLOCKS} FROM subscription_instances b JOIN subscriptions s USING (subscription_id)"
    + " WHERE b.subscription_instance_id = :block",
    block=sa.Uuid,
)
_READ_PRODUCT = _sql(f"SELECT {_PRODUCT} FROM products p WHERE p.product_id = :product_id", product_id=sa.Uuid)
_HEADER_LENGTH, _PRODUCT_LENGTH = 8, 9


def read_subscription(subscription_id: UUID) -> SubscriptionRecord:
    """Read all rows of a subscription, and of the blocks of others that it reaches. Raises UnknownSubscription."""
    found = current_session().execute(_READ_SUBSCRIPTION, {"subscription_id": subscription_id}).first()
    if found is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    row = tuple(found)
    header, product = row[:_HEADER_LENGTH], row[_HEADER_LENGTH : _HEADER_LENGTH + _PRODUCT_LENGTH]
    insync, version, blocks, places = row[_HEADER_LENGTH + _PRODUCT_LENGTH :]
    return SubscriptionRecord(
        HeaderRecord(*header), ProductRecord(*product), insync, version, _blocks(blocks, places, subscription_id)
    )


def read_block(block_id: UUID) -> tuple[str, Blocks]:
    """Read one block and what it holds, with the status of its owner. Raises InvalidBlocks when there is none."""
    found = current_session().execute(_READ_BLOCK, {"block": block_id}).first()
    if found is None:
        raise InvalidBlocks(f"There is no block {block_id}.")
    status, blocks, places = found
    return status, _blocks(blocks, places, None)


def read_product(product_id: UUID) -> ProductRecord:
    """Read a product. Raises UnknownProduct."""
    found = current_session().execute(_READ_PRODUCT, {"product_id": product_id}).first()
    if found is None:
        raise UnknownProduct(f"There is no product {product_id}; `orchestrator catalogue plan` shows what is missing.")
    return ProductRecord(*found)


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
_READ_VERSIONS = _sql(
    f"SELECT {_VERSION} FROM subscription_versions v WHERE v.subscription_id = :subscription_id ORDER BY v.version",
    subscription_id=sa.Uuid,
)
# A version asked for by number brings the others' blocks as they were when it was written.
_READ_PAST = _sql(
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
    """Read the whole history of a subscription, oldest first; empty when there is none."""
    rows = current_session().execute(_READ_VERSIONS, {"subscription_id": subscription_id})
    return [VersionRecord(*row) for row in rows]


def read_past(subscription_id: UUID, moment: datetime | int) -> dict[UUID, VersionRecord]:
    """Read the version that was current at a time, or the one of a number, and those of the subscriptions it used then.

    By subscription id. Raises UnknownSubscription when there was none, ValueError for a time without a zone.
    """
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raise ValueError(f"The time {moment} has no time zone, so it is not known which moment is meant.")
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
    """A block that holds another or is held by it, in `attribute` of the holder; `status` is its owner's."""

    subscription_instance_id: UUID
    subscription_id: UUID
    product_block: str
    label: str | None
    attribute: str
    status: str
    of: UUID
    """The block that was asked about."""


_RELATED = """
SELECT i.subscription_instance_id, i.subscription_id, i.product_block, i.label, r.attribute, s.status, r.{asked}
FROM subscription_instance_relations r
JOIN subscription_instances i ON i.subscription_instance_id = r.{answer}
JOIN subscriptions s ON s.subscription_id = i.subscription_id
WHERE r.{asked} = ANY(:blocks)
ORDER BY r.attribute, r.position, i.subscription_instance_id
"""
_USERS = _sql(_RELATED.format(asked="depends_on_id", answer="in_use_by_id"), blocks=_UUIDS)
_USED = _sql(_RELATED.format(asked="in_use_by_id", answer="depends_on_id"), blocks=_UUIDS)

_LOCK = _sql("SELECT FROM subscriptions WHERE subscription_id = :subscription_id FOR UPDATE", subscription_id=sa.Uuid)


def blocks_using(blocks: Iterable[UUID]) -> list[RelatedBlock]:
    """The blocks that hold any of these, of whatever subscription."""
    return _related(_USERS, blocks)


def blocks_used_by(blocks: Iterable[UUID]) -> list[RelatedBlock]:
    """The blocks that any of these hold, of whatever subscription."""
    return _related(_USED, blocks)


def lock_subscription(subscription_id: UUID) -> None:
    """Keep others from using more of its blocks until the transaction ends; waits for those who are about to."""
    current_session().execute(_LOCK, {"subscription_id": subscription_id})


def _related(statement: sa.TextClause, blocks: Iterable[UUID]) -> list[RelatedBlock]:
    return [RelatedBlock(*row) for row in current_session().execute(statement, {"blocks": list(blocks)})]


# --- saving ---

_HEADER_TYPES: dict[str, Any] = {
    "subscription_id": sa.Uuid,
    "product_id": sa.Uuid,
    "customer_id": sa.String,
    "description": sa.String,
    "status": sa.String,
    "start_date": Timestamp,
    "end_date": Timestamp,
    "note": sa.String,
    "version": sa.Integer,
    "insync": sa.Boolean,
    "document": JSONB,
    "search": sa.String,
    "process_id": sa.Uuid,
    "step_key": sa.String,
    "created_by": sa.String,
    "used": _UUIDS,
    "added": _UUIDS,
}
_NOTED = """, noted AS (
    INSERT INTO subscription_versions (subscription_id, version, document, process_id, step_key, created_by)
    SELECT :subscription_id, saved.version, :document, :process_id, :step_key, :created_by FROM saved
)
"""
# Whoever ends or locks an owner waits for us, or we for them: then the row is read again as they left it.
_OWNERS = """
WITH owners AS (
    SELECT s.status, s.locked_by, s.subscription_id = ANY(ARRAY(
        SELECT subscription_id FROM subscription_instances WHERE subscription_instance_id = ANY(:added)
    )) AS is_added
    FROM subscriptions s
    WHERE s.subscription_id = ANY(ARRAY(
        SELECT subscription_id FROM subscription_instances WHERE subscription_instance_id = ANY(:used)
    ))
    ORDER BY s.subscription_id FOR SHARE
), unfit AS (
    SELECT FROM owners
    WHERE status = 'terminated' OR (is_added AND locked_by IS NOT NULL AND locked_by IS DISTINCT FROM :process_id)
)"""
_INSERT_SUBSCRIPTION = _sql(
    _OWNERS
    + """, saved AS (
    INSERT INTO subscriptions (subscription_id, product_id, customer_id, description, status, start_date, end_date,
                               note, insync, version, document, search)
    SELECT :subscription_id, :product_id, :customer_id, :description, :status, :start_date, :end_date, :note,
           :insync, :version, :document, CAST(:search AS tsvector)
    WHERE NOT EXISTS (SELECT FROM unfit)
    ON CONFLICT DO NOTHING
    RETURNING version
)"""
    + _NOTED
    + "SELECT version, NULL FROM saved",
    **_HEADER_TYPES,
)
# The row is locked before it is compared, so a writer that had to wait sees the version the other one left.
_UPDATE_SUBSCRIPTION = _sql(
    _OWNERS
    + """, before AS (
    SELECT subscription_id, document FROM subscriptions
    WHERE subscription_id = :subscription_id AND version = :version AND NOT EXISTS (SELECT FROM unfit) FOR UPDATE
), saved AS (
    UPDATE subscriptions s
    SET product_id = :product_id, customer_id = :customer_id, description = :description, status = :status,
        start_date = :start_date, end_date = :end_date, note = :note, insync = coalesce(:insync, s.insync),
        version = s.version + 1, document = :document, search = CAST(:search AS tsvector)
    FROM before WHERE s.subscription_id = before.subscription_id
    RETURNING s.version
)"""
    + _NOTED
    + "SELECT saved.version, before.document FROM saved, before",
    **_HEADER_TYPES,
)
_UPDATE_INSYNC = _sql(
    "UPDATE subscriptions SET insync = :insync WHERE subscription_id = :subscription_id AND version = :version",
    subscription_id=sa.Uuid,
    version=sa.Integer,
    insync=sa.Boolean,
)
_UPSERT_BLOCKS = _sql(
    """
INSERT INTO subscription_instances
       (subscription_instance_id, subscription_id, product_block, label, values, attribute, position)
SELECT b.subscription_instance_id, b.subscription_id, b.product_block, b.label, b.values, b.attribute, b.position
FROM jsonb_to_recordset(:rows) AS b(subscription_instance_id uuid, subscription_id uuid, product_block text, label text,
                                    values jsonb, attribute text, position int)
ON CONFLICT (subscription_instance_id) DO UPDATE
SET product_block = excluded.product_block, label = excluded.label, values = excluded.values,
    attribute = excluded.attribute, position = excluded.position
WHERE subscription_instances.subscription_id = excluded.subscription_id
""",
    rows=JSONB,
)
_UPSERT_RELATIONS = _sql(
    """
INSERT INTO subscription_instance_relations (in_use_by_id, attribute, position, depends_on_id)
SELECT r.in_use_by_id, r.attribute, r.position, r.depends_on_id
FROM jsonb_to_recordset(:rows) AS r(in_use_by_id uuid, attribute text, position int, depends_on_id uuid)
ON CONFLICT (in_use_by_id, attribute, position) DO UPDATE SET depends_on_id = excluded.depends_on_id
""",
    rows=JSONB,
)
_DELETE_RELATIONS = _sql(
    """
DELETE FROM subscription_instance_relations d
USING jsonb_to_recordset(:rows) AS r(in_use_by_id uuid, attribute text, position int)
WHERE d.in_use_by_id = r.in_use_by_id AND d.attribute = r.attribute AND d.position = r.position
""",
    rows=JSONB,
)
_DELETE_BLOCKS = _sql("DELETE FROM subscription_instances WHERE subscription_instance_id = ANY(:blocks)", blocks=_UUIDS)


@dataclass(frozen=True, slots=True)
class Saved:
    """The version that was written, and the document that it replaced (None: the subscription is new)."""

    version: int
    document_before: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class BlockChanges:
    """What has to be written to turn one set of blocks into another; a block that is in both and equal is in none."""

    changed: Mapping[UUID, BlockRecord]
    removed: frozenset[UUID]
    held: Mapping[Place, UUID]
    released: frozenset[Place]
    added: frozenset[UUID]
    """Blocks of other subscriptions that come into use."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed or self.held or self.released)

    @classmethod
    def between(cls, before: Blocks, after: Blocks) -> "BlockChanges":
        """Compare the own blocks of a subscription as they were read with what they are now."""
        moved = set(before.roots()) ^ set(after.roots())
        touched = {key for key, record in after.records.items() if before.records.get(key) != record}
        touched |= {key for _, key in moved if key in after.records}
        removed = frozenset(before.records.keys() - after.records.keys())
        held = {p: key for p, key in after.places.items() if p.holder is not None and before.places.get(p) != key}
        released = {place for place in before.places.keys() - after.places.keys() if place.holder is not None}
        added = after.foreign() - before.foreign()
        return cls({key: after.records[key] for key in touched}, removed, held, frozenset(released), added)


@dataclass(frozen=True, slots=True)
class Writing:
    """What a save writes. `version` is the one that was read, or the first; `insync` None leaves it as it is.

    `used`: the blocks of other subscriptions whose owners must not be terminated.
    """

    header: HeaderRecord
    blocks: Blocks
    changes: BlockChanges
    document: dict[str, Any]
    search: str
    version: int
    insync: bool | None
    used: frozenset[UUID]


def insert_subscription(writing: Writing) -> Saved:
    """Write a subscription that has no rows yet; commits nothing.

    Raises StaleSubscription if it has rows, InvalidBlocks when the owner of a used block is terminated, and
    SubscriptionLocked when another process is changing the owner of an added one.
    """
    return _write(_INSERT_SUBSCRIPTION, writing)


def update_subscription(writing: Writing) -> Saved:
    """Write what changed since the version that was read; commits nothing.

    Raises StaleSubscription when somebody saved in between, UnknownSubscription when the row is gone, BlockInUse when a
    block to remove is held by another subscription (then nothing is written), InvalidBlocks when a block of another
    subscription is gone or its owner terminated, SubscriptionLocked when another process is changing the owner of an
    added one.
    """
    _refuse_removal_of_used(writing.header.subscription_id, writing.changes.removed)
    return _write(_UPDATE_SUBSCRIPTION, writing)


def update_insync(subscription_id: UUID, version: int, insync: bool) -> None:
    """Write the flag alone; it is bookkeeping, so neither version nor history know of it. Raises StaleSubscription."""
    parameters = {"subscription_id": subscription_id, "version": version, "insync": insync}
    done = current_session().execute(_UPDATE_INSYNC, parameters)
    if not done.rowcount:  # type: ignore[attr-defined]
        _raise_stale(subscription_id, version)


def _parameters(writing: Writing) -> dict[str, Any]:
    author = current_author()
    return {
        **asdict(writing.header),
        "version": writing.version,
        "insync": writing.insync,
        "document": writing.document,
        "search": writing.search,
        "process_id": author.process_id,
        "step_key": author.step_key,
        "created_by": author.user,
        "used": sorted(writing.used),
        "added": sorted(writing.changes.added),
    }


def _write(statement: sa.TextClause, writing: Writing) -> Saved:
    subscription_id = writing.header.subscription_id
    try:
        saved = current_session().execute(statement, _parameters(writing)).first()
        if saved is None:
            _refuse_unfit_owners(writing)
            _raise_stale(subscription_id, writing.version)
        _write_blocks(writing.blocks, writing.changes)
    except IntegrityError as error:
        raise _explained(error, subscription_id) from error
    return Saved(*saved)


def _write_blocks(blocks: Blocks, changes: BlockChanges) -> None:
    """At most four statements. Blocks come before the relations that name them and go after these.

    The database would let go of what a removed block held, but only in the order in which it finds the rows: it might
    see a removed block still held by another removed one, and refuse.
    """
    session = current_session()
    roots = {key: place for place, key in blocks.roots()}
    if changes.changed:
        rows = [_block_row(record, roots.get(key)) for key, record in sorted(changes.changed.items())]
        session.execute(_UPSERT_BLOCKS, {"rows": rows})
    if changes.held:
        rows = [_relation_row(place) | {"depends_on_id": str(held)} for place, held in sorted(changes.held.items())]
        session.execute(_UPSERT_RELATIONS, {"rows": rows})
    if changes.released:
        session.execute(_DELETE_RELATIONS, {"rows": [_relation_row(place) for place in sorted(changes.released)]})
    if changes.removed:
        session.execute(_DELETE_BLOCKS, {"blocks": sorted(changes.removed)})


def _block_row(record: BlockRecord, root: Place | None) -> dict[str, Any]:
    return {
        "subscription_instance_id": str(record.subscription_instance_id),
        "subscription_id": str(record.subscription_id),
        "product_block": record.product_block,
        "label": record.label,
        "values": record.values,
        "attribute": root.attribute if root else None,
        "position": root.position if root else None,
    }


def _relation_row(place: Place) -> dict[str, Any]:
    return {"in_use_by_id": str(place.holder), "attribute": place.attribute, "position": place.position}


def _refuse_removal_of_used(subscription_id: UUID, removed: frozenset[UUID]) -> None:
    if not removed:
        return
    strangers = [user for user in blocks_using(removed) if user.subscription_id != subscription_id]
    if strangers:
        uses = "; ".join(
            f"block {user.of} is {user.attribute} of {user.product_block} {user.subscription_instance_id} in "
            f"subscription {user.subscription_id}"
            for user in strangers
        )
        raise BlockInUse(f"Subscription {subscription_id} cannot give up what others use: {uses}. Change these first.")


_USED_OWNERS = _sql(
    """
SELECT s.subscription_id, s.description, s.status, s.locked_by, bool_or(i.subscription_instance_id = ANY(:added))
FROM subscription_instances i JOIN subscriptions s USING (subscription_id)
WHERE i.subscription_instance_id = ANY(:used)
GROUP BY s.subscription_id ORDER BY s.subscription_id
""",
    used=_UUIDS,
    added=_UUIDS,
)


def _refuse_unfit_owners(writing: Writing) -> None:
    """Say which owner forbids the save, if one does; its row is locked by now, so it has not changed since."""
    blocks = {"used": sorted(writing.used), "added": sorted(writing.changes.added)}
    mine = writing.header.subscription_id
    for owner, description, status, locked_by, is_added in current_session().execute(_USED_OWNERS, blocks):
        if status == SubscriptionLifecycle.TERMINATED:
            raise InvalidBlocks(
                f"Subscription {mine} uses a block of subscription {owner} ({description}), which is terminated; "
                "use a block of another one."
            )
        if is_added and locked_by not in (None, current_author().process_id):
            raise SubscriptionLocked(
                f"Subscription {mine} would use a block of subscription {owner} ({description}), which process "
                f"{locked_by} is changing; go on when that process has ended."
            )


_CURRENT_VERSION = _sql(
    """
SELECT s.version, v.created_by, v.created_at FROM subscriptions s
LEFT JOIN subscription_versions v USING (subscription_id, version) WHERE s.subscription_id = :subscription_id
""",
    subscription_id=sa.Uuid,
)


def _raise_stale(subscription_id: UUID, version: int) -> NoReturn:
    found = current_session().execute(_CURRENT_VERSION, {"subscription_id": subscription_id}).first()
    if found is None:
        raise UnknownSubscription(f"Subscription {subscription_id} is gone; it cannot be saved.")
    current, author, moment = found
    when = moment.isoformat(timespec="seconds") if isinstance(moment, datetime) else "an unknown time"
    raise StaleSubscription(
        f"Subscription {subscription_id} has version {current}, saved by {author or 'somebody'} at {when}; what you "
        f"save was read as version {version}. Read it again and repeat the change."
    )


def _explained(error: IntegrityError, subscription_id: UUID) -> Exception:
    """What a broken foreign key means: somebody else was faster, or a block of another subscription was never saved."""
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if constraint == "fk_subscriptions_product_id":
        return UnknownProduct(f"The product of subscription {subscription_id} is not in the database.")
    if constraint != "fk_subscription_instance_relations_depends_on_id":
        return error
    if "DELETE" in (error.statement or "").upper():
        return BlockInUse(
            f"A block of subscription {subscription_id} came into use by another subscription just now; it cannot go."
        )
    return InvalidBlocks(
        f"Subscription {subscription_id} holds a block of another subscription that is not in the database; "
        "save its owner first, or read it again."
    )
