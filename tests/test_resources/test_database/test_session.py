"""The subscription database: transactions, URIs, errors."""

from collections.abc import Callable
from contextlib import ExitStack

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from resources.database.session import (
    StatementCount,
    SubscriptionDatabase,
    commit_with_each_statement,
    current_session,
    place,
    postgres_url,
)
from resources.database.tables import EngineSettingsTable
from resources.errors import DatabaseFull, DatabaseUnreachable, NoTransaction, SettingsError, TransactionReadsOnly


def count(database: SubscriptionDatabase) -> int:
    with database.transaction() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(EngineSettingsTable)) or 0


def test_a_transaction_commits_at_its_end(database: SubscriptionDatabase) -> None:
    with database.transaction() as session:
        session.add(EngineSettingsTable())
    assert count(database) == 1


def test_an_error_rolls_the_transaction_back(database: SubscriptionDatabase) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        session.add(EngineSettingsTable())
        session.flush()
        raise ZeroDivisionError
    assert count(database) == 0


def test_an_inner_transaction_joins_the_outer(database: SubscriptionDatabase) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as outer:
        with database.transaction() as inner:
            inner.add(EngineSettingsTable())
            assert inner is outer
        raise ZeroDivisionError
    assert count(database) == 0


def test_another_database_is_not_joined(database: SubscriptionDatabase, server: object) -> None:
    other = SubscriptionDatabase(
        uri=database.uri.rpartition("?")[0].rpartition("/")[0] + "/postgres?" + database.uri.partition("?")[2]
    )
    with database.transaction() as outer, other.transaction() as inner:
        assert inner is not outer
        assert current_session() is inner
    other.dispose()


def test_the_current_session_is_that_of_the_transaction(database: SubscriptionDatabase) -> None:
    with database.transaction() as session:
        assert current_session() is session
    with pytest.raises(NoTransaction):
        current_session()


def test_a_transaction_that_is_not_used_sends_nothing() -> None:
    with SubscriptionDatabase(uri="postgresql://nobody@127.0.0.1:1/none").transaction():
        pass


def test_a_read_only_transaction_cannot_write(database: SubscriptionDatabase) -> None:
    with (
        pytest.raises(TransactionReadsOnly),
        database.transaction(read_only=True) as session,
    ):
        session.add(EngineSettingsTable())
        session.flush()


def test_read_only_costs_no_statement(database: SubscriptionDatabase, statements: StatementCount) -> None:
    with database.transaction(read_only=True) as session:
        session.execute(sa.text("SELECT 1"))
    assert statements.statements == ["SELECT 1"]


def test_read_only_ends_with_the_transaction(database: SubscriptionDatabase) -> None:
    with database.transaction(read_only=True) as session:
        session.execute(sa.text("SELECT 1"))
    with database.transaction() as session:
        session.add(EngineSettingsTable())
    assert count(database) == 1


def test_a_statement_alone_commits_by_itself(database: SubscriptionDatabase) -> None:
    with pytest.raises(ZeroDivisionError), database.statements() as session:
        session.execute(sa.insert(EngineSettingsTable))
        raise ZeroDivisionError
    assert count(database) == 1


def test_a_statement_alone_is_one_round_trip(database: SubscriptionDatabase, round_trips: list[str]) -> None:
    count(database)
    round_trips.clear()
    with database.statements() as session:
        session.execute(sa.text("SELECT 1"))
    assert len(round_trips) == 1


def test_in_a_transaction_no_statement_commits_by_itself(database: SubscriptionDatabase) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        session.execute(sa.text("SELECT 1"))
        with database.statements():
            session.execute(sa.insert(EngineSettingsTable))
        raise ZeroDivisionError
    assert count(database) == 0


def test_the_last_statement_belongs_to_what_was_sent_before_it(database: SubscriptionDatabase) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        session.add(EngineSettingsTable())
        commit_with_each_statement()
        session.flush()
        raise ZeroDivisionError
    assert count(database) == 0


def test_a_connection_used_for_a_statement_alone_serves_transactions_again(database: SubscriptionDatabase) -> None:
    with database.statements() as session:
        process = session.scalar(sa.text("SELECT pg_backend_pid()"))
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        assert session.scalar(sa.text("SELECT pg_backend_pid()")) == process
        session.execute(sa.insert(EngineSettingsTable))
        raise ZeroDivisionError
    assert count(database) == 0


def test_times_are_utc(session: Session) -> None:
    assert session.scalar(sa.text("SHOW timezone")) == "UTC"


