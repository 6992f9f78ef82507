"""Searches that people keep under a name."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make."""
    op.create_table(
        "saved_queries",
        sa.Column("query_id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("parameters", postgresql.JSONB, nullable=False),
        sa.Column("is_shared", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("query_id", name="pk_saved_queries"),
        sa.UniqueConstraint("created_by", "name", name="uq_saved_queries_created_by_name"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("saved_queries")
