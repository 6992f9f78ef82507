"""Writes subscriptions into rows: a constant number of statements saves what changed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError

from resources.database.session import current_session
from resources.database.storable import refuse_unstorable
from resources.database.tables import Timestamp
from resources.database.typed_sql import UUIDS, sql
from resources.domain.saving.authorship import current_author
from resources.domain.saving.reading import blocks_using
from resources.domain.saving.records import BlockRecord, Blocks, HeaderRecord, Place
from resources.errors import (
    BlockInUse,
    InvalidBlocks,
    StaleSubscription,
    SubscriptionLocked,
    UnknownProduct,
    UnknownSubscription,
)
from resources.types import SubscriptionLifecycle

_LOCK = sql("SELECT FROM subscriptions WHERE subscription_id = :subscription_id FOR UPDATE", subscription_id=sa.Uuid)


def lock_subscription(subscription_id: UUID) -> None:
    """Keep others from using more of its blocks until the transaction ends; waits for those that just do."""
    current_session().execute(_LOCK, {"subscription_id": subscription_id})


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
    "used": UUIDS,
    "added": UUIDS,
}
_NOTED = """, noted AS (
    INSERT INTO subscription_versions (subscription_id, version, document, process_id, step_key, created_by)
    SELECT :subscription_id, saved.version, :document, :process_id, :step_key, :created_by FROM saved
)
"""
# A transaction that ends or locks an owner waits for us, or we for it: then the row is read again as it left it.
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
_INSERT_SUBSCRIPTION = sql(
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
# The row is locked before it is compared, so a writer that had to wait sees the other's version.
_UPDATE_SUBSCRIPTION = sql(
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
_UPDATE_INSYNC = sql(
    "UPDATE subscriptions SET insync = :insync WHERE subscription_id = :subscription_id AND version = :version",
    subscription_id=sa.Uuid,
    version=sa.Integer,
    insync=sa.Boolean,
)
_REWRITE = sql(
    """
WITH made AS (
    SELECT m.*, m.is_changed OR m.product_id <> s.product_id AS is_new FROM subscriptions s
    JOIN jsonb_to_recordset(:rows) AS m(subscription_id uuid, product_id uuid, document jsonb, search text,
                                        is_changed boolean) USING (subscription_id)
), saved AS (
    UPDATE subscriptions s
    SET product_id = made.product_id, version = s.version + made.is_new::int, document = made.document,
        search = CAST(made.search AS tsvector)
    FROM made WHERE s.subscription_id = made.subscription_id
    RETURNING s.subscription_id, s.version, s.document, made.is_new
)
INSERT INTO subscription_versions (subscription_id, version, document, process_id, step_key, created_by)
SELECT subscription_id, version, document, :process_id, :step_key, :created_by FROM saved WHERE is_new
""",
    rows=JSONB,
    process_id=sa.Uuid,
    step_key=sa.String,
    created_by=sa.String,
)
_UPSERT_BLOCKS = sql(
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
_UPSERT_RELATIONS = sql(
    """
INSERT INTO subscription_instance_relations (in_use_by_id, attribute, position, depends_on_id)
SELECT r.in_use_by_id, r.attribute, r.position, r.depends_on_id
FROM jsonb_to_recordset(:rows) AS r(in_use_by_id uuid, attribute text, position int, depends_on_id uuid)
ON CONFLICT (in_use_by_id, attribute, position) DO UPDATE SET depends_on_id = excluded.depends_on_id
""",
    rows=JSONB,
)
_DELETE_RELATIONS = sql(
    """
