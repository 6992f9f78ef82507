"""Figures, fired schedules, validations: each subscription's newest result, when the next is due, and their history."""

import re

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
    sa.Column("reason", sa.String(10_000)),
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
PLAN_ALL = """
CREATE OR REPLACE FUNCTION plan_validations() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO validations (subscription_id, product_id, due_at)
    SELECT subscription_id, product_id, CASE WHEN status <> 'terminated' THEN clock_timestamp() END FROM new_rows;
    RETURN NULL;
END $$
"""
PLAN_NEW = """
CREATE TRIGGER plan_validation AFTER INSERT ON subscriptions REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION plan_validations()
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

# Figures: each change appends what it adds to a count, or takes from it, so that no two transactions want one row.
# What a row of a table counts as: its subject, status and flag, and the seconds that it adds.
# A moment without end took no time.
TOOK = """CASE WHEN isfinite(started_at) AND isfinite(last_modified_at) AND last_status IN ('completed', 'aborted')
    THEN extract(epoch FROM last_modified_at - started_at) ELSE 0 END"""
COUNTED = {
    "subscriptions": ("product_id", "status", "insync", "0"),
    "validations": ("product_id", "result", "due_at IS NOT NULL", "0"),
    "processes": ("workflow_id", "last_status", "is_task", TOOK),
}
COUNT_ROWS = "INSERT INTO figures (kind, subject, status, flag, number, seconds)"
COUNT = """
CREATE OR REPLACE FUNCTION count_{table}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        {into} SELECT '{table}', {key}, count(*), sum({seconds}) FROM new_rows GROUP BY {key};
    ELSIF TG_OP = 'DELETE' THEN
        {into} SELECT '{table}', {key}, -count(*), -sum({seconds}) FROM old_rows GROUP BY {key};
    ELSE
        {into} SELECT '{table}', {key}, -1, -({seconds}) FROM (SELECT OLD.*) AS was
        UNION ALL SELECT '{table}', {key}, 1, {seconds} FROM (SELECT NEW.*) AS is_now;
    END IF;
    RETURN NULL;
END $$
"""
# An update of a row that counts as before costs a comparison.
NEW_ROWS = "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION"
OLD_ROWS = "REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION"
CHANGED_ROW = "FOR EACH ROW WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION"
COUNT_TRIGGERS = (
    f"CREATE TRIGGER count_new AFTER INSERT ON {{table}} {NEW_ROWS} count_{{table}}()",
    f"CREATE TRIGGER count_gone AFTER DELETE ON {{table}} {OLD_ROWS} count_{{table}}()",
    f"CREATE TRIGGER count_changed AFTER UPDATE ON {{table}} {CHANGED_ROW} count_{{table}}()",
)
BOUNDS = "ARRAY[0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800]::float[]"
DURATION_BOUND = f"""
CREATE OR REPLACE FUNCTION duration_bound(seconds float) RETURNS float LANGUAGE sql IMMUTABLE
RETURN coalesce(({BOUNDS})[1 + width_bucket(seconds, {BOUNDS})], 'Infinity')
"""
# Each attempt at a step; the lines of items and of interventions are no steps.
COUNT_STEPS = """
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO figures (kind, subject, name, status, bound, number, seconds)
    SELECT 'steps', workflow_id, step_key, status, duration_bound(took), count(*), sum(took)
    FROM (
        SELECT workflow_id, step_key, status,
            CASE WHEN isfinite(finished_at) AND isfinite(line.started_at)
                THEN extract(epoch FROM finished_at - line.started_at) ELSE 0 END AS took
        FROM {rows} AS line JOIN processes USING (process_id)
        WHERE NOT starts_with(step_key, '__') AND strpos(step_key, '[') = 0
    ) AS lines
    GROUP BY 1, 2, 3, 4, 5;
    RETURN NULL;
