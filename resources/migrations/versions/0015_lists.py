"""Indexes of lists: by description, phrases as words that follow one another, and the words of processes."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = ("subscriptions", "subscription_metadata", "subscription_customer_descriptions")
# Each word with the two behind it in the same value, without ids, as long as PostgreSQL takes the whole: a megabyte.
FILL = r"""
UPDATE {table} SET search = search || array_to_tsvector(ARRAY(
    WITH entries AS (SELECT lexeme, positions FROM unnest(search)),
    ids AS (SELECT unnest(positions) AS place FROM entries WHERE lexeme ~ '^subscription(_instance)?_id:'),
    words AS (
        SELECT left(lexeme, 150) AS word, place FROM entries, unnest(positions) AS place
        WHERE strpos(lexeme, ':') = 0 AND place < 16000 AND place NOT IN (SELECT place FROM ids)
    ),
    runs AS (
        SELECT one.place, ' ' || one.word || ' ' || two.word || coalesce(' ' || three.word, '') AS run
        FROM words AS one JOIN words AS two ON two.place = one.place + 1
        LEFT JOIN words AS three ON three.place = one.place + 2
    ),
    sized AS (SELECT run, sum(octet_length(run)) OVER (ORDER BY place) AS size FROM runs)
    SELECT DISTINCT run COLLATE "C" FROM sized WHERE size <= least(250000, 1000000 - (
        SELECT coalesce(sum(octet_length(lexeme) + 4 + 2 * coalesce(cardinality(positions), 0)), 0) FROM entries
    ))
)) WHERE search IS NOT NULL
"""
TAKE_BACK = """
UPDATE {table} SET search = ts_delete(search, ARRAY(
    SELECT entry FROM unnest(tsvector_to_array(search)) AS entry WHERE strpos(entry, ' ') > 0
)) WHERE search IS NOT NULL
"""

PROCESS_WORDS = r"""
CREATE OR REPLACE FUNCTION process_words(last_step text, failed_reason text, created_by text, note text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1000
RETURN array_to_tsvector(ARRAY(
    SELECT DISTINCT left(word, 250) FROM regexp_split_to_table(
        lower(coalesce(last_step, '') || ' ' || coalesce(failed_reason, '') || ' '
              || coalesce(created_by, '') || ' ' || coalesce(note, '')),
        '[\t\n\r -/:-@\[-`{-~]+') AS word
    WHERE word <> ''
))
"""


def upgrade() -> None:
    """Make."""
    for table in TABLES:
        _rewrite(table, FILL.format(table=table))
    op.execute(PROCESS_WORDS)
    words = sa.text("process_words(last_step, failed_reason, created_by, note)")
    op.create_index("ix_processes_words", "processes", [words], postgresql_using="gin")
    op.execute("ANALYZE processes")  # how frequent its words are
    # Not of the whole description, which may be longer than an index takes.
    op.create_index("ix_subscriptions_description_order", "subscriptions", [sa.text("left(description, 200)")])


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_processes_words", "processes")
    op.execute("DROP FUNCTION process_words(text, text, text, text)")
    op.drop_index("ix_subscriptions_description_order", "subscriptions")
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
