"""Lists of processes that stay as fast when there are many: by status, by time, by who started them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make."""
    op.create_index(
        "ix_processes_kind_and_status", "processes", ["is_task", "last_status", sa.text("last_modified_at DESC")]
    )
    op.create_index("ix_processes_last_modified_at", "processes", [sa.text("last_modified_at DESC")])
    op.create_index("ix_processes_created_by", "processes", [sa.text("lower(created_by)"), sa.text("started_at DESC")])


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_processes_created_by", table_name="processes")
    op.drop_index("ix_processes_last_modified_at", table_name="processes")
    op.drop_index("ix_processes_kind_and_status", table_name="processes")
