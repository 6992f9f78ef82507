"""Reads the tables of an orchestrator-core database, in batches of one consistent picture."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from resources.database.session import place, postgres_url
from resources.database.typed_sql import UUIDS, sql
from resources.errors import DatabaseUnreachable, SettingsError

Row: TypeAlias = Mapping[str, Any]

NEEDED = {
    "subscription_instance_values": "value",
    "subscription_instance_relations": "domain_model_attr",
    "subscription_metadata": "metadata",
    "processes": "is_task",
    "process_steps": "started_at",
    "workflows": "is_task",
}
"""Tables of orchestrator-core 5, each with a column that another system, or an older release, does not have."""
KNOWN = sql(
    "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = ANY(current_schemas(false))"
)
CONNECT_SECONDS = 10

PRODUCTS = """
SELECT p.product_id, p.name, p.tag, p.product_type,
       coalesce((SELECT jsonb_object_agg(f.name, f.value) FROM fixed_inputs f WHERE f.product_id = p.product_id), '{}')
       AS fixed_inputs, (SELECT count(*) FROM subscriptions s WHERE s.product_id = p.product_id) AS subscriptions
FROM products p ORDER BY p.name
"""
WORKFLOWS = """
SELECT workflow_id, name, target, description, is_task, created_at FROM workflows
WHERE workflow_id IN (SELECT workflow_id FROM processes) ORDER BY name
"""
# UNION, not UNION ALL: subscriptions may use each other's blocks.
REACHED = """
WITH RECURSIVE reached(id) AS (
    SELECT subscription_instance_id FROM subscription_instances WHERE subscription_id = ANY(:ids)
    UNION
    SELECT own.subscription_instance_id
    FROM reached
    JOIN subscription_instance_relations r ON r.in_use_by_id = reached.id
    JOIN subscription_instances used ON used.subscription_instance_id = r.depends_on_id
    JOIN subscription_instances own ON own.subscription_id = used.subscription_id
)
SELECT DISTINCT i.subscription_id FROM reached JOIN subscription_instances i ON i.subscription_instance_id = reached.id
"""
SUBSCRIPTIONS = """
SELECT subscription_id, product_id, customer_id, description, status, insync, start_date, end_date, note
FROM subscriptions WHERE subscription_id = ANY(:ids)
"""
# Blocks at the root have no order there; that of the table is the one in which they were made.
BLOCKS = """
SELECT i.subscription_instance_id AS id, i.subscription_id, b.name AS product_block, i.label
FROM subscription_instances i JOIN product_blocks b USING (product_block_id)
WHERE i.subscription_id = ANY(:ids) ORDER BY i.ctid
"""
# A list has no order there, either: it is shown sorted by text.
VALUES = """
SELECT v.subscription_instance_id AS id, t.resource_type AS name, array_agg(v.value ORDER BY v.value) AS texts
FROM subscription_instance_values v
JOIN resource_types t USING (resource_type_id)
JOIN subscription_instances i USING (subscription_instance_id)
WHERE i.subscription_id = ANY(:ids) GROUP BY 1, 2
"""
RELATIONS = """
SELECT r.in_use_by_id, r.domain_model_attr AS attribute, r.depends_on_id
FROM subscription_instance_relations r
JOIN subscription_instances i ON i.subscription_instance_id = r.in_use_by_id
WHERE i.subscription_id = ANY(:ids) ORDER BY r.in_use_by_id, r.domain_model_attr, r.order_id, r.depends_on_id
"""
DESCRIPTIONS = """
SELECT id, subscription_id, customer_id, description, version, created_at
FROM subscription_customer_descriptions WHERE subscription_id = ANY(:ids)
"""
METADATA = "SELECT subscription_id, metadata FROM subscription_metadata WHERE subscription_id = ANY(:ids)"
PROCESSES = """
SELECT pid AS process_id, workflow_id, assignee, last_status, last_step, started_at, last_modified_at, failed_reason,
       traceback, created_by, is_task, note
