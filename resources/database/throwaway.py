"""Databases for tests: copies of a template, dropped after use or reset for the next test."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from resources.database.embedded import EmbeddedServer
from resources.database.session import SubscriptionDatabase

TEMPLATE = "template_orchestrator"
SESSION_SECONDS = 3.0
"""How long a session may take to end its transaction."""
BLOATED_BYTES = 1_000_000
"""A larger table is truncated, because deleted rows leave their space; deleting is faster for small ones."""

TABLES = """
SELECT format('%I.%I', nspname, relname), (
    SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
    WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema', 'kept')
ORDER BY 1
"""
WATCH = """
CREATE SCHEMA kept;
CREATE TABLE kept.changes (change text);
CREATE FUNCTION kept.note_change() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO kept.changes VALUES (TG_TAG);
END $$;
CREATE EVENT TRIGGER note_change ON ddl_command_end WHEN TAG IN (
    'ALTER FUNCTION', 'ALTER INDEX', 'ALTER TABLE', 'ALTER TRIGGER', 'CREATE FUNCTION', 'CREATE TRIGGER',
    'DROP FUNCTION', 'DROP INDEX', 'DROP OWNED', 'DROP SCHEMA', 'DROP TABLE', 'DROP TRIGGER'
) EXECUTE FUNCTION kept.note_change();
"""
RESTORE = """
CREATE OR REPLACE FUNCTION pg_temp.restore(OUT tables bigint, OUT changed boolean, OUT busy text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE bloated text;
BEGIN
    SELECT count(*) INTO tables FROM pg_class
    WHERE relkind = 'r' AND relpersistence <> 't' AND oid >= 16384;
    SELECT count(*) > 0 INTO changed FROM kept.changes;
    SELECT string_agg(format('%s, %s since %s, last statement: %s', application_name, state, state_change, query), '; ')
    INTO busy FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND (
        state <> 'idle' OR pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')
    );
    IF busy IS NULL AND NOT changed AND tables = {count} THEN
        FOREACH bloated IN ARRAY {names}::text[] LOOP
            IF pg_relation_size(bloated) > {bytes} THEN
                EXECUTE 'TRUNCATE ' || bloated || ' CASCADE';
            END IF;
        END LOOP;
        {statements}
    END IF;
END $$
"""


@contextmanager
def fresh_database(server: EmbeddedServer, template: str = TEMPLATE) -> Iterator[SubscriptionDatabase]:
    """A copy of a template database without connections, dropped at the end; takes the server 0.2 s."""
    name = f"test_{uuid4().hex}"
    administer(server, "CREATE DATABASE {} TEMPLATE {}", name, template)
    database = SubscriptionDatabase(uri=server.uri(name))
    try:
        yield database
    finally:
        database.dispose()
        administer(server, "DROP DATABASE {} WITH (FORCE)", name)


def administer(server: EmbeddedServer, statement: str, *names: str) -> None:
    """Run a statement about databases; `{}` in it stands for each name in turn."""
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def has_database(server: EmbeddedServer, name: str) -> bool:
    """Whether the server has a database of this name."""
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        return bool(connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).rowcount)


class KeptDatabase:
    """A copy of a template that serves one test after the other: `restore` resets its tables to their first rows.

    `fill` writes what they have beyond the template. Tables that were made later are emptied.
    """

    def __init__(
        self,
        server: EmbeddedServer,
        template: str = TEMPLATE,
        fill: Callable[[SubscriptionDatabase], None] | None = None,
    ) -> None:
        self._server, self._template, self._fill = server, template, fill
        self._open()

    def _open(self) -> None:
        self._stack = ExitStack()
        self.database = self._stack.enter_context(fresh_database(self._server, self._template))
        if self._fill is not None:
            self._fill(self.database)
        # Neither triggers nor foreign keys here: rows come in any order, and no listener is notified.
        options = f"-c session_replication_role=replica -c lock_timeout={SESSION_SECONDS:.0f}s"
        self._connection = self._stack.enter_context(
            psycopg.connect(self.database.uri, autocommit=True, options=options)
        )
        self._kept: dict[str, str] = {}
        for number, (table, _) in enumerate(self._tables()):
            if self._connection.execute(f"SELECT FROM {table} LIMIT 1".encode()).rowcount:
                self._kept[table] = f"pg_temp.kept_{number}"
                self._connection.execute(f"CREATE TEMP TABLE kept_{number} AS TABLE {table}".encode())
        self._prepare()
        self._connection.execute(WATCH)

    def close(self) -> None:
        self._stack.close()

    def replace(self) -> None:
        """Drop it, with all connections, and create another in its place."""
        self.close()
        self._open()

    def restore(self) -> str:
        """Reset the tables to their first rows, in one round trip. Commits.

        It waits for sessions with an open transaction, and returns a description of one that does not end, else an
        empty text. In that case, and when the schema was changed or the server was away, it creates another database.
        """
        give_up = time.monotonic() + SESSION_SECONDS
        while (answer := self._restored()) is not None:
            tables, changed, busy = answer
            if changed or time.monotonic() > give_up:
                break
            if busy:
                time.sleep(0.01)
            elif tables != self._count:
                self._prepare()
            else:
                return ""
        self.replace()
        return answer[2] or "" if answer else ""

    def _restored(self) -> Any:
        try:
            return self._connection.execute("SELECT tables, changed, busy FROM pg_temp.restore()").fetchone()
        except psycopg.OperationalError:
            return None

    def _tables(self) -> list[Any]:
        return self._connection.execute(TABLES).fetchall()

    def _prepare(self) -> None:
        tables = self._tables()
        statements = [f"DELETE FROM {table};" for table, _ in tables] + [
            f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {self._kept[table]};"
            for table, columns in tables
            if table in self._kept
        ]
        self._count = len(tables) + 1  # and the table of the changes
        names = sql.Literal([table for table, _ in tables]).as_string()
        self._connection.execute(
            RESTORE.format(
                count=self._count, names=names, bytes=BLOATED_BYTES, statements="\n".join(statements)
            ).encode()
        )
