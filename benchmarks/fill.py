"""Many subscriptions in no time: copies of those that workflows made, with all that the workflows left beside them.

The template is a node, seven ports of it and two L2VPNs between those: ten subscriptions with their instances,
relations, versions, processes and ledger, documents and all. Each copy has ids and a node name of its own.
"""

import psycopg

TEMPLATE_NAME = "tmplnode"
TEMPLATE_SIZE = 10
PLACE = "beefbeef-beef-4eef-8eef-"
"""What the template's ids begin with once they are numbered; each copy has another beginning there."""

IDS = """
WITH RECURSIVE template AS (
    SELECT subscription_id FROM subscriptions WHERE description LIKE 'Node ' || %(name)s || ' %%'
    UNION
    SELECT holder.subscription_id FROM template
    JOIN subscription_instances held USING (subscription_id)
    JOIN subscription_instance_relations r ON r.depends_on_id = held.subscription_instance_id
    JOIN subscription_instances holder ON holder.subscription_instance_id = r.in_use_by_id
)
SELECT subscription_id FROM template
"""

ROWS = {
    "processes": "process_id IN (SELECT process_id FROM processes_subscriptions WHERE subscription_id = ANY(%s))",
    "subscriptions": "subscription_id = ANY(%s)",
    "subscription_instances": "subscription_id = ANY(%s)",
    "subscription_instance_relations": "in_use_by_id IN"
    " (SELECT subscription_instance_id FROM subscription_instances WHERE subscription_id = ANY(%s))",
    "subscription_versions": "subscription_id = ANY(%s)",
    "processes_subscriptions": "subscription_id = ANY(%s)",
    "process_steps": "process_id IN (SELECT process_id FROM processes_subscriptions WHERE subscription_id = ANY(%s))",
}
"""The tables, and which of their rows belong to these subscriptions."""
KEYS = ("process_id", "subscription_id", "subscription_instance_id", "step_id")

COPY = """
INSERT INTO {table} SELECT (copy).* FROM (
    SELECT jsonb_populate_record(
        NULL::{table}, replace(replace(line, %(place)s, beginning), %(name)s, 'n' || number)::jsonb
    ) AS copy
    FROM template_lines, LATERAL (
        SELECT number,
            regexp_replace(md5(number::text), '(.{{8}})(.{{4}})(.{{3}})(.{{3}}).*', '\\1-\\2-4\\3-8\\4-') AS beginning
        FROM generate_series(1, %(copies)s) AS number
    ) AS numbered
    WHERE belongs_to = '{table}' OFFSET 0
) AS made
"""
# `(…).*` would call the function once per column: hence the OFFSET 0, which keeps one call a row.


def fill(uri: str, subscriptions: int) -> None:
    """Copy the template until the database has about so many subscriptions. Commits."""
    with psycopg.connect(uri, autocommit=True) as connection:
        there = _one(connection, "SELECT count(*) FROM subscriptions")
        copies = max(0, subscriptions - there) // TEMPLATE_SIZE
        # The copies are whole, so no foreign key needs a look; and if they are lost in a crash, all is lost.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        _note_template(connection)
        for table in ROWS:
            connection.execute(COPY.format(table=table), {"place": PLACE, "name": TEMPLATE_NAME, "copies": copies})
        connection.execute("VACUUM ANALYZE")


def _note_template(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Keep the template's rows as text, its ids numbered."""
    ids = [row[0] for row in connection.execute(IDS, {"name": TEMPLATE_NAME})]
    assert len(ids) == TEMPLATE_SIZE, f"the template has {len(ids)} subscriptions, not {TEMPLATE_SIZE}"
    connection.execute("CREATE TEMPORARY TABLE template_lines (belongs_to text, line text)")
    found: list[tuple[str, dict[str, object], str]] = []
    for table, condition in ROWS.items():
        query = f"SELECT to_jsonb(t), to_jsonb(t)::text FROM {table} t WHERE {condition}"
        found += [(table, row, line) for row, line in connection.execute(query, (ids,))]  # type: ignore[misc]
    known = dict.fromkeys(str(row[key]) for _, row, _ in found for key in KEYS if row.get(key))
    numbered = {old: f"{PLACE}{number:012x}" for number, old in enumerate(known)}
    with connection.cursor().copy("COPY template_lines FROM STDIN") as copy:
        for table, _, line in found:
            for old, new in numbered.items():
                line = line.replace(old, new)
            copy.write_row((table, line))


def _one(connection: "psycopg.Connection[tuple[object, ...]]", query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(str(row[0]))