FROM processes WHERE pid = ANY(:ids) ORDER BY pid
"""
STEPS = """
SELECT stepid AS step_id, pid AS process_id, name, status, state, created_by, started_at, completed_at, commit_hash
FROM process_steps WHERE pid = ANY(:ids) ORDER BY pid, completed_at, started_at
"""
LINKS = """
SELECT pid AS process_id, subscription_id, min(created_at) AS created_at FROM processes_subscriptions
WHERE pid = ANY(:ids) GROUP BY 1, 2
"""


@dataclass
class SourceBlock:
    """A row of subscription_instances with its values, as texts, and the blocks that it holds by attribute."""

    id: UUID
    subscription_id: UUID
    product_block: str
    label: str | None
    values: dict[str, list[str]] = field(default_factory=dict)
    holds: dict[str | None, list[UUID]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Batch:
    """Subscriptions, and those whose blocks they use at any depth: headers and blocks by id, and what hangs on them."""

    wanted: list[UUID]
    headers: dict[UUID, Row]
    blocks: dict[UUID, SourceBlock]
    descriptions: list[Row]
    metadata: list[Row]

    def own(self, subscription_id: UUID) -> list[SourceBlock]:
        """The blocks of one subscription."""
        return self._owned.get(subscription_id, [])

    def __post_init__(self) -> None:
        self._owned: dict[UUID, list[SourceBlock]] = defaultdict(list)
        for block in self.blocks.values():
            self._owned[block.subscription_id].append(block)


@dataclass
class ProcessBatch:
    """Processes with their steps and the subscriptions that they worked on, by process id."""

    processes: list[Row]
    steps: dict[UUID, list[Row]]
    links: dict[UUID, list[Row]]


class CoreDatabase:
    """An open database of orchestrator-core: everything is read as it was at the first statement. Writes nothing."""

    def __init__(self, connection: sa.Connection, where: str) -> None:
        self._connection, self._where = connection, where

    @classmethod
    @contextmanager
    def opened(cls, uri: str) -> Iterator[Self]:
        """Open it. Raises SettingsError for another database or release, and DatabaseUnreachable, also when reading."""
        url = postgres_url(uri, "psycopg")
        options = {"application_name": "orchestrator import core", "connect_timeout": CONNECT_SECONDS}
        engine = sa.create_engine(url, isolation_level="REPEATABLE READ", connect_args=options)
        try:
            with _told(place(url)):
                connection = engine.connect()
            with connection:
                found = cls(connection, place(url))
                found._check()
                yield found
        finally:
            engine.dispose()

    def _check(self) -> None:
        self._execute(sa.text("SET TRANSACTION READ ONLY"))
        known = {tuple(row) for row in self._execute(KNOWN)}
        if missing := [f"{table}.{column}" for table, column in NEEDED.items() if (table, column) not in known]:
            raise SettingsError(
                f"The {self._where} is not of orchestrator-core 5: it has no {', '.join(missing)}. Name its database "
                "with --from, and if its release is older, first migrate it there with `db upgrade heads`."
            )

    def _execute(self, statement: sa.TextClause, **parameters: Any) -> sa.CursorResult[Any]:
        with _told(self._where):
            return self._connection.execute(statement, parameters)

    def products(self) -> list[Row]:
        """The products, with their fixed inputs as texts and the number of their subscriptions."""
        return self._rows(PRODUCTS)

    def workflows(self) -> list[Row]:
        """The workflows of the processes, also those that it no longer has."""
        return self._rows(WORKFLOWS)

    def subscriptions(self, size: int) -> Iterator[Batch]:
        """All subscriptions, in the order of their ids, so many at a time."""
        for ids in self._ids("subscriptions", "subscription_id", size):
            yield self._batch(ids)

    def processes(self, size: int) -> Iterator[ProcessBatch]:
        """All processes, in the order of their ids, so many at a time."""
        for ids in self._ids("processes", "pid", size):
            steps, links = self._rows(STEPS, ids), self._rows(LINKS, ids)
            yield ProcessBatch(self._rows(PROCESSES, ids), _by(steps, "process_id"), _by(links, "process_id"))

    def _batch(self, wanted: list[UUID]) -> Batch:
        ids = [*wanted, *(set(self._execute(_of(REACHED), ids=wanted).scalars()) - set(wanted))]
        blocks = {row["id"]: SourceBlock(**row) for row in self._rows(BLOCKS, ids)}
        for row in self._rows(VALUES, ids):
            blocks[row["id"]].values[row["name"]] = row["texts"]
        for row in self._rows(RELATIONS, ids):
            blocks[row["in_use_by_id"]].holds[row["attribute"]].append(row["depends_on_id"])
        headers = {row["subscription_id"]: row for row in self._rows(SUBSCRIPTIONS, ids)}
        return Batch(wanted, headers, blocks, self._rows(DESCRIPTIONS, ids), self._rows(METADATA, ids))

    def _ids(self, table: str, key: str, size: int) -> Iterator[list[UUID]]:
        query = sql(f"SELECT {key} FROM {table} WHERE {key} > :after ORDER BY {key} LIMIT :size", after=sa.Uuid)
        after = UUID(int=0)
        while ids := list(self._execute(query, after=after, size=size).scalars()):
            yield ids
            after = ids[-1]

    def _rows(self, statement: str, ids: Collection[UUID] = ()) -> list[Row]:
        parameters = {"ids": list(ids)} if ":ids" in statement else {}
        return [dict(row) for row in self._execute(_of(statement), **parameters).mappings()]


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Tell in one sentence what the server of the source refuses."""
    try:
        yield
    except DBAPIError as error:
        raise DatabaseUnreachable(f"Reading {where} failed: {str(error.orig).splitlines()[0]}") from error


def _of(statement: str) -> sa.TextClause:
    return sql(statement, ids=UUIDS) if ":ids" in statement else sql(statement)


def _by(rows: list[Row], key: str) -> dict[UUID, list[Row]]:
    found: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found
