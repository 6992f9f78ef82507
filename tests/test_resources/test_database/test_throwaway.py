"""A database that serves one test after the other is as new for each of them."""

from collections.abc import Iterator
from threading import Timer

import psycopg
import pytest
import sqlalchemy as sa

from resources.catalogue import catalogue
from resources.catalogue.catalogue import Catalogue
from resources.database import schema, throwaway
from resources.database.embedded import EmbeddedServer
from resources.database.session import SubscriptionDatabase
from resources.database.throwaway import KeptDatabase
from resources.errors import CatalogueOutOfDate
from resources.subscriptions.queries import find_product
from tests.test_resources.test_domain.domain import DeviceInactive
from tests.test_resources.test_domain.samples import product, subscribe


@pytest.fixture
def declared() -> Catalogue:
    """A catalogue of one product."""
    return Catalogue([product(DeviceInactive, "Kept")])


@pytest.fixture
def kept(server: EmbeddedServer, declared: Catalogue) -> Iterator[KeptDatabase]:
    """One of the test's own, so that it may be spoiled, with a catalogue from the beginning."""

    def fill(database: SubscriptionDatabase) -> None:
        with database.transaction():
            declared.apply()

    kept = KeptDatabase(server, fill=fill)
    yield kept
    kept.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that does not end is not waited for."""
    monkeypatch.setattr(throwaway, "SESSION_SECONDS", 0.0)


def count(database: SubscriptionDatabase, table: str) -> int:
    """How many rows a table has."""
    with database.engine.connect() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


def commit(database: SubscriptionDatabase, *statements: str) -> None:
    """Do something that stays."""
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def plain(database: SubscriptionDatabase) -> psycopg.Connection:
    """A session outside the pool."""
    return psycopg.connect(database.uri, application_name="culprit")


def test_rows_of_the_beginning_come_back_and_others_go(kept: KeptDatabase, declared: Catalogue) -> None:
    database = kept.database
    commit(database, "DELETE FROM product_product_blocks", "UPDATE products SET description = 'Changed'")
    with database.transaction():
        subscribe(find_product("Kept").product_id)

    assert kept.restore() == ""

    assert kept.database is database
    assert count(database, "product_product_blocks") == 1
    assert count(database, "subscriptions") == 0
    assert count(database, "products WHERE description = 'Changed'") == 0
    with database.transaction(read_only=True):
        assert declared.is_current()


def test_tables_that_a_test_makes_are_emptied(kept: KeptDatabase) -> None:
    database = kept.database
    commit(database, "CREATE SCHEMA more", "CREATE TABLE more.things AS SELECT 1 AS one")
    assert kept.restore() == ""
    assert kept.database is database
    assert count(database, "more.things") == 0


def test_large_tables_are_emptied_like_small_ones(
    kept: KeptDatabase, declared: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throwaway, "BLOATED_BYTES", 0)
    kept.replace()
    assert kept.restore() == ""
    with kept.database.transaction(read_only=True):
        assert declared.is_current()


def test_changed_schema_costs_the_database_its_place(kept: KeptDatabase) -> None:
    spoiled = kept.database
    schema.downgrade(spoiled, "base")
    assert kept.restore() == ""
    assert kept.database is not spoiled
    assert not schema.check(kept.database)


def test_killed_sessions_cost_the_database_its_place(kept: KeptDatabase) -> None:
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    commit(kept.database, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    assert kept.restore() == ""
    assert count(kept.database, "products") == 1


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("statement", ["LOCK TABLE processes", "SELECT pg_advisory_xact_lock(1)"])
def test_open_transaction_is_described_and_harms_nobody(kept: KeptDatabase, statement: str) -> None:
    with plain(kept.database) as culprit:
        culprit.execute(statement)
        said = kept.restore()
        assert "culprit, idle in transaction" in said
        assert statement in said
        assert count(kept.database, "processes") == 0
        culprit.close()


@pytest.mark.usefixtures("soon")
def test_advisory_lock_that_is_held_is_described(kept: KeptDatabase) -> None:
    with plain(kept.database) as culprit:
        culprit.autocommit = True
        culprit.execute("SELECT pg_advisory_lock(1)")
        assert "culprit, idle" in kept.restore()
        culprit.close()


def test_session_that_ends_in_time_is_waited_for(kept: KeptDatabase) -> None:
    database = kept.database
    culprit = plain(database)
    culprit.execute("LOCK TABLE processes")
    timer = Timer(0.1, culprit.close)
    timer.start()
    assert kept.restore() == ""
    assert kept.database is database
    timer.join()


def test_forgotten_catalogue_is_looked_for_again(kept: KeptDatabase, declared: Catalogue) -> None:
    declared.ensure_current(kept.database)
    commit(kept.database, "UPDATE engine_settings SET catalogue_hash = NULL", "DELETE FROM product_product_blocks")
    declared.ensure_current(kept.database)
    catalogue.forget(kept.database)
    with pytest.raises(CatalogueOutOfDate):
        declared.ensure_current(kept.database)
