"""The schema's version: compares the database with the code, and migrates it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import ProgrammingError

from resources.database import catalogue_tables, fleet_tables  # noqa: F401  their tables belong to the schema, too
from resources.database.own_tables import own_tables
from resources.database.session import SubscriptionDatabase, place
from resources.database.tables import TRIGGERS, Table
from resources.errors import SchemaOutOfDate

VERSION_TABLE = "schema_version"
"""Not alembic's default name: Dagster uses that, and may share the database."""
LOCK = "schema"
FIND_TRIGGERS = sa.text("""
SELECT relname, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
WHERE tgenabled IN ('O', 'A') AND relnamespace = CAST(current_schema() AS regnamespace)
""")

_current: set[str] = set()


@dataclass(frozen=True, slots=True)
class Revision:
    """One step in the history of the schema."""

    revision: str
    description: str


def upgrade(database: SubscriptionDatabase, revision: str = "head") -> None:
    """Migrate up to `revision`, in one transaction. May run twice, and in several processes at once."""
    with _migrating(database) as config:
        command.upgrade(config, revision)


def downgrade(database: SubscriptionDatabase, revision: str) -> None:
    """Migrate down to `revision` (`base`: nothing is left), in one transaction. Data without a place there are lost."""
    with _migrating(database) as config:
        command.downgrade(config, revision)


def reset(database: SubscriptionDatabase) -> None:
    """Drop our tables in any state and create them again. All data are lost; other tables stay."""
    with _migrating(database) as config:
        connection = config.attributes["connection"]
        for name in (*Table.metadata.tables, VERSION_TABLE):
            connection.execute(sa.text(f'DROP TABLE IF EXISTS "{name}" CASCADE'))
        command.upgrade(config, "head")


def current(database: SubscriptionDatabase) -> str | None:
    """The database's revision; None before the first migration. One statement."""
    with database.engine.connect() as connection:
        try:
            revision: str | None = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))
        except ProgrammingError:  # no such table
            return None
        return revision


def history() -> list[Revision]:
    """All revisions, oldest first."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return [Revision(script.revision, script.doc.rstrip(".")) for script in scripts][::-1]


@cache
def head() -> str:
    """The revision that this version of the code needs."""
    return history()[-1].revision


def check(database: SubscriptionDatabase) -> list[str]:
    """The differences between database and models, a sentence each; empty when there are none.

    Only our tables are compared; others in the same database do not matter.
    """
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": _is_ours, "compare_server_default": True, "compare_type": True}
        )
        differences = list(_flat(compare_metadata(context, Table.metadata)))
        triggers = {(table, name) for table, name in connection.execute(FIND_TRIGGERS)}
    missing = {one[1].name for one in differences if one[0] == "add_table"}
    silent = [
        f"trigger {table}.{name} is missing"
        for table, names in sorted(TRIGGERS.items())
        for name in sorted(names)
        if table not in missing and (table, name) not in triggers
    ]
    return [_in_words(one) for one in differences if not _belongs_to(one[-1], missing)] + silent


def ensure_current(database: SubscriptionDatabase) -> None:
    """Check that the code can work with the database, also with tables of packages: one statement for each, once in a
    process.

    The embedded database is migrated; any other server is not, and SchemaOutOfDate names the command.
    """
    key = database.url.render_as_string(hide_password=False)
    if key in _current:
        return
    found = current(database)
    if found != head():
        if not database.is_embedded:
            raise SchemaOutOfDate(_out_of_date(database, found))
        _refuse_unknown(database, found)
        upgrade(database)
    for tables in own_tables():
        if tables.current(database) != tables.head:
            if not database.is_embedded:
                raise SchemaOutOfDate(
                    f"The tables of '{tables.name}' are not up to date. Run `orchestrator db upgrade`."
                )
            tables.upgrade(database)
    _current.add(key)


@contextmanager
def _migrating(database: SubscriptionDatabase) -> Iterator[Config]:
    """Alembic's configuration with a connection in a transaction; no other process migrates until its end."""
    _current.discard(database.url.render_as_string(hide_password=False))
    with database.advisory_lock(LOCK), database.engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))  # a large table takes long
        try:
            yield _config(connection)
        except CommandError as error:
            raise SchemaOutOfDate(
                f"The {place(database.url)} cannot be migrated: {error}. `orchestrator db history` lists the revisions."
            ) from error


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, version_table=VERSION_TABLE)
    return config


def _out_of_date(database: SubscriptionDatabase, found: str | None) -> str:
    _refuse_unknown(database, found)
    has = f"has revision {found}" if found else "has no schema yet"
    return f"The {place(database.url)} {has}, this version needs {head()}. Run `orchestrator db upgrade`."


def _refuse_unknown(database: SubscriptionDatabase, found: str | None) -> None:
    if found is not None and found not in {revision.revision for revision in history()}:
        raise SchemaOutOfDate(
            f"The {place(database.url)} has revision {found}, which this version does not know. Install"
            " the newer version that made it, or restore the earlier database."
        )


def _is_ours(thing: Any, name: str | None, kind: str, reflected: bool, counterpart: Any) -> bool:
    return kind != "table" or name in Table.metadata.tables


def _flat(differences: list[Any]) -> Iterator[tuple[Any, ...]]:
    # Alembic gives the changes of one column as a list of tuples, all others as tuples.
    for difference in differences:
        if isinstance(difference, list):
            yield from difference
        else:
            yield difference


def _belongs_to(thing: Any, tables: set[str]) -> bool:
    return getattr(getattr(thing, "table", None), "name", None) in tables


def _in_words(difference: tuple[Any, ...]) -> str:
    kind, *rest = difference
    verb, _, noun = kind.partition("_")
    if verb == "modify":
        _schema, table, column, _existing, found, expected = rest
        return f"{table}.{column}: {noun} is {found}, expected {expected}"
    subject = rest[-1]
    table = getattr(subject, "table", None)
    name = f"{table.name}.{subject.name}" if table is not None else getattr(subject, "name", subject)
    return f"{noun} {name} {'is missing' if verb == 'add' else 'should not be there'}"
