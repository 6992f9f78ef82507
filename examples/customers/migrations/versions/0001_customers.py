"""The table of customers."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "acme_customers",
        sa.Column("customer_id", sa.String(255), primary_key=True),
        sa.Column("fullname", sa.String(255), nullable=False),
        sa.Column("shortcode", sa.String(50), nullable=False, unique=True),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("acme_customers")
