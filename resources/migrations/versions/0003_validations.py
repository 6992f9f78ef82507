"""Whose turn it is to be validated, which tasks are old, and what a subscription is called."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COMPLETED_TASKS = sa.text("is_task AND last_status = 'completed'")


def upgrade() -> None:
    """Make."""
    op.add_column("subscriptions", sa.Column("validation_started_at", postgresql.TIMESTAMP(timezone=True)))
    op.create_index(
        "ix_subscriptions_validation",
        "subscriptions",
        [sa.text("validation_started_at NULLS FIRST"), "subscription_id"],
    )
    op.create_index("ix_subscriptions_description", "subscriptions", ["description"], postgresql_using="hash")
    op.create_index("ix_processes_old_tasks", "processes", ["last_modified_at"], postgresql_where=COMPLETED_TASKS)


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_processes_old_tasks", table_name="processes", postgresql_where=COMPLETED_TASKS)
    op.drop_index("ix_subscriptions_description", table_name="subscriptions", postgresql_using="hash")
    op.drop_index("ix_subscriptions_validation", table_name="subscriptions")
    op.drop_column("subscriptions", "validation_started_at")
