"""Compares what an import reads with what is here already, and replaces it where that is asked for."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from resources.core_import.source import Batch, Row
from resources.database.copying import copy_rows
from resources.database.session import current_session
from resources.database.tables import (
    CustomerDescriptionTable,
    SubscriptionMetadataTable,
    SubscriptionVersionTable,
    Table,
)
from resources.database.typed_sql import UUIDS, sql
from resources.domain.bulk import NewRows
from resources.domain.models.block_model import secret_fields
from resources.domain.saving.changes import difference
from resources.domain.saving.search_text import description_vector, metadata_vector
from resources.domain.subscription_model import SubscriptionModel

REASON = "Imported from orchestrator-core"
"""The reason of the versions that an import writes; one that has another was written here."""
LONGEST_SHOWN = 60
MOST_SHOWN = 5

STORED = sql(
    """
SELECT s.subscription_id, s.document, s.insync, s.locked_by, v.reason
FROM subscriptions s JOIN subscription_versions v USING (subscription_id, version)
WHERE s.subscription_id = ANY(:ids)
""",
    ids=UUIDS,
)
SECRETS = sql(
    "SELECT subscription_instance_id, values FROM subscription_instances WHERE subscription_instance_id = ANY(:ids)",
    ids=UUIDS,
)
DESCRIPTION = ("id", "subscription_id", "customer_id", "description", "version", "created_at")


@dataclass
class Extras:
    """The customers' descriptions of a subscription, and its metadata."""

    descriptions: dict[str, str] = field(default_factory=dict)
    metadata: Any = None


@dataclass(frozen=True)
class Stored:
    """A subscription as it is here."""

    document: dict[str, Any]
    insync: bool
    locked_by: UUID | None
    reason: str | None
    extras: Extras

    @property
    def is_changed_here(self) -> bool:
        """Whether somebody has saved it since it was imported."""
        return self.reason != REASON


def read_stored(ids: Collection[UUID]) -> dict[UUID, Stored]:
    """Those of the subscriptions that are here; three statements."""
    rows = current_session().execute(STORED, {"ids": list(ids)}).all()
    here = [row[0] for row in rows]
    tables = (CustomerDescriptionTable, SubscriptionMetadataTable)
    extras = extras_of(*(_of_subscriptions(table, here) for table in tables))
    return {
        key: Stored(document, insync, locked_by, reason, extras.get(key, Extras()))
        for key, document, insync, locked_by, reason in rows
    }


def extras_of(descriptions: Iterable[Row], metadata: Iterable[Row]) -> dict[UUID, Extras]:
    """Descriptions and metadata by subscription."""
    found: dict[UUID, Extras] = {}
    for row in descriptions:
        found.setdefault(row["subscription_id"], Extras()).descriptions[row["customer_id"]] = row["description"]
    for row in metadata:
        found.setdefault(row["subscription_id"], Extras()).metadata = row["metadata"]
    return found


def _of_subscriptions(table: type[Table], ids: list[UUID]) -> list[Row]:
    columns = table.__table__.c
    query = sa.select(*(column for column in columns if column.name != "search")).where(
        columns.subscription_id.in_(ids)
    )
    return [dict(row) for row in current_session().execute(query).mappings()] if ids else []


def differences(stored: Stored, rows: NewRows, extras: Extras) -> Iterator[str]:
    """What is here and differs from the source, a few words each; secrets are not shown."""
    before, after = (
        {**document, "product": document["product"]["name"]} for document in (stored.document, rows.document)
    )
    for one in difference(before, after):
        yield f"{one['path']} is {_short(one['after'])} there and {_short(one['before'])} here"
    if stored.insync != rows.subscription.insync:
        yield f"insync is {rows.subscription.insync} there and {stored.insync} here"
    yield from _changed_secrets(rows)
    if stored.extras.descriptions != extras.descriptions:
        yield "the customers' descriptions differ"
    if stored.extras.metadata != extras.metadata:
        yield "the metadata differ"


def in_words(found: list[str]) -> str:
    """Differences as part of a sentence."""
    more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    return ", ".join(found[:MOST_SHOWN]) + more


def replace(rows: NewRows) -> None:
    """Save a subscription of the source as the next version of the one that is here, whatever that is."""
    key = rows.subscription.subscription_id
    change = rows.subscription.replacing(SubscriptionModel.from_subscription(key)).save()
    if change is not None:
        table = SubscriptionVersionTable
        written = (table.subscription_id == key, table.version == change.version)
        current_session().execute(sa.update(table).where(*written).values(reason=REASON))


def replace_extras(batch: Batch, ids: Collection[UUID]) -> None:
    """Replace customers' descriptions and metadata of subscriptions by those of a batch, for search, too."""
    for table in (CustomerDescriptionTable, SubscriptionMetadataTable):
        current_session().execute(sa.delete(table).where(table.subscription_id.in_(ids)))
    insert_extras(batch, ids)


def insert_extras(batch: Batch, ids: Collection[UUID]) -> None:
    """Insert customers' descriptions and metadata of new subscriptions, for search, too."""
    described = [
        (*(row[name] for name in DESCRIPTION), description_vector(row["description"]))
        for row in batch.descriptions
        if row["subscription_id"] in ids
    ]
    noted = [
        (row["subscription_id"], json.dumps(row["metadata"]), metadata_vector(row["metadata"]))
        for row in batch.metadata
        if row["subscription_id"] in ids
    ]
    copy_rows(CustomerDescriptionTable, (*DESCRIPTION, "search"), described)
    copy_rows(SubscriptionMetadataTable, ("subscription_id", "metadata", "search"), noted)


def _changed_secrets(rows: NewRows) -> Iterator[str]:
    names: Mapping[UUID, frozenset[str]] = {
        key: secret_fields(record.product_block) for key, record in rows.blocks.records.items()
    }
    if keys := [key for key, found in names.items() if found]:
        for key, values in current_session().execute(SECRETS, {"ids": keys}):
            record = rows.blocks.records[key]
            changed = (name for name in names[key] if values.get(name) != record.values.get(name))
            yield from (f"the secret {name} of block {record.product_block} {key} differs" for name in sorted(changed))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
