"""Tell who listens what has changed, at the commit that changes it."""

from collections.abc import Iterator

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What is sent on the channel: a word, and often an id: `process 6f0e…`. Without the id: any of them, more than MANY.
CHANNEL = "orchestrator_events"
MANY = 100

PROCESS = (
    *("last_modified_at", "last_status", "last_step", "assignee", "note", "failed_reason"),
    *("workflow_id", "is_task", "created_by", "run_id", "started_at", "traceback", "state"),
)
SUBSCRIPTION = (
    *("version", "status", "insync", "locked_by", "description", "note", "customer_id"),
    *("start_date", "end_date", "product_id"),
)
"""The columns that somebody sees; those that change most come first."""

# The functions look for our tables where they were made, whatever search path their caller has.
FUNCTION = "LANGUAGE plpgsql SET search_path FROM CURRENT"

TELL = f"""
CREATE OR REPLACE FUNCTION tell(word text, ids uuid[]) RETURNS void {FUNCTION} AS $$
BEGIN
    IF cardinality(ids) > {MANY} THEN
        PERFORM pg_notify('{CHANNEL}', word);
    ELSE
        PERFORM pg_notify('{CHANNEL}', word || ' ' || id) FROM unnest(ids) AS id;
    END IF;
END $$
"""

PROCESSES_CAME_OR_WENT = f"""
CREATE OR REPLACE FUNCTION tell_of_processes() RETURNS trigger {FUNCTION} AS $$
BEGIN
    IF EXISTS (SELECT FROM told) THEN
        PERFORM tell('process', ARRAY(SELECT process_id FROM told LIMIT {MANY + 1}));
        PERFORM pg_notify('{CHANNEL}', 'counts');
    END IF;
    RETURN NULL;
END $$
"""

# The page of a subscription shows how its processes stand. A paused engine comes to rest with its last process.
PROCESSES_CHANGED = f"""
CREATE OR REPLACE FUNCTION tell_of_changed_processes() RETURNS trigger {FUNCTION} AS $$
DECLARE
    changed uuid[];
    moved uuid[];
    worked boolean;
BEGIN
    SELECT array_agg(process_id),
           array_agg(process_id) FILTER (WHERE before.last_status <> after.last_status),
           bool_or(before.last_status <> after.last_status AND 'running' IN (before.last_status, after.last_status))
      INTO changed, moved, worked
      FROM before JOIN after USING (process_id)
     WHERE ({", ".join(f"before.{column}" for column in PROCESS)})
           IS DISTINCT FROM ({", ".join(f"after.{column}" for column in PROCESS)});
    PERFORM tell('process', changed);
    IF moved IS NOT NULL THEN
        PERFORM pg_notify('{CHANNEL}', 'counts');
        PERFORM tell('details', ARRAY(
            SELECT DISTINCT subscription_id FROM processes_subscriptions WHERE process_id = ANY (moved)
        ));
        IF worked AND EXISTS (SELECT FROM engine_settings WHERE global_lock) THEN
            PERFORM pg_notify('{CHANNEL}', 'engine');
        END IF;
    END IF;
    RETURN NULL;
END $$
"""

SUBSCRIPTIONS_CAME_OR_WENT = f"""
CREATE OR REPLACE FUNCTION tell_of_subscriptions() RETURNS trigger {FUNCTION} AS $$
BEGIN
    PERFORM tell('subscription', ARRAY(SELECT subscription_id FROM told LIMIT {MANY + 1}));
    RETURN NULL;
END $$
"""

SUBSCRIPTIONS_CHANGED = f"""
CREATE OR REPLACE FUNCTION tell_of_changed_subscriptions() RETURNS trigger {FUNCTION} AS $$
BEGIN
    PERFORM tell('subscription', ARRAY(
        SELECT subscription_id FROM before JOIN after USING (subscription_id)
         WHERE ({", ".join(f"before.{column}" for column in SUBSCRIPTION)})
               IS DISTINCT FROM ({", ".join(f"after.{column}" for column in SUBSCRIPTION)})
         LIMIT {MANY + 1}
    ));
    RETURN NULL;
END $$
"""

