"""A server that is hung, while its machine's kernel answers, holds nobody for long."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa

from resources.database import hung_server
from resources.database.session import SubscriptionDatabase
from resources.errors import DatabaseUnreachable
from resources.runs.dispatch import Dispatch
from resources.runs.storage.pool import pooled_engine
from resources.updates import change_feed
from resources.updates.change_feed import ChangeFeed

BOUND = 15.0
"""Far longer than the limits of these tests; a wait without a limit never ends."""


class Line:
    """A way to a server over TCP that can freeze: its kernel accepts and acknowledges, and no answer comes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.is_open = threading.Event()
        self.is_open.set()
        self.sockets = [self.listener]
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.sockets.append(client)
                self.is_open.wait()
                server = socket.socket(socket.AF_UNIX)
                self.sockets.append(server)
                server.connect(self.path)
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while some := one.recv(65536):
                self.is_open.wait()
                other.sendall(some)
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.is_open.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.accepting.join()  # else it may open one more behind our back
        for one in self.sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def line(database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A line to the database's server, and short limits."""
    monkeypatch.setattr(hung_server, "_silent", 0.3)
    monkeypatch.setattr(hung_server, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(hung_server, "PROBE_SECONDS", 2)
    with closing(Line(f"{database.url.query['host']}/.s.PGSQL.5432")) as line:
        yield line


@pytest.fixture
def distant(database: SubscriptionDatabase, line: Line) -> Iterator[SubscriptionDatabase]:
    """The database at the end of the line."""
    url = database.url.set(host="127.0.0.1", port=line.port, query={})
    distant = SubscriptionDatabase(url.render_as_string(hide_password=False))
    yield distant
    line.is_open.set()
    distant.dispose()


def count(database: SubscriptionDatabase) -> Any:
    with database.transaction() as session:
        return session.scalar(sa.text("SELECT count(*) FROM processes"))


@pytest.mark.slow
def test_a_statement_on_a_hung_server_ends_and_the_pool_recovers(distant: SubscriptionDatabase, line: Line) -> None:
    assert count(distant) == 0
    line.is_open.clear()
    began = time.monotonic()
    with pytest.raises(DatabaseUnreachable, match="was lost"):
        count(distant)
    assert time.monotonic() - began < BOUND
    line.is_open.set()
    assert count(distant) == 0


@pytest.mark.slow
def test_a_commit_on_a_hung_server_ends(distant: SubscriptionDatabase, line: Line) -> None:
    began = time.monotonic()
    with pytest.raises(DatabaseUnreachable), distant.transaction() as session:
        session.execute(sa.text("UPDATE engine_settings SET global_lock = true"))
        line.is_open.clear()
    assert time.monotonic() - began < BOUND


@pytest.mark.slow
def test_dagsters_statement_on_a_hung_server_ends(database: SubscriptionDatabase, line: Line) -> None:
    url = database.url.set(drivername="postgresql+psycopg2", host="127.0.0.1", port=line.port, query={})
    engine = pooled_engine(url.render_as_string(hide_password=False), 1)
    try:
        with engine.connect() as connection, pytest.raises(sa.exc.OperationalError):
            line.is_open.clear()
            connection.execute(sa.text("SELECT 1"))
        line.is_open.set()
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1
    finally:
        engine.dispose()


@pytest.mark.slow
def test_the_session_of_a_liveness_lock_on_a_hung_server_ends(
    database: SubscriptionDatabase, dagster_instance: dg.DagsterInstance, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch = Dispatch(dagster_instance)
    url = database.url.set(drivername="postgresql", host="127.0.0.1", port=line.port, query={})
    monkeypatch.setattr(dispatch._storage, "postgres_url", url.render_as_string(hide_password=False))
    session = dispatch.connect()
    line.is_open.clear()
    with pytest.raises(psycopg.OperationalError):
        dispatch.beat(1, session)
    session.close()


@pytest.mark.slow
def test_live_updates_on_a_hung_server_begin_again(
    distant: SubscriptionDatabase, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "PING_SECONDS", 0.1)
    monkeypatch.setattr(change_feed, "ANSWER_SECONDS", 0.3)

    async def story() -> None:
        changes = ChangeFeed(distant).changes()
        await anext(changes)
        line.is_open.clear()
        following = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(1)
        line.is_open.set()
        assert (await following).subject == change_feed.Subject.EVERYTHING
        await changes.aclose()

    asyncio.run(asyncio.wait_for(story(), BOUND))


def test_a_slow_statement_of_a_server_that_answers_may_take_its_time(distant: SubscriptionDatabase) -> None:
    with distant.transaction() as session:
        assert session.scalar(sa.text("SELECT 7 FROM pg_sleep(1)")) == 7


def test_an_answer_in_words_is_an_answer(distant: SubscriptionDatabase) -> None:
    def refuse(**_: int) -> None:
        raise psycopg.OperationalError("FATAL: sorry, too many clients already")

    assert hung_server._answers(hung_server._Watched("", refuse, 0.0))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_has_one_thread_and_watches_connections_of_its_own(distant: SubscriptionDatabase) -> None:
    count(distant)
    assert hung_server._thread is not None
    if (child := os.fork()) == 0:
        os._exit(10 * len(hung_server._watched) + (hung_server._thread is not None))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert hung_server._thread is None
    count(distant)
    assert hung_server._thread.is_alive()
