"""Processes that wait and go on by themselves; who paused the engine; what an idempotency key was used for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COUNTERS = ("recoveries", "generation")
OPEN = sa.text("answered_at IS NULL")
OPEN_BUT_TOKENS = sa.text("answered_at IS NULL AND kind <> 'callback'")

CHILDREN_AT_WORK = sa.text(
    "last_status NOT IN ('completed', 'aborted', 'failed', 'api_unavailable', 'inconsistent_data')"
)


def upgrade() -> None:
    """Make."""
    for name in COUNTERS:
        op.add_column("processes", sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("processes", sa.Column("asked", sa.String(64)))
    op.add_column("engine_settings", sa.Column("global_lock_by", sa.String(255)))
    op.add_column("engine_settings", sa.Column("global_lock_at", sa.DateTime(timezone=True)))
    op.drop_index("uq_process_waits_open", table_name="process_waits", postgresql_where=OPEN)
    op.create_index(
        "uq_process_waits_open", "process_waits", ["process_id"], unique=True, postgresql_where=OPEN_BUT_TOKENS
    )
    op.create_index(
        "ix_processes_children_at_work", "processes", ["parent_process_id"], postgresql_where=CHILDREN_AT_WORK
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_processes_children_at_work", table_name="processes", postgresql_where=CHILDREN_AT_WORK)
    op.drop_index("uq_process_waits_open", table_name="process_waits", postgresql_where=OPEN_BUT_TOKENS)
    op.create_index("uq_process_waits_open", "process_waits", ["process_id"], unique=True, postgresql_where=OPEN)
    op.drop_column("engine_settings", "global_lock_at")
    op.drop_column("engine_settings", "global_lock_by")
    op.drop_column("processes", "asked")
    for name in COUNTERS:
        op.drop_column("processes", name)