LINKS_CAME_OR_WENT = f"""
CREATE OR REPLACE FUNCTION tell_of_links() RETURNS trigger {FUNCTION} AS $$
BEGIN
    PERFORM tell('process', ARRAY(SELECT DISTINCT process_id FROM told LIMIT {MANY + 1}));
    PERFORM tell('details', ARRAY(SELECT DISTINCT subscription_id FROM told LIMIT {MANY + 1}));
    RETURN NULL;
END $$
"""

# The arguments of the trigger: the word, and the column with the id when it has one.
ROW = f"""
CREATE OR REPLACE FUNCTION tell_of_row() RETURNS trigger {FUNCTION} AS $$
BEGIN
    IF TG_NARGS = 1 THEN
        PERFORM pg_notify('{CHANNEL}', TG_ARGV[0]);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM pg_notify('{CHANNEL}', TG_ARGV[0] || ' ' || (to_jsonb(OLD) ->> TG_ARGV[1]));
    ELSE
        PERFORM pg_notify('{CHANNEL}', TG_ARGV[0] || ' ' || (to_jsonb(NEW) ->> TG_ARGV[1]));
    END IF;
    RETURN NULL;
END $$
"""

FUNCTIONS = {
    "tell(text, uuid[])": TELL,
    "tell_of_processes()": PROCESSES_CAME_OR_WENT,
    "tell_of_changed_processes()": PROCESSES_CHANGED,
    "tell_of_subscriptions()": SUBSCRIPTIONS_CAME_OR_WENT,
    "tell_of_changed_subscriptions()": SUBSCRIPTIONS_CHANGED,
    "tell_of_links()": LINKS_CAME_OR_WENT,
    "tell_of_row()": ROW,
}

CATALOGUE = (
    *("products", "product_blocks", "resource_types", "workflows", "product_product_blocks"),
    *("product_block_resource_types", "product_block_relations", "products_workflows"),
)
ROWS = {
    **dict.fromkeys(CATALOGUE, "'catalogue'"),
    "schedules": "'schedules'",
    "subscription_customer_descriptions": "'details', 'subscription_id'",
    "subscription_metadata": "'subscription', 'subscription_id'",
}


def _triggers() -> Iterator[tuple[str, str, str]]:
    """Table and name of each trigger, and the rest of the statement that makes it."""
    whole = {
        "processes": ("tell_of_processes", "tell_of_changed_processes"),
        "subscriptions": ("tell_of_subscriptions", "tell_of_changed_subscriptions"),
        "processes_subscriptions": ("tell_of_links", None),
    }
    for table, (came_or_went, changed) in whole.items():
        yield _of_statement(table, "INSERT", "NEW TABLE AS told", came_or_went)
        yield _of_statement(table, "DELETE", "OLD TABLE AS told", came_or_went)
        if changed is not None:
            yield _of_statement(table, "UPDATE", "OLD TABLE AS before NEW TABLE AS after", changed)
    for table, arguments in ROWS.items():
        yield _of_row(table, "INSERT", "TRUE", arguments)
        yield _of_row(table, "DELETE", "TRUE", arguments)
        yield _of_row(table, "UPDATE", "OLD.* IS DISTINCT FROM NEW.*", arguments)
    yield _of_row("engine_settings", "INSERT", "NEW.global_lock", "'engine'")
    yield _of_row("engine_settings", "UPDATE", "OLD.global_lock <> NEW.global_lock", "'engine'")
    yield _of_row("process_waits", "UPDATE", "OLD.progress IS DISTINCT FROM NEW.progress", "'process', 'process_id'")


def _of_statement(table: str, event: str, rows: str, function: str) -> tuple[str, str, str]:
    return table, f"tell_{event.lower()}", f"REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION {function}()"


def _of_row(table: str, event: str, when: str, arguments: str) -> tuple[str, str, str]:
    return table, f"tell_{event.lower()}", f"FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION tell_of_row({arguments})"


def upgrade() -> None:
    """Make."""
    for statement in FUNCTIONS.values():
        op.execute(statement)
    for table, name, rest in _triggers():
        op.execute(f"CREATE TRIGGER {name} AFTER {name.removeprefix('tell_')} ON {table} {rest}")


def downgrade() -> None:
    """Take back."""
    for table, name, _ in _triggers():
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