def test_the_server_answers_each_question_with_one_process(session: Session) -> None:
    assert session.scalar(sa.text("SHOW max_parallel_workers_per_gather")) == "0"


def test_the_engine_is_made_once(database: SubscriptionDatabase) -> None:
    assert SubscriptionDatabase(uri=database.uri).engine is database.engine


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_every_scheme_serves_every_driver(scheme: str, driver: str) -> None:
    assert (
        postgres_url(f"{scheme}://u:p@h:5433/d", driver).render_as_string(False)
        == f"postgresql+{driver}://u:p@h:5433/d"
    )


@pytest.mark.parametrize("uri", ["mysql://u:secret@h/d", "u:secret@h", "postgresql://u:secret@h:port/d", "secret"])
def test_an_unusable_uri_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(SettingsError, match="expected postgresql://") as refusal:
        postgres_url(uri, "psycopg")
    assert "secret" not in str(refusal.value)


def test_a_place_hides_the_password() -> None:
    assert place(postgres_url("postgresql://u:secret@h:5433/d", "psycopg")) == "database d on h, port 5433"


def test_an_unreachable_database_is_named_without_its_password() -> None:
    database = SubscriptionDatabase(uri="postgresql://noc:secret@127.0.0.1:1/core")
    with pytest.raises(DatabaseUnreachable) as refusal, database.transaction() as session:
        session.execute(sa.text("SELECT 1"))
    message = str(refusal.value)
    assert "database core on 127.0.0.1, port 1, user noc" in message
    assert "DATABASE_URI" in message
    assert "secret" not in message


def test_a_missing_database_is_named(database: SubscriptionDatabase) -> None:
    missing = SubscriptionDatabase(uri=database.uri.replace("test_", "missing_"))
    with pytest.raises(DatabaseUnreachable, match="does not exist"), missing.transaction() as session:
        session.execute(sa.text("SELECT 1"))


def test_an_error_does_not_repeat_what_was_written(session: Session) -> None:
    with pytest.raises(DBAPIError) as error:
        session.execute(sa.text("SELECT CAST(:secret AS text) + 1"), {"secret": "sesame"})
    assert "sesame" not in str(error.value)


def test_a_connection_in_use_is_not_tried(database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    count(database)
    monkeypatch.setattr(database.engine.dialect, "do_ping", tried.append)
    count(database)
    assert tried == []


def test_a_connection_that_was_idle_is_tried(database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    count(database)
    monkeypatch.setattr("resources.database.session.IDLE_SECONDS", 0.0)
    monkeypatch.setattr(database.engine.dialect, "do_ping", tried.append)
    count(database)
    assert len(tried) == 1


def test_an_idle_connection_that_was_lost_is_replaced(
    database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(database)
    with psycopg.connect(database.uri) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    monkeypatch.setattr("resources.database.session.IDLE_SECONDS", 0.0)
    assert count(database) == 0


@pytest.mark.parametrize(("kept", "number"), [(None, 5), (8, 8)])
def test_connections_that_many_threads_use_are_kept_on_request(
    database: SubscriptionDatabase, kept: int | None, number: int
) -> None:
    if kept is not None:
        database.keep_connections(kept)
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(database.engine.connect())
    assert database.engine.pool.checkedin() == number  # type: ignore[attr-defined]


def test_steps_take_it_as_the_database() -> None:
    assert SubscriptionDatabase.resource_key == "database"


def test_an_advisory_lock_lets_one_in(database: SubscriptionDatabase) -> None:
    ours = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    probe = sa.text(f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND {ours}")
    with database.advisory_lock("schema"), database.engine.connect() as connection:
        assert connection.scalar(probe) == 1
    with database.engine.connect() as connection:
        assert connection.scalar(probe) == 0


def test_a_forked_child_has_connections_of_its_own(database: SubscriptionDatabase, forked: Callable[..., int]) -> None:
    assert count(database) == 0
    assert forked(lambda: count(database)) == 0
    assert count(database) == 0


@pytest.mark.parametrize("code", ["53100", "53200"], ids=["disk", "memory"])
def test_a_full_server_is_no_fault_of_the_request(database: SubscriptionDatabase, code: str) -> None:
    """The API answers 503, and a process continues later."""
    full = f"DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{code}'; END $$"
    with pytest.raises(DatabaseFull, match="no room left"), database.transaction() as session:
        session.execute(sa.text(full))
