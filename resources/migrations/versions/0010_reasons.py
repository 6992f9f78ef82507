"""Why a subscription was changed outside a process, in the words of who did it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make."""
    op.add_column("subscription_versions", sa.Column("reason", sa.String()))


def downgrade() -> None:
    """Take back."""
    op.drop_column("subscription_versions", "reason")
