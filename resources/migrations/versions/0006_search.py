"""Words with their fields, also of customers' descriptions and metadata; and the newest subscriptions first."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SUBSCRIPTIONS, METADATA, DESCRIPTIONS = (
    "subscriptions",
    "subscription_metadata",
    "subscription_customer_descriptions",
)
AT_ONCE = 500

ID, OWNER = "subscription_instance_id", "owner_subscription_id"
SEPARATORS = re.compile(r"[\x00-/:-@\[-`{-\x7f\s\ud800-\udfff]+")


def upgrade() -> None:
    """Make, and fill with words as the code of this revision made them."""
    op.create_index(
        "ix_subscriptions_start_date", SUBSCRIPTIONS, [sa.text("start_date DESC NULLS LAST"), "subscription_id"]
    )
    op.create_index("ix_subscriptions_customer", SUBSCRIPTIONS, [sa.text("lower(customer_id)")])
    for table in (METADATA, DESCRIPTIONS):
        op.add_column(table, sa.Column("search", postgresql.TSVECTOR))
        op.create_index(f"ix_{table}_search", table, ["search"], postgresql_using="gin")
    _fill(SUBSCRIPTIONS, "subscription_id", "document", _of_subscription)
    _fill(METADATA, "subscription_id", "metadata", lambda metadata: _of_json("metadata", metadata))
    _fill(DESCRIPTIONS, "id", "description", lambda description: [("customer_description", description)])


def _of_subscription(document: dict[str, Any]) -> Iterator[tuple[str, str]] | None:
    if "description" not in document:
        return None
    header = ("subscription_id", "description", "note", "customer_id")
    return _of_holder(document, header, ("status", "product", "start_date", "end_date"))


def _of_holder(holder: dict[str, Any], first: tuple[str, ...], left_out: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(field, text) of a subscription or a block; blocks of other subscriptions have no name and are left out."""
    for key in first:
        yield from _texts(key, holder[key])
    for key, value in holder.items():
        held = value if isinstance(value, list) else [value]
        if key in first or key in left_out:
            continue
        if all(isinstance(one, dict) and ID in one and OWNER in one for one in held):
            for block in held:
                if "name" in block:
                    yield from _of_holder(block, (ID, "label"), ("name", OWNER))
        else:
            yield from _texts(key, value)


def _of_json(field: str, value: Any) -> Iterator[tuple[str, str]]:
    """(field, text) of metadata: a value has the field that holds all, and its own key where that is a name."""
    if isinstance(value, dict):
        for key, held in value.items():
            yield from _of_json(field, held)
            if key.isidentifier() and not isinstance(held, dict):
                yield from _texts(key, held)
    elif isinstance(value, list):
        for held in value:
            yield from _of_json(field, held)
    else:
        yield from _texts(field, value)


def _texts(field: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for item in value:
            yield from _texts(field, item)
    elif value is not None and value != "**********":  # a secret
        yield field, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _vector(texts: Iterable[tuple[str, str]]) -> str:
    """The text of a tsvector: each word alone and as `field:word`, within the limits of PostgreSQL."""
    found: list[str] = []
    size, place = 0, 0
    for field, text in texts:
        place += 1
        for word in filter(None, SEPARATORS.split(text.lower())):
            place += 1
            at, kept = min(place, 16_000), word[:250]
            entry = f"'{kept}':{at} '{field[:200].lower()}:{kept}':{at}"
            size += len(entry.encode())
            if size > 600_000:
                return " ".join(found)
            found.append(entry)
    return " ".join(found)


def _fill(table: str, key: str, source: str, texts: Callable[[Any], Iterable[tuple[str, str]] | None]) -> None:
    """A batch at a time, in the order of the key: however many rows there are, memory holds few."""
    connection = op.get_bind()
    last = None
    while True:
        after = "" if last is None else f"WHERE {key} > :last"
        query = sa.text(f"SELECT {key}, {source} FROM {table} {after} ORDER BY {key} LIMIT {AT_ONCE}")
        rows = connection.execute(query, {} if last is None else {"last": last}).all()
        if not rows:
            return
        update = sa.text(f"UPDATE {table} SET search = CAST(:search AS tsvector) WHERE {key} = :key")
        found = [(row[0], texts(row[1])) for row in rows]
        connection.execute(
            update, [{"key": key, "search": None if one is None else _vector(one)} for key, one in found]
        )
        last = rows[-1][0]


def downgrade() -> None:
    """Take back; what is found stays as it is until it is saved again."""
    for table in (DESCRIPTIONS, METADATA):
        op.drop_index(f"ix_{table}_search", table_name=table, postgresql_using="gin")
        op.drop_column(table, "search")
    op.drop_index("ix_subscriptions_customer", table_name=SUBSCRIPTIONS)
    op.drop_index("ix_subscriptions_start_date", table_name=SUBSCRIPTIONS)
