"""`orchestrator db`: what it prints and how it exits."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli.db import db
from resources.database import schema
from resources.database.session import SubscriptionDatabase
from resources.settings import settings


@pytest.fixture
def yours(database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch) -> SubscriptionDatabase:
    """The test's database as the server that DATABASE_URI names."""
    monkeypatch.setenv("DATABASE_URI", database.uri)
    monkeypatch.setattr(schema, "_current", set())
    settings.cache_clear()
    return database


@pytest.fixture(autouse=True)
def forget_settings() -> Iterator[None]:
    """Each test reads its own environment."""
    yield
    settings.cache_clear()


def call(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(db, arguments, input=answer)


def test_current_of_an_up_to_date_database_succeeds(yours: SubscriptionDatabase) -> None:
    result = call("current")
    assert result.exit_code == 0
    assert "(up to date)" in result.output


def test_current_of_an_empty_database_says_what_to_run(yours: SubscriptionDatabase) -> None:
    schema.downgrade(yours, "base")
    result = call("current")
    assert result.exit_code == 1
    assert "run `orchestrator db upgrade`" in result.output


def test_upgrade_may_run_twice(yours: SubscriptionDatabase) -> None:
    schema.downgrade(yours, "base")
    assert f"from revision none to {schema.head()}" in call("upgrade").output
    assert "already" in call("upgrade").output


def test_downgrade_asks(yours: SubscriptionDatabase) -> None:
    assert call("downgrade", "base", answer="n\n").exit_code == 1
    assert schema.current(yours) == schema.head()
    assert call("downgrade", "base", "--yes").exit_code == 0
    assert schema.current(yours) is None


def test_history_marks_the_databases_revision(yours: SubscriptionDatabase) -> None:
    assert f"* {schema.head()}" in call("history").output


def test_check_fails_naming_each_difference(yours: SubscriptionDatabase) -> None:
    assert call("check").exit_code == 0
    with yours.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE subscriptions DROP COLUMN note")
    result = call("check")
    assert result.exit_code == 1
    assert "column subscriptions.note is missing" in result.output


def test_reset_asks_and_empties(yours: SubscriptionDatabase) -> None:
    with yours.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO engine_settings DEFAULT VALUES")
    assert call("reset", answer="n\n").exit_code == 1
    assert call("reset", "--yes").exit_code == 0
    with yours.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM engine_settings").scalar() == 0


def test_an_unreachable_database_is_a_line_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URI", "postgresql://noc:secret@127.0.0.1:1/core")
    settings.cache_clear()
    result = call("current")
    assert result.exit_code == 1
    assert result.output.startswith("Error: PostgreSQL does not answer: database core on 127.0.0.1")
    assert "secret" not in result.output


@pytest.mark.parametrize("name", ["migrate-domain-models", "migrate-workflows", "migrate-tasks", "revision"])
def test_a_command_of_orchestrator_core_that_has_gone_says_in_a_sentence_what_replaces_it(name: str) -> None:
    result = call(name, "Add a field", "--test", "-x")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert f"`db {name}`" in result.output and "orchestrator catalogue plan" in result.output


@pytest.mark.parametrize("name", ["init", "merge"])
def test_a_command_of_orchestrator_core_that_is_not_needed_says_why(name: str) -> None:
    result = call(name)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)


@pytest.mark.usefixtures("yours")
def test_the_names_of_orchestrator_core_that_still_mean_something_work() -> None:
    assert call("upgrade", "heads").exit_code == 0
    assert call("history", "-v", "-c").exit_code == 0
    assert call("downgrade", "-1", "--yes").exit_code == 0
    assert call("heads").output == f"{schema.head()} (head)\n"
