"""Writes many new subscriptions at once, where saving them one by one would take hours."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from resources.database.copying import copy_rows
from resources.database.storable import refuse_unstorable
from resources.database.tables import (
    SubscriptionInstanceRelationTable,
    SubscriptionInstanceTable,
    SubscriptionTable,
    SubscriptionVersionTable,
)
from resources.domain.saving.authorship import current_author
from resources.domain.saving.documents import make_document
from resources.domain.saving.records import Blocks, HeaderRecord
from resources.domain.saving.rows_from_models import flatten
from resources.domain.saving.search_text import search_vector
from resources.domain.subscription_model import SubscriptionModel

Row = Sequence[Any]

HEADER = (
    "subscription_id",
    "product_id",
    "customer_id",
    "description",
    "status",
    "start_date",
    "end_date",
    "note",
)


@dataclass(frozen=True, slots=True)
class NewRows:
    """A new subscription as rows, checked: what can be wrong with it alone is not."""

    subscription: SubscriptionModel
    header: HeaderRecord
    blocks: Blocks
    document: dict[str, Any]

    @classmethod
    def of(cls, one: SubscriptionModel) -> "NewRows":
        """Raises pydantic's ValidationError, InvalidBlocks and NotStorable. Sends nothing."""
        header, blocks = one.header_record(), flatten(one, one.subscription_id).blocks
        document = make_document(one, header, one.product.model_dump(mode="json"))
        refuse_unstorable(f"Subscription {one.subscription_id}", document)
        return cls(one, header, blocks, document)


def insert_subscriptions(subscriptions: Iterable[SubscriptionModel], created_at: datetime | None = None) -> None:
    """Insert new subscriptions in the current transaction, each as its first version: four statements for all.

    A block of another subscription must be in the database, or in one of the subscriptions. Locks nothing and asks
    nothing about owners, so use it where nobody else works on them. `created_at` is now unless given, or the start
    date of each that has one. Raises pydantic's ValidationError, InvalidBlocks, and IntegrityError of SQLAlchemy for a
    subscription that is there already.
    """
    insert_rows([NewRows.of(one) for one in subscriptions], created_at)


def insert_rows(made: Iterable[NewRows], created_at: datetime | None = None, reason: str | None = None) -> None:
    """`insert_subscriptions` for rows that are made already. `reason` is that of the first version."""
    now, author = created_at or datetime.now(UTC), current_author()
    headers: list[Row] = []
    versions: list[Row] = []
    blocks: list[Row] = []
    relations: list[Row] = []
    for rows in made:
        one, document = rows.subscription, rows.document
        created = created_at or one.start_date or now
        head = asdict(rows.header)
        headers.append((*(head[key] for key in HEADER), one.insync, document, search_vector(document), created))
        who = (author.process_id, author.step_key, author.user)
        versions.append((one.subscription_id, 1, document, *who, reason, created))
        blocks += _block_rows(rows.blocks)
        relations += [(*place[:3], held) for place, held in rows.blocks.places.items() if place.holder is not None]
    copy_rows(SubscriptionTable, (*HEADER, "insync", "document", "search", "created_at"), headers)
    copy_rows(SubscriptionInstanceTable, BLOCK, blocks)
    copy_rows(SubscriptionInstanceRelationTable, RELATION, relations)
    copy_rows(SubscriptionVersionTable, VERSION, versions)


BLOCK = ("subscription_instance_id", "subscription_id", "product_block", "label", "values", "attribute", "position")
RELATION = ("in_use_by_id", "attribute", "position", "depends_on_id")
VERSION = ("subscription_id", "version", "document", "process_id", "step_key", "created_by", "reason", "created_at")


def _block_rows(blocks: Blocks) -> Iterable[Row]:
    roots: dict[UUID, tuple[str, int]] = {key: (place.attribute, place.position) for place, key in blocks.roots()}
    for key, record in blocks.records.items():
        place = roots.get(key, (None, None))
        yield key, record.subscription_id, record.product_block, record.label, record.values, *place
