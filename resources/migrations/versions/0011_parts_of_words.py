"""Parts of words, three characters long, by which `*part*` is found."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = ("subscriptions", "subscription_metadata", "subscription_customer_descriptions")
FILL = r"""
UPDATE {table} SET search = search || array_to_tsvector(ARRAY(
    SELECT DISTINCT '~' || substr(word, at, 3) COLLATE "C" AS part
    FROM (
        SELECT regexp_replace(entry, '^.*:', '') AS word FROM unnest(tsvector_to_array(search)) AS entry
        WHERE entry LIKE '%:%' AND entry !~ '^subscription(_instance)?_id:'
    ) AS words, generate_series(1, length(word) - 2) AS at
    ORDER BY part LIMIT 30000
)) WHERE search IS NOT NULL
"""
TAKE_BACK = """
UPDATE {table} SET search = ts_delete(search, ARRAY(
    SELECT entry FROM unnest(tsvector_to_array(search)) AS entry WHERE entry LIKE '~%'
)) WHERE search IS NOT NULL
"""


def upgrade() -> None:
    """Make, from the words that are there."""
    for table in TABLES:
        _rewrite(table, FILL.format(table=table))


def downgrade() -> None:
    """Take back."""
    for table in TABLES:
        _rewrite(table, TAKE_BACK.format(table=table))


def _rewrite(table: str, statement: str) -> None:
    """Rewrite the words of all rows; the index is made anew, for to change all of it takes ten times as long."""
    index = f"ix_{table}_search"
    op.drop_index(index, table)
    op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")  # nothing changes that a page shows
    op.execute(sa.text(statement.replace(":", "\\:")))
    op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    op.create_index(index, table, ["search"], postgresql_using="gin")
