"""Whose a row of the catalogue is, and the hash of each code location's catalogue."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("products", "product_blocks", "workflows")


def upgrade() -> None:
    """Make. Rows that are there already are nobody's, until a location that declares them applies its catalogue."""
    for table in TABLES:
        op.add_column(table, sa.Column("owner", sa.String(255)))
    op.execute("ALTER TABLE engine_settings ALTER COLUMN catalogue_hash TYPE jsonb USING NULL")


def downgrade() -> None:
    """Take back."""
    op.execute("ALTER TABLE engine_settings ALTER COLUMN catalogue_hash TYPE varchar(64) USING NULL")
    for table in TABLES:
        op.drop_column(table, "owner")
