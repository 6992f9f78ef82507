"""Words with their fields, also of customers' descriptions and metadata; and the newest subscriptions first."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from resources.domain.saving.documents import Document
from resources.domain.saving.search_text import description_vector, metadata_vector, search_vector

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


def upgrade() -> None:
    """Make. What is found is made anew by the present code, which is also what looks for it."""
    op.create_index(
        "ix_subscriptions_start_date", SUBSCRIPTIONS, [sa.text("start_date DESC NULLS LAST"), "subscription_id"]
    )
    op.create_index("ix_subscriptions_customer", SUBSCRIPTIONS, [sa.text("lower(customer_id)")])
    for table in (METADATA, DESCRIPTIONS):
        op.add_column(table, sa.Column("search", postgresql.TSVECTOR))
        op.create_index(f"ix_{table}_search", table, ["search"], postgresql_using="gin")
    _fill(SUBSCRIPTIONS, "subscription_id", "document", _of_subscription)
    _fill(METADATA, "subscription_id", "metadata", metadata_vector)
    _fill(DESCRIPTIONS, "id", "description", description_vector)


def _of_subscription(document: Document) -> str | None:
    return search_vector(document) if "description" in document else None


def _fill(table: str, key: str, source: str, make: Callable[[Any], str | None]) -> None:
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
        connection.execute(update, [{"key": row[0], "search": make(row[1])} for row in rows])
        last = rows[-1][0]


def downgrade() -> None:
    """Take back; what is found stays as it is until it is saved again."""
    for table in (DESCRIPTIONS, METADATA):
        op.drop_index(f"ix_{table}_search", table_name=table, postgresql_using="gin")
        op.drop_column(table, "search")
    op.drop_index("ix_subscriptions_customer", table_name=SUBSCRIPTIONS)
    op.drop_index("ix_subscriptions_start_date", table_name=SUBSCRIPTIONS)