END $$
"""
STEP_NEW = f"CREATE TRIGGER count_new AFTER INSERT ON process_steps {NEW_ROWS} count_steps()"
STEP_AGAIN = """
CREATE TRIGGER count_changed AFTER UPDATE ON process_steps FOR EACH ROW
WHEN (OLD.finished_at <> NEW.finished_at) EXECUTE FUNCTION count_step_again()
"""


def upgrade() -> None:
    """Make."""
    op.add_column("subscriptions", sa.Column("out_of_sync_by", sa.String(20)))
    _validations()
    for statement in (PLAN, PLAN_ALL, PLAN_NEW, PLAN_CHANGED, FORGET, FORGET_MARK, ANSWER, ANSWERED):
        op.execute(statement)
    op.execute(
        "INSERT INTO validations (subscription_id, product_id, due_at) SELECT subscription_id, product_id,"
        " CASE WHEN status <> 'terminated' THEN coalesce(validation_started_at, now()) END FROM subscriptions"
    )
    op.drop_index("ix_subscriptions_validation", "subscriptions")
    op.drop_column("subscriptions", "validation_started_at")
    _firings()
    _figures()


def _figures() -> None:
    op.create_table(
        "figures",
        sa.Column("figure_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("subject", sa.Uuid),
        sa.Column("name", sa.String(255)),
        sa.Column("status", sa.String(50)),
        sa.Column("flag", sa.Boolean),
        sa.Column("bound", sa.Float),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Numeric(24, 6), server_default=sa.text("0"), nullable=False),
        sa.Column("is_sum", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("figure_id", name="pk_figures"),
    )
    for table, (subject, status, flag, seconds) in COUNTED.items():
        key = f"{subject}, {status}, {flag}"
        op.execute(COUNT.format(table=table, into=COUNT_ROWS, key=key, seconds=seconds))
        old, new = (_of(row, f"{key}, {seconds}") for row in ("OLD", "NEW"))
        for trigger in COUNT_TRIGGERS:
            op.execute(trigger.format(table=table, old=old, new=new))
        op.execute(f"{COUNT_ROWS} SELECT '{table}', {key}, count(*), sum({seconds}) FROM {table} GROUP BY {key}")
    op.execute(DURATION_BOUND)
    op.execute(COUNT_STEPS.format(function="count_steps", rows="new_rows"))
    op.execute(COUNT_STEPS.format(function="count_step_again", rows="(SELECT NEW.*)"))
    op.execute(STEP_NEW)
    op.execute(STEP_AGAIN)


def _of(row: str, columns: str) -> str:
    """The expressions with each column as that of a trigger's row."""
    names = "product_id|status|insync|result|due_at|workflow_id|last_status|is_task|last_modified_at|started_at"
    return re.sub(rf"\b({names})\b", rf"{row}.\1", columns)


def _validations() -> None:
    subscription = (["subscription_id"], ["subscriptions.subscription_id"])
    op.create_table(
        "validations",
        sa.Column("subscription_id", sa.Uuid, nullable=False),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("results", postgresql.JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("claimed_by", sa.String(255)),
        *(column._copy() for column in RESULT),
        sa.PrimaryKeyConstraint("subscription_id", name="pk_validations"),
        sa.ForeignKeyConstraint(*subscription, name="fk_validations_subscription_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["product_id"], ["products.product_id"], name="fk_validations_product_id"),
    )
    due, claimed = sa.text("due_at IS NOT NULL"), sa.text("claimed_by IS NOT NULL")
    op.create_index("ix_validations_due", "validations", ["product_id", "due_at"], postgresql_where=due)
    op.create_index("ix_validations_age", "validations", ["product_id", "finished_at"], postgresql_where=due)
    op.create_index("ix_validations_claimed", "validations", ["claimed_by"], postgresql_where=claimed)
    op.create_index("ix_validations_finished_at", "validations", ["finished_at", "subscription_id"])
    last = sa.text("finished_at DESC NULLS LAST")
    op.create_index("ix_validations_newest", "validations", [last, "subscription_id"])
    op.create_index("ix_validations_result", "validations", ["result", "product_id", "finished_at"])
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
    for table in ("subscriptions", "processes", "process_steps"):
        for trigger in ("count_new", "count_gone", "count_changed"):
            op.execute(f"DROP TRIGGER IF EXISTS {trigger} ON {table}")
    op.drop_table("figures")
    op.drop_table("firings")
    op.drop_column("schedules", "made_as")
    op.drop_column("schedules", "grace_seconds")
    op.drop_column("schedules", "missed")
    for trigger in ("plan_validation", "plan_validation_again", "forget_out_of_sync_by", "validate_answered"):
        op.execute(f"DROP TRIGGER {trigger} ON subscriptions")
    op.execute("DROP FUNCTION plan_validation()")
    op.execute("DROP FUNCTION plan_validations()")
    op.execute("DROP FUNCTION forget_out_of_sync_by()")
    op.execute("DROP FUNCTION validate_answered()")
    op.add_column("subscriptions", sa.Column("validation_started_at", MOMENT))
    op.execute(
        "UPDATE subscriptions SET validation_started_at = finished_at FROM validations"
        " WHERE validations.subscription_id = subscriptions.subscription_id"
    )
    started: list[str | sa.TextClause] = [sa.text("validation_started_at NULLS FIRST"), "subscription_id"]
    op.create_index("ix_subscriptions_validation", "subscriptions", started)
    op.drop_table("validation_history")
    op.drop_table("validations")
    for function in ("subscriptions", "validations", "processes", "steps"):
        op.execute(f"DROP FUNCTION count_{function}()")
    op.execute("DROP FUNCTION count_step_again()")
    op.execute("DROP FUNCTION duration_bound(float)")
    op.drop_column("subscriptions", "out_of_sync_by")
