"""The schema: migrated up and down, compared with the models, never behind the code's back."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from resources.database import schema
from resources.database.session import StatementCount, SubscriptionDatabase
from resources.database.tables import Table
from resources.errors import SchemaOutOfDate

pytestmark = pytest.mark.usefixtures("own_database")  # its schema is changed

CONSTRAINTS = sa.text(
    "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace ORDER BY conname"
)

FUNCTIONS = sa.text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not looked at any schema yet."""
    monkeypatch.setattr(schema, "_current", set())


def execute(database: SubscriptionDatabase, statement: str) -> None:
    with database.transaction() as session:
        session.execute(sa.text(statement))


def test_a_migrated_database_is_as_the_models_say(database: SubscriptionDatabase) -> None:
    assert schema.check(database) == []


def test_the_check_constraints_are_there(database: SubscriptionDatabase) -> None:
    declared = {
        f"ck_{table.name}_{constraint.name}".replace(f"ck_{table.name}_ck_{table.name}_", f"ck_{table.name}_")
        for table in Table.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint)
    }
    with database.transaction() as session:
        assert set(session.scalars(CONSTRAINTS)) == declared


def test_the_indexes_are_as_if_made_from_the_models(database: SubscriptionDatabase) -> None:
    definitions = sa.text(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = :schema AND tablename <> 'schema_version'"
    )
    with database.engine.begin() as connection:
        migrated = set(connection.scalars(definitions, {"schema": "public"}))
        connection.execute(sa.text("CREATE SCHEMA models"))
        connection.execute(sa.text("SET LOCAL search_path TO models, public"))  # which has the functions of indexes
        Table.metadata.create_all(connection, checkfirst=False)
        declared = set(connection.scalars(definitions, {"schema": "models"}))
        connection.rollback()
    assert migrated == {re.sub(r"\bmodels\.", "public.", definition) for definition in declared}


def test_down_to_base_leaves_nothing_and_up_again_everything(database: SubscriptionDatabase) -> None:
    schema.downgrade(database, "base")
    assert sa.inspect(database.engine).get_table_names() == [schema.VERSION_TABLE]
    assert schema.current(database) is None
    with database.transaction() as session:
        assert list(session.scalars(FUNCTIONS)) == []
    schema.upgrade(database)
    assert schema.check(database) == []


def test_a_difference_is_told_in_words(database: SubscriptionDatabase) -> None:
    execute(database, "ALTER TABLE subscriptions DROP COLUMN note")
    execute(database, "DROP TABLE saved_queries")
    assert schema.check(database) == ["table saved_queries is missing", "column subscriptions.note is missing"]


def test_a_column_too_many_and_a_changed_one_are_differences(database: SubscriptionDatabase) -> None:
    execute(database, "ALTER TABLE processes ADD COLUMN colour text, ALTER COLUMN run_id SET NOT NULL")
    assert set(schema.check(database)) == {
        "column processes.colour should not be there",
        "processes.run_id: nullable is False, expected True",
    }


def test_a_trigger_that_is_missing_or_switched_off_is_a_difference(database: SubscriptionDatabase) -> None:
    execute(database, "DROP TRIGGER tell_update ON processes")
    execute(database, "ALTER TABLE schedules DISABLE TRIGGER tell_insert")
    assert schema.check(database) == [
        "trigger processes.tell_update is missing",
        "trigger schedules.tell_insert is missing",
    ]


def test_tables_of_others_are_no_difference(database: SubscriptionDatabase) -> None:
    execute(database, "CREATE TABLE stock (id int)")
    execute(database, "CREATE SCHEMA lab")
    execute(database, "CREATE TABLE lab.devices (id int)")
    assert schema.check(database) == []


def test_reset_empties_a_broken_schema_and_leaves_tables_of_others(database: SubscriptionDatabase) -> None:
    execute(database, "INSERT INTO engine_settings DEFAULT VALUES")
    execute(database, "DROP TABLE saved_queries; CREATE TABLE stock (id int)")
    schema.reset(database)
    assert schema.check(database) == []
    with database.transaction() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM engine_settings")) == 0
        assert session.scalar(sa.text("SELECT count(*) FROM stock")) == 0


def test_a_current_schema_costs_one_statement_once(database: SubscriptionDatabase, statements: StatementCount) -> None:
    schema.ensure_current(database)
    schema.ensure_current(database)
    assert statements.count == 1


def test_your_server_is_not_migrated_behind_your_back(database: SubscriptionDatabase) -> None:
    schema.downgrade(database, "base")
    with pytest.raises(SchemaOutOfDate, match=r"has no schema yet.*Run `orchestrator db upgrade`"):
        schema.ensure_current(database)
    assert schema.current(database) is None


def test_a_newer_database_is_refused(database: SubscriptionDatabase) -> None:
    execute(database, "UPDATE schema_version SET version_num = '9999'")
    with pytest.raises(SchemaOutOfDate, match="revision 9999, which this version does not know"):
        schema.ensure_current(database)


def test_the_embedded_database_is_migrated_by_itself(
    database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.downgrade(database, "base")
    monkeypatch.setattr(SubscriptionDatabase, "is_embedded", True)
    with ThreadPoolExecutor(4) as four:
        for done in [four.submit(schema.ensure_current, database) for _ in range(4)]:
            done.result()
    assert schema.check(database) == []


def test_an_unknown_revision_is_refused_by_name(database: SubscriptionDatabase) -> None:
    with pytest.raises(SchemaOutOfDate, match="'nope'"):
        schema.upgrade(database, "nope")


def test_every_revision_has_a_description() -> None:
    assert all(revision.description for revision in schema.history())
    assert schema.history()[-1].revision == schema.head()


def test_the_migrations_lie_in_the_package() -> None:
    assert (Path(schema.__file__).parents[1] / "migrations" / "env.py").is_file()
