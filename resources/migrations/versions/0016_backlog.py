"""The types of values, and the subscriptions that a change of the catalogue has yet to reach."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

LINKS, BACKLOG = "product_block_resource_types", "catalogue_backlog"


def upgrade() -> None:
    """Make."""
    op.add_column(LINKS, sa.Column("type", sa.String(2000)))
    op.create_table(
        BACKLOG,
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("fault", sa.String(2000)),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_catalogue_backlog")),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_catalogue_backlog_subscription_id"),
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table(BACKLOG)
    op.drop_column(LINKS, "type")