DELETE FROM subscription_instance_relations d
USING jsonb_to_recordset(:rows) AS r(in_use_by_id uuid, attribute text, position int)
WHERE d.in_use_by_id = r.in_use_by_id AND d.attribute = r.attribute AND d.position = r.position
""",
    rows=JSONB,
)
_DELETE_BLOCKS = sql("DELETE FROM subscription_instances WHERE subscription_instance_id = ANY(:blocks)", blocks=UUIDS)


@dataclass(frozen=True, slots=True)
class Saved:
    """The version that was written, and the document that it replaced (None for a new subscription)."""

    version: int
    document_before: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class BlockChanges:
    """The changes from one set of blocks to another; a block that is equal in both is in none."""

    changed: Mapping[UUID, BlockRecord]
    removed: frozenset[UUID]
    held: Mapping[Place, UUID]
    released: frozenset[Place]
    added: frozenset[UUID]
    """Blocks of other subscriptions that are used from now on."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed or self.held or self.released)

    @classmethod
    def between(cls, before: Blocks, after: Blocks) -> "BlockChanges":
        """Compare the own blocks of a subscription, as read and as they are now."""
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
    """What a save writes. `version` is the one that was read, or the first; None for `insync` leaves it.

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
    """Write what changed since the version that was read; commits nothing. `save` lists what it raises."""
    _refuse_removal_of_used(writing.header.subscription_id, writing.changes.removed)
    return _write(_UPDATE_SUBSCRIPTION, writing)


def rewrite_subscriptions(writings: Sequence[Writing]) -> None:
    """Write many subscriptions whose rows are locked; commits nothing.

    One whose blocks or product have changed gets a new version, and of the others the document and the words.
    """
    changes = [writing.changes for writing in writings]
    roots = {key: place for writing in writings for place, key in writing.blocks.roots()}
    session = current_session()
    if blocks := [_block_row(one, roots.get(key)) for each in changes for key, one in each.changed.items()]:
        session.execute(_UPSERT_BLOCKS, {"rows": blocks})
    if held := [_held_row(place, key) for each in changes for place, key in each.held.items()]:
        session.execute(_UPSERT_RELATIONS, {"rows": held})
    author = current_author()
    rows = [
        {
            "subscription_id": str(one.header.subscription_id),
            "product_id": str(one.header.product_id),
            "document": one.document,
            "search": one.search,
            "is_changed": bool(one.changes),
        }
        for one in writings
    ]
    told = {"process_id": author.process_id, "step_key": author.step_key, "created_by": author.user}
    session.execute(_REWRITE, {"rows": rows, **told})


def update_insync(subscription_id: UUID, version: int, insync: bool) -> None:
    """Write only the flag, which has no version and no history. Raises StaleSubscription."""
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
    blocks = {f"{one.product_block} {key}": one.values for key, one in writing.changes.changed.items()}
    refuse_unstorable(f"Subscription {subscription_id}", {**asdict(writing.header), **blocks})
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
    """Write blocks before the relations that name them, and delete them after these.

    The database would delete the relations of a removed block itself, but in the order in which it finds the rows: a
    removed block might still be held by another removed one, and it would refuse.
    """
    session = current_session()
    roots = {key: place for place, key in blocks.roots()}
    if changes.changed:
        rows = [_block_row(record, roots.get(key)) for key, record in sorted(changes.changed.items())]
        session.execute(_UPSERT_BLOCKS, {"rows": rows})
    if changes.held:
        rows = [_held_row(place, held) for place, held in sorted(changes.held.items())]
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


def _held_row(place: Place, held: UUID) -> dict[str, Any]:
    return _relation_row(place) | {"depends_on_id": str(held)}


def _refuse_removal_of_used(subscription_id: UUID, removed: frozenset[UUID]) -> None:
    if not removed:
        return
    other_users = [user for user in blocks_using(removed) if user.subscription_id != subscription_id]
    if other_users:
        uses = "; ".join(
            f"block {user.of} is {user.attribute} of {user.product_block.name} {user.subscription_instance_id} in "
            f"subscription {user.subscription_id}"
            for user in other_users
        )
        raise BlockInUse(f"Subscription {subscription_id} cannot remove what others use: {uses}. Change these first.")


_USED_OWNERS = sql(
    """
SELECT s.subscription_id, s.description, s.status, s.locked_by, bool_or(i.subscription_instance_id = ANY(:added))
FROM subscription_instances i JOIN subscriptions s USING (subscription_id)
WHERE i.subscription_instance_id = ANY(:used)
GROUP BY s.subscription_id ORDER BY s.subscription_id
""",
    used=UUIDS,
    added=UUIDS,
)


def _refuse_unfit_owners(writing: Writing) -> None:
    """Raise if an owner forbids the save; its row is locked, so it has not changed since."""
    blocks = {"used": sorted(writing.used), "added": sorted(writing.changes.added)}
    mine = writing.header.subscription_id
    for owner, description, status, locked_by, is_added in current_session().execute(_USED_OWNERS, blocks):
        if status == SubscriptionLifecycle.TERMINATED:
            raise InvalidBlocks(
                f"Subscription {mine} uses a block of subscription {owner} ({description}), which is terminated; "
                "use a block of another subscription."
            )
        if is_added and locked_by not in (None, current_author().process_id):
            raise SubscriptionLocked(
                f"Subscription {mine} would use a block of subscription {owner} ({description}), which process "
                f"{locked_by} is changing; try again when that process has ended."
            )


_CURRENT_VERSION = sql(
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
    """The cause of a violated foreign key: another was faster, or a block of another subscription was never saved."""
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if constraint == "fk_subscriptions_product_id":
        return UnknownProduct(f"The product of subscription {subscription_id} is not in the database.")
    if constraint != "fk_subscription_instance_relations_depends_on_id":
        return error
    if "DELETE" in (error.statement or "").upper():
        return BlockInUse(
            f"A block of subscription {subscription_id} cannot be removed: another subscription just began to use it."
        )
    return InvalidBlocks(
        f"Subscription {subscription_id} holds a block of another subscription that is not in the database; "
        "save its owner first, or read it again."
    )
