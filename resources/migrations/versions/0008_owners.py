"""Whose a process is: its code location, and the storage of Dagster that its runs are in."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make. Processes that are there already are nobody's, which any location may continue."""
    op.add_column("processes", sa.Column("location", sa.String(255)))
    op.add_column("processes", sa.Column("storage", sa.String(64)))


def downgrade() -> None:
    """Take back."""
    op.drop_column("processes", "storage")
    op.drop_column("processes", "location")
