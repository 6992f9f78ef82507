"""The plugin gives each test a database as new, whatever the test before did to it."""

from collections.abc import Iterator

import psycopg
import pytest

from resources.database import throwaway
from resources.database.embedded import EmbeddedServer
from resources.database.session import SubscriptionDatabase
from resources.database.throwaway import KeptDatabase
from resources.testing import FAILED, restore


@pytest.fixture
def database_kept(server: EmbeddedServer) -> Iterator[KeptDatabase]:
    """A database of the test's own, as if it were the worker's."""
    kept = KeptDatabase(server)
    yield kept
    kept.close()


def test_who_leaves_a_session_open_fails_by_name(
    database_kept: KeptDatabase, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throwaway, "SESSION_SECONDS", 0.0)
    with psycopg.connect(database_kept.database.uri) as session:
        session.execute("LOCK TABLE processes")
        with pytest.raises(pytest.fail.Exception, match=r"::test_who_leaves_a_session_open.*LOCK TABLE processes"):
            restore(database_kept, request)
        session.close()


def test_who_fails_costs_the_database_its_place(database_kept: KeptDatabase, request: pytest.FixtureRequest) -> None:
    doubtful = database_kept.database
    request.node.stash[FAILED] = True
    restore(database_kept, request)
    del request.node.stash[FAILED]
    assert database_kept.database is not doubtful


def test_own_database_is_the_database(own_database: SubscriptionDatabase, database: SubscriptionDatabase) -> None:
    assert database is own_database
