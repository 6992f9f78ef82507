"""Tables of an organisation beside ours: a package outside of this one declares, migrates and compares them."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from orchestrator_defs.cli.main import main
from resources.database import own_tables, schema
from resources.database.own_tables import OwnTables
from resources.database.session import SubscriptionDatabase
from resources.errors import SchemaOutOfDate, SettingsError
from resources.settings import settings

TABLES = '''"""Customers."""

import sqlalchemy as sa

METADATA = sa.MetaData()
CUSTOMERS = sa.Table(
    "bulkco_customers", METADATA, sa.Column("customer_id", sa.String(255), primary_key=True){more}
)
'''


class Package:
    """An installed package of an organisation."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name

    def declare(self, name: str, package: str) -> None:
        """The metadata that pip leaves of an entry point."""
        info = self.folder / f"{self.name}-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {self.name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{own_tables.GROUP}]\n{name} = {package}\n")
        importlib.invalidate_caches()

    def write(self, more: str = "") -> None:
        """The tables of the code."""
        (self.folder / self.name / "tables").mkdir(parents=True, exist_ok=True)
        (self.folder / self.name / "__init__.py").touch()
        (self.folder / self.name / "tables" / "__init__.py").write_text(TABLES.format(more=more))
        for module in [one for one in sys.modules if one.partition(".")[0] == self.name]:
            del sys.modules[module]
        importlib.invalidate_caches()


@pytest.fixture
def package(tmp_path: Path, own_database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("DATABASE_URI", own_database.uri)
    monkeypatch.setattr(schema, "_current", set())
    settings.cache_clear()
    made = Package(tmp_path, "bulkco")
    made.write()
    made.declare("bulkco", "bulkco.tables")
    yield made
    monkeypatch.undo()
    settings.cache_clear()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["db", *arguments])


def columns(database: SubscriptionDatabase) -> set[str]:
    return {one["name"] for one in sa.inspect(database.engine).get_columns("bulkco_customers")}


def test_its_tables_live_from_the_first_migration_to_a_column_more(
    package: Package, own_database: SubscriptionDatabase
) -> None:
    """Written from METADATA, applied and compared by the commands that do so for ours."""
    assert call("check").exit_code == 1
    written = call("own", "revision", "bulkco", "customers")
    assert "versions/bulkco_0001_customers.py is written" in written.output.replace("\n", "")
    assert "bulkco: none yet" in call("current").output.replace("Tables of '", "").replace("'", "")
    assert "at revision bulkco_0001" in call("upgrade").output
    assert [call(name).exit_code for name in ("current", "check", "upgrade")] == [0, 0, 0]
    with own_database.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO bulkco_customers VALUES ('acme')"))

    package.write(', sa.Column("city", sa.Text)')
    assert "city" in call("check").output
    call("own", "revision", "bulkco", "city")
    call("upgrade")
    assert columns(own_database) == {"customer_id", "city"}
    assert call("own", "downgrade", "bulkco", "bulkco_0001", "--yes").exit_code == 0
    with own_database.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT * FROM bulkco_customers")).all() == [("acme",)]
    assert "SchemaOutOfDate" not in str(schema.check(own_database))


def test_code_does_not_start_before_its_tables_are_migrated(
    package: Package, own_database: SubscriptionDatabase
) -> None:
    call("own", "revision", "bulkco", "customers")
    with pytest.raises(SchemaOutOfDate, match="tables of 'bulkco' are not up to date"):
        schema.ensure_current(own_database)
    call("upgrade")
    schema.ensure_current(own_database)


def test_the_embedded_database_is_migrated_by_itself(
    package: Package, own_database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("own", "revision", "bulkco", "customers")
    monkeypatch.setattr(SubscriptionDatabase, "is_embedded", True)
    schema.ensure_current(own_database)
    assert columns(own_database) == {"customer_id"}


@pytest.mark.parametrize(
    ("name", "place", "sentence"),
    [
        ("schema", "bulkco.tables", "needs another name"),
        ("alembic", "bulkco.tables", "needs another name"),
        ("Bulk Co", "bulkco.tables", "needs another name"),
        ("bulkco", "bulkco.nowhere", "which is no package here"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_a_sentence(
    package: Package, name: str, place: str, sentence: str
) -> None:
    package.declare(name, place)
    result = call("upgrade")
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_migrations_with_two_ends_and_unknown_names_are_sentences(package: Package) -> None:
    call("own", "revision", "bulkco", "customers")
    first = next((package.folder / "bulkco" / "tables" / "versions").glob("bulkco_0001*"))
    first.with_name("other.py").write_text(first.read_text().replace("bulkco_0001", "other"))
    with pytest.raises(SettingsError, match="let one follow the other"):
        _ = OwnTables("bulkco", "bulkco.tables").head
    assert "No installed package declares tables 'x'" in call("own", "revision", "x", "m").output
