"""Which version of the code has done a step."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make."""
    op.add_column("process_steps", sa.Column("commit_hash", sa.String(64)))


def downgrade() -> None:
    """Take back."""
    op.drop_column("process_steps", "commit_hash")
