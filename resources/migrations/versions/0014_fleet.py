"""The newest result of each subscription's validation and when the next is due, their history, and fired schedules."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

MOMENT = postgresql.TIMESTAMP(timezone=True)
RESULT = (
    sa.Column("workflow", sa.String(255)),
    sa.Column("result", sa.String(20)),
    sa.Column("severity", sa.String(20)),
    sa.Column("differences", postgresql.JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("process_id", sa.Uuid),
    sa.Column("run_id", sa.String(255)),
    sa.Column("finished_at", MOMENT),
    sa.Column("seconds", sa.Float),
)

# Each subscription has a row from its start. A new status or product makes it due: it may be validated now or no more.
PLAN = """
CREATE OR REPLACE FUNCTION plan_validation() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO validations (subscription_id, product_id, due_at)
    VALUES (NEW.subscription_id, NEW.product_id, CASE WHEN NEW.status <> 'terminated' THEN clock_timestamp() END)
    ON CONFLICT (subscription_id) DO UPDATE SET product_id = excluded.product_id, due_at = excluded.due_at;
    RETURN NULL;
END $$
"""
PLAN_NEW = """
CREATE TRIGGER plan_validation AFTER INSERT ON subscriptions FOR EACH ROW EXECUTE FUNCTION plan_validation()
"""
PLAN_CHANGED = """
CREATE TRIGGER plan_validation_again AFTER UPDATE OF status, product_id ON subscriptions FOR EACH ROW
WHEN (OLD.status <> NEW.status OR OLD.product_id <> NEW.product_id) EXECUTE FUNCTION plan_validation()
"""

# The mark is a validation's only until the subscription is in sync again, or a process takes it and answers for it.
FORGET = """
CREATE OR REPLACE FUNCTION forget_out_of_sync_by() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.out_of_sync_by := NULL;
    RETURN NEW;
END $$
"""
FORGET_MARK = """
CREATE TRIGGER forget_out_of_sync_by BEFORE UPDATE OF insync, locked_by ON subscriptions FOR EACH ROW
WHEN (OLD.out_of_sync_by IS NOT NULL AND (NEW.insync OR NEW.locked_by IS NOT NULL))
EXECUTE FUNCTION forget_out_of_sync_by()
"""

# A process that has put a drifted subscription in sync again has answered the result: look whether it helped, at once.
ANSWER = """
CREATE OR REPLACE FUNCTION validate_answered() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE validations SET due_at = clock_timestamp()
    WHERE subscription_id = NEW.subscription_id AND result = 'drifted';
    RETURN NULL;
END $$
"""
ANSWERED = """
CREATE TRIGGER validate_answered AFTER UPDATE OF locked_by ON subscriptions FOR EACH ROW
WHEN (OLD.locked_by IS NOT NULL AND NEW.locked_by IS NULL AND NEW.insync AND NEW.status <> 'terminated')
EXECUTE FUNCTION validate_answered()
"""


def upgrade() -> None:
    """Make."""
    op.add_column("subscriptions", sa.Column("out_of_sync_by", sa.String(20)))
    _validations()
    for statement in (PLAN, PLAN_NEW, PLAN_CHANGED, FORGET, FORGET_MARK, ANSWER, ANSWERED):
        op.execute(statement)
    op.execute(
        "INSERT INTO validations (subscription_id, product_id, due_at) SELECT subscription_id, product_id,"
        " CASE WHEN status <> 'terminated' THEN coalesce(validation_started_at, now()) END FROM subscriptions"
    )
    _firings()


def _validations() -> None:
    subscription = (["subscription_id"], ["subscriptions.subscription_id"])
    op.create_table(
        "validations",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("claimed_by", sa.String(255)),
        *(column._copy() for column in RESULT),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_validations"),
        sa.ForeignKeyConstraint(*subscription, name="fk_validations_subscription_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["product_id"], ["products.product_id"], name="fk_validations_product_id"),
    )
    due, claimed = sa.text("due_at IS NOT NULL"), sa.text("claimed_by IS NOT NULL")
    op.create_index("ix_validations_due", "validations", ["product_id", "due_at"], postgresql_where=due)
    op.create_index("ix_validations_claimed", "validations", ["claimed_by"], postgresql_where=claimed)
    op.create_index("ix_validations_finished_at", "validations", ["finished_at", "subscription_id"])
    last = sa.text("finished_at DESC NULLS LAST")
    op.create_index("ix_validations_newest", "validations", [last, "subscription_id"])
    op.create_index("ix_validations_result", "validations", ["result", "product_id"])
    op.create_table(
        "validation_history",
        sa.Column("history_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        *(column._copy() for column in RESULT),
        sa.Column("created_by", sa.String(255)),
        sa.PrimaryKeyConstraint("history_id", name="pk_validation_history"),
        sa.ForeignKeyConstraint(*subscription, name="fk_validation_history_subscription_id", ondelete="CASCADE"),
    )
    newest = sa.text("finished_at DESC")
    op.create_index("ix_validation_history_subscription", "validation_history", ["subscription_id", newest])
    op.create_index("ix_validation_history_finished_at", "validation_history", ["finished_at"])


def _firings() -> None:
    op.add_column("schedules", sa.Column("missed", sa.String(10), server_default="last", nullable=False))
    op.add_column("schedules", sa.Column("grace_seconds", sa.Integer))
    op.add_column("schedules", sa.Column("made_as", postgresql.JSONB))
    op.create_table(
        "firings",
        sa.Column("schedule_id", sa.Uuid, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("fired_at", MOMENT, server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("process_id", sa.Uuid),
        sa.Column("refusal", sa.String(2000)),
        sa.Column("left_out", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("schedule_id", "due_at", name="pk_firings"),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.schedule_id"], name="fk_firings_schedule_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("firings")
    op.drop_column("schedules", "made_as")
    op.drop_column("schedules", "grace_seconds")
    op.drop_column("schedules", "missed")
    for trigger in ("plan_validation", "plan_validation_again", "forget_out_of_sync_by", "validate_answered"):
        op.execute(f"DROP TRIGGER {trigger} ON subscriptions")
    op.execute("DROP FUNCTION plan_validation()")
    op.execute("DROP FUNCTION forget_out_of_sync_by()")
    op.execute("DROP FUNCTION validate_answered()")
    op.drop_table("validation_history")
    op.drop_table("validations")
    op.drop_column("subscriptions", "out_of_sync_by")
