"""Lists of subscriptions that read no whole rows to sort, filter and count, for these are wide."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = "subscriptions"
NEWEST = sa.text("start_date DESC NULLS LAST")


def upgrade() -> None:
    """Make."""
    op.drop_index("ix_subscriptions_start_date", TABLE)
    op.create_index(
        "ix_subscriptions_start_date",
        TABLE,
        [NEWEST, "subscription_id"],
        postgresql_include=["status", "product_id", "insync"],
    )
    op.drop_index("ix_subscriptions_product_id", TABLE)
    op.create_index("ix_subscriptions_product_id_status", TABLE, ["product_id", "status"])
    op.create_index(
        "ix_subscriptions_header",
        TABLE,
        ["subscription_id"],
        postgresql_include=[
            "product_id",
            "status",
            "insync",
            "customer_id",
            "start_date",
            "end_date",
            "created_at",
        ],
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_subscriptions_header", TABLE)
    op.drop_index("ix_subscriptions_product_id_status", TABLE)
    op.create_index("ix_subscriptions_product_id", TABLE, ["product_id"])
    op.drop_index("ix_subscriptions_start_date", TABLE)
    op.create_index("ix_subscriptions_start_date", TABLE, [NEWEST, "subscription_id"])
