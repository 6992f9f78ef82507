"""An organisation's tables beside ours, with migrations and a version of their own.

A package declares them as an entry point of the group `orchestrator.tables`: their name, and the package that has a
folder `versions` and, to compare with the database, `METADATA`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from resources.database.session import SubscriptionDatabase
from resources.errors import SchemaOutOfDate, SettingsError

GROUP = "orchestrator.tables"
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
TAKEN = {"schema": "ours", "alembic": "Dagster's"}
"""Names whose table of the version is somebody else's."""
LOCK = "schema"


@dataclass(frozen=True, slots=True)
class OwnTables:
    """The tables that one package declares. `name` is the beginning of their version's table, `NAME_version`."""

    name: str
    package: str

    @property
    def versions(self) -> Path:
        """The folder of the migrations. Raises SettingsError when there is no such package."""
        try:
            found = find_spec(self.package)
        except ImportError:
            found = None
        if found is None or not found.submodule_search_locations:
            raise SettingsError(
                f"The entry point '{self.name}' of {GROUP} names {self.package}, which is no package here."
            )
        return Path(found.submodule_search_locations[0]) / "versions"

    @property
    def head(self) -> str | None:
        """The newest revision of the code; None without any. Raises SettingsError when there are several."""
        heads = ScriptDirectory.from_config(self.config()).get_heads()
        if len(heads) > 1:
            raise SettingsError(f"The migrations of '{self.name}' end in {', '.join(heads)}; let one follow the other.")
        return heads[0] if heads else None

    def current(self, database: SubscriptionDatabase) -> str | None:
        """The database's revision; None before the first migration."""
        with database.engine.connect() as connection:
            return self._context(connection).get_current_revision()

    def upgrade(self, database: SubscriptionDatabase, revision: str = "head") -> None:
        """Migrate up, in one transaction. May run twice, and in several processes at once."""
        with self._migrating(database) as config:
            if self.head is not None:
                command.upgrade(config, revision)

    def downgrade(self, database: SubscriptionDatabase, revision: str) -> None:
        """Migrate down, in one transaction."""
        with self._migrating(database) as config:
            command.downgrade(config, revision)

    def check(self, database: SubscriptionDatabase) -> list[str]:
        """What the database has otherwise than METADATA, a sentence each; nothing without METADATA."""
        metadata = self.metadata
        if metadata is None:
            return []
        with database.engine.connect() as connection:
            return [f"{self.name}: {one}" for one in compare_metadata(self._context(connection, metadata), metadata)]

    def revise(self, database: SubscriptionDatabase, message: str) -> Path:
        """Write the next migration, which brings the database to METADATA; empty without METADATA."""
        self.versions.mkdir(exist_ok=True)
        with self._migrating(database) as config:
            number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
            known = self.metadata is not None
            made = command.revision(config, message, autogenerate=known, rev_id=f"{self.name}_{number:04}")
        return Path(made.path)  # type: ignore[union-attr]

    @property
    def metadata(self) -> sa.MetaData | None:
        """The tables as SQLAlchemy knows them, if the package has them as METADATA."""
        found: sa.MetaData | None = getattr(EntryPoint(self.name, self.package, GROUP).load(), "METADATA", None)
        return found

    def config(self, connection: sa.Connection | None = None) -> Config:
        """Alembic's configuration: our environment, their folder of migrations."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%"))
        config.set_main_option("version_locations", str(self.versions).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")
        options = _only(self.metadata) if connection is not None else {}
        config.attributes.update(connection=connection, version_table=f"{self.name}_version", **options)
        return config

    def _context(self, connection: sa.Connection, metadata: sa.MetaData | None = None) -> MigrationContext:
        options = {"version_table": f"{self.name}_version", **_only(metadata), "compare_type": True}
        return MigrationContext.configure(connection, opts=options)

    @contextmanager
    def _migrating(self, database: SubscriptionDatabase) -> Iterator[Config]:
        with database.advisory_lock(LOCK), database.engine.begin() as connection:
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            try:
                yield self.config(connection)
            except CommandError as error:
                raise SchemaOutOfDate(f"The tables of '{self.name}' cannot be migrated: {error}.") from error


def own_tables() -> list[OwnTables]:
    """All that installed packages declare, by name. Raises SettingsError for a name that cannot be used."""
    found = sorted((one.name, one.value) for one in entry_points(group=GROUP))
    for place, (name, package) in enumerate(found):
        if not NAME.fullmatch(name) or name in TAKEN or name in [other for other, _ in found[:place]]:
            raise SettingsError(
                f"The entry point '{name}' of {GROUP} ({package}) needs another name: lower-case letters, digits and"
                f" underscores, one for each package, and not {' or '.join(TAKEN)}."
            )
    return [OwnTables(name, package) for name, package in found]


def named_tables(name: str) -> OwnTables:
    """The tables of a name. Raises SettingsError."""
    known = {one.name: one for one in own_tables()}
    if name not in known:
        names = ", ".join(known) or "none"
        raise SettingsError(f"No installed package declares tables '{name}' in {GROUP}; declared are: {names}.")
    return known[name]


def _only(metadata: sa.MetaData | None) -> dict[str, Any]:
    """Options that leave all tables out of a comparison but these."""
    if metadata is None:
        return {}

    def is_own(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in metadata.tables

    return {"target_metadata": metadata, "include_name": is_own}
