"""What the database tells at a commit, and how a server hears it."""

import asyncio
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from resources.database import embedded, schema
from resources.database.session import SubscriptionDatabase
from resources.database.tables import CHANNEL, ProcessTable, SubscriptionTable, Table
from resources.updates import change_feed
from resources.updates.change_feed import APPLICATION, Change, ChangeFeed, Subject, change_of
from tests.test_resources.test_database.own_server import OwnServer, server_of_its_own

Told = Callable[[], set[str]]


class Scene:
    """Rows to change, by somebody who is not the engine."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.connection = connection
        self.workflow, self.product = uuid4(), uuid4()
        self.do(
            "INSERT INTO workflows (workflow_id, name, target, description) VALUES (%s, 'w', 'SYSTEM', '')",
            self.workflow,
        )
        self.do(
            "INSERT INTO products (product_id, name, description, product_type, tag, status)"
            " VALUES (%s, 'Node', '', 'Node', 'N', 'active')",
            self.product,
        )
        self.process, self.subscription = self.new_process(), self.new_subscription()
        self.do("INSERT INTO processes_subscriptions VALUES (%s, %s)", self.process, self.subscription)

    def do(self, statement: str, *values: Any) -> None:
        """Execute it; committed with it, outside a transaction."""
        self.connection.execute(statement, values)  # type: ignore[call-overload]

    def new_process(self, count: int = 1) -> UUID:
        """So many processes, in one statement; the last."""
        ids = [uuid4() for _ in range(count)]
        self.do(
            "INSERT INTO processes (process_id, workflow_id, last_status, step_keys)"
            " SELECT id, %s, 'created', '[]' FROM unnest(%s::uuid[]) AS id",
            self.workflow,
            ids,
        )
        return ids[-1]

    def new_subscription(self) -> UUID:
        """A subscription."""
        new = uuid4()
        self.do(
            "INSERT INTO subscriptions (subscription_id, product_id, customer_id, description, status, insync)"
            " VALUES (%s, %s, 'c', '', 'active', true)",
            new,
            self.product,
        )
        return new


@pytest.fixture
def scene(database: SubscriptionDatabase) -> Iterator[Scene]:
    with psycopg.connect(_uri(database), autocommit=True) as connection:
        yield Scene(connection)


@pytest.fixture
def told(scene: Scene) -> Iterator[Told]:
    """What was sent since the fixture was made, or since it was asked."""
    with psycopg.connect(_uri_of(scene.connection), autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")

        def ask() -> set[str]:
            scene.do("SELECT pg_notify(%s, 'the end')", CHANNEL)
            payloads = []
            for notice in listener.notifies(timeout=100):
                if notice.payload == "the end":
                    break
                payloads.append(notice.payload)
            assert len(payloads) == len(set(payloads))
            return set(payloads)

        yield ask


def _uri(database: SubscriptionDatabase) -> str:
    return database.url.set(drivername="postgresql").render_as_string(hide_password=False)


def _uri_of(connection: "psycopg.Connection[Any]") -> str:
    return psycopg.conninfo.make_conninfo(**connection.info.get_parameters())


# --- what is sent ---


def test_a_step_is_told_with_its_process_alone(scene: Scene, told: Told) -> None:
    scene.do("UPDATE processes SET last_step = 'next', last_modified_at = now() WHERE process_id = %s", scene.process)
    assert told() == {f"process {scene.process}"}


def test_another_status_is_told_with_the_counts_and_the_linked_subscriptions(scene: Scene, told: Told) -> None:
    scene.do("UPDATE processes SET last_status = 'running' WHERE process_id = %s", scene.process)
    assert told() == {f"process {scene.process}", "counts", f"details {scene.subscription}"}


def test_a_paused_engine_that_comes_to_rest_is_told(scene: Scene, told: Told) -> None:
    scene.do("UPDATE processes SET last_status = 'running' WHERE process_id = %s", scene.process)
    scene.do("INSERT INTO engine_settings (global_lock) VALUES (false)")
    scene.do("UPDATE engine_settings SET global_lock = true")
    assert "engine" in told()
    scene.do("UPDATE processes SET last_status = 'waiting' WHERE process_id = %s", scene.process)
    assert "engine" in told()
    scene.do("UPDATE processes SET last_status = 'suspended' WHERE process_id = %s", scene.process)
    scene.do("UPDATE engine_settings SET catalogue_hash = '{}', global_lock = global_lock")
    assert "engine" not in told()


@pytest.mark.parametrize(
    "change",
    ["status = 'terminated'", "insync = false", "description = 'x'", "note = 'x'", "version = 2", "end_date = now()"],
)
def test_what_shows_of_a_subscription_is_told(scene: Scene, told: Told, change: str) -> None:
    scene.do(f"UPDATE subscriptions SET {change} WHERE subscription_id = %s", scene.subscription)
    assert told() == {f"subscription {scene.subscription}"}


def test_what_does_not_show_is_not_told(scene: Scene, told: Told) -> None:
    scene.do("UPDATE subscriptions SET search = NULL, status = status")
    scene.do("UPDATE processes SET recoveries = 1, generation = 2")
    scene.do("UPDATE products SET status = status")
    scene.do("UPDATE processes SET note = 'x' WHERE false")
    scene.do(
        "INSERT INTO processes_subscriptions SELECT process_id, subscription_id FROM processes_subscriptions"
        " ON CONFLICT DO NOTHING"
    )
    assert told() == set()


@pytest.mark.parametrize(
    ("table", "function", "hidden"),
    [
        (
            ProcessTable,
            "tell_of_changed_processes",
            {"process_id", "step_keys", "recoveries", "generation", "parent_process_id", "idempotency_key", "asked"}
            | {"location", "storage"},
        ),
        (
            SubscriptionTable,
            "tell_of_changed_subscriptions",
            {"subscription_id", "document", "search", "created_at", "out_of_sync_by"},
        ),
    ],
)
def test_of_each_column_it_is_decided_whether_it_shows(
    scene: Scene, table: type[Table], function: str, hidden: set[str]
) -> None:
    """A new one is notified of, or is here: the document changes with the version, the owner of the mark with the
    mark, and the rest never or unseen.
    """
    row = scene.connection.execute("SELECT prosrc FROM pg_proc WHERE proname = %s", (function,)).fetchone()
    assert row is not None
    compared = set(re.findall(r"before\.(\w+)[,)]", row[0].partition("IS DISTINCT")[0].rpartition("WHERE (")[2]))
    assert compared | hidden == {column.name for column in table.__table__.columns}
    assert not compared & hidden


def test_progress_of_a_callback_is_told_with_its_process(scene: Scene, told: Told) -> None:
    scene.do("INSERT INTO process_waits (process_id, step_key, kind) VALUES (%s, 's', 'callback')", scene.process)
    assert told() == set()
    scene.do("UPDATE process_waits SET progress = '{\"done\": 5}'")
    assert told() == {f"process {scene.process}"}


def test_links_and_descriptions_and_metadata_are_told(scene: Scene, told: Told) -> None:
    other = scene.new_process()
    told()
    scene.do("INSERT INTO processes_subscriptions VALUES (%s, %s)", other, scene.subscription)
    assert told() == {f"process {other}", f"details {scene.subscription}"}
    scene.do(
        "INSERT INTO subscription_customer_descriptions (subscription_id, customer_id, description)"
        " VALUES (%s, 'c', 'd')",
        scene.subscription,
    )
    assert told() == {f"details {scene.subscription}"}
    scene.do("INSERT INTO subscription_metadata VALUES (%s, '{}')", scene.subscription)
    assert told() == {f"subscription {scene.subscription}"}
    scene.do("DELETE FROM subscription_metadata")
    assert told() == {f"subscription {scene.subscription}"}


@pytest.mark.parametrize("table", ["products", "workflows"])
def test_the_catalogue_is_told_once(scene: Scene, told: Told, table: str) -> None:
    with scene.connection.transaction():
        scene.do(f"UPDATE {table} SET description = 'other'")
        scene.do("INSERT INTO products_workflows VALUES (%s, %s)", scene.product, scene.workflow)
        scene.do("DELETE FROM products_workflows")
    assert told() == {"catalogue"}


def test_schedules_are_told(scene: Scene, told: Told) -> None:
    scene.do("INSERT INTO schedules (workflow_id, name, trigger) VALUES (%s, 'n', 'cron')", scene.workflow)
    assert told() == {"schedules"}


def test_what_goes_is_told_with_all_that_goes_with_it(scene: Scene, told: Told) -> None:
    scene.do("DELETE FROM processes WHERE process_id = %s", scene.process)
    assert told() == {f"process {scene.process}", "counts", f"details {scene.subscription}"}


def test_a_hundred_in_one_statement_are_told_one_by_one_and_more_as_any(scene: Scene, told: Told) -> None:
    scene.new_process(100)
    assert len(told()) == 101
    scene.new_process(101)
    assert told() == {"process", "counts"}
    scene.do("UPDATE processes SET note = 'x'")
    assert told() == {"process"}
    scene.do("DELETE FROM processes WHERE process_id <> %s", scene.process)
    assert told() == {"process", "counts"}


def test_what_is_rolled_back_is_not_told(scene: Scene, told: Told) -> None:
    with scene.connection.transaction(force_rollback=True):
        scene.do("UPDATE processes SET note = 'x'")
    assert told() == set()


def test_nothing_is_told_before_the_commit(scene: Scene, database: SubscriptionDatabase, told: Told) -> None:
    with psycopg.connect(_uri(database)) as other:
        other.execute("UPDATE processes SET note = 'x'")
        assert told() == set()
        other.commit()
        assert told() == {f"process {scene.process}"}


def test_a_writer_with_another_search_path_writes_and_is_heard(scene: Scene, told: Told) -> None:
    scene.do("SET search_path TO pg_catalog")
    scene.do("UPDATE public.processes SET last_status = 'running'")
    assert told() == {f"process {scene.process}", "counts", f"details {scene.subscription}"}


def test_a_word_of_a_newer_version_is_no_change() -> None:
    assert change_of("weather 12") is None
    assert change_of("counts") == Change(Subject.COUNTS)
    assert change_of("process 12") == Change(Subject.PROCESS, "12")


# --- how it is heard ---


class Hearing:
    """A feed that is heard in the background of a test."""

    def __init__(self, feed: ChangeFeed, *, as_leader: bool = False) -> None:
        self.heard: list[Change] = []
        self._task = asyncio.create_task(self._hear(feed, as_leader))

    async def _hear(self, feed: ChangeFeed, as_leader: bool) -> None:
        async with aclosing(feed.changes(as_leader=as_leader)) as changes:
            async for change in changes:
                self.heard.append(change)

    async def until(self, condition: Callable[[list[Change]], bool], seconds: float = 100) -> None:
        """Wait until what was heard is as it should be."""
        give_up = time.monotonic() + seconds
        while not condition(self.heard):
            assert time.monotonic() < give_up, f"heard only {self.heard}"
            assert not self._task.done(), self._task
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop listening."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def test_a_change_is_heard_after_the_announcement_that_anything_may_have_changed(
    database: SubscriptionDatabase, scene: Scene
) -> None:
    async def story() -> None:
        hearing = Hearing(ChangeFeed(database))
        await hearing.until(lambda heard: heard == [Change(Subject.EVERYTHING)])
        await asyncio.to_thread(scene.do, "UPDATE processes SET note = 'x'")
        await hearing.until(lambda heard: heard[1:] == [Change(Subject.PROCESS, str(scene.process))])
        await hearing.stop()

    asyncio.run(story())


def test_a_silent_connection_is_tried_and_kept(
    database: SubscriptionDatabase, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "PING_SECONDS", 0.02)

    async def story() -> None:
        hearing = Hearing(ChangeFeed(database))
        await asyncio.sleep(0.3)
        for number in range(50):
            await asyncio.to_thread(scene.do, "UPDATE processes SET note = %s", str(number))
        await hearing.until(lambda heard: len(heard) == 51)
        await hearing.stop()

    asyncio.run(story())


def test_a_cut_connection_is_opened_again_and_anything_may_have_changed(
    database: SubscriptionDatabase, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        hearing = Hearing(ChangeFeed(database))
        await hearing.until(lambda heard: len(heard) == 1)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND datname = %s"
        await asyncio.to_thread(scene.do, cut, APPLICATION, database.url.database)
        await hearing.until(lambda heard: heard == [Change(Subject.EVERYTHING)] * 2)
        await asyncio.to_thread(scene.do, "UPDATE processes SET note = 'x'")
        await hearing.until(lambda heard: len(heard) == 3)
        await hearing.stop()

    asyncio.run(story())
    assert "wait for the database" in caplog.text
    assert "answers again" in caplog.text


def test_the_first_leader_hears_and_another_only_when_it_is_gone(
    database: SubscriptionDatabase, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "LEADER_POLL_SECONDS", 0.1)

    async def story() -> None:
        first = Hearing(ChangeFeed(database), as_leader=True)
        await first.until(lambda heard: len(heard) == 1)
        second = Hearing(ChangeFeed(database), as_leader=True)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(scene.do, "UPDATE processes SET note = 'x'")
        await first.until(lambda heard: len(heard) == 2)
        assert second.heard == []
        assert await asyncio.to_thread(_listeners, database) == 1
        await first.stop()
        await second.until(lambda heard: heard == [Change(Subject.EVERYTHING)])
        await second.stop()

    asyncio.run(story())


def _listeners(database: SubscriptionDatabase) -> int:
    with psycopg.connect(_uri(database)) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
            (APPLICATION,),
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    with server_of_its_own() as server:
        yield server


def test_an_embedded_server_that_was_killed_is_started_again(
    own_server: OwnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = SubscriptionDatabase(uri=own_server.uri_of_new_database())
    monkeypatch.setitem(embedded._servers, own_server.embedded.home, own_server.embedded)

    async def story() -> None:
        hearing = Hearing(ChangeFeed(database))
        await hearing.until(lambda heard: len(heard) == 1)
        await asyncio.to_thread(own_server.stop, signal.SIGKILL)
        await hearing.until(lambda heard: heard == [Change(Subject.EVERYTHING)] * 2)
        await hearing.stop()

    asyncio.run(story())


def test_a_restarted_database_is_heard_again(own_server: OwnServer) -> None:
    database = SubscriptionDatabase(uri=own_server.uri_of_new_database())
    schema.upgrade(database)

    async def story() -> None:
        hearing = Hearing(ChangeFeed(database))
        await hearing.until(lambda heard: len(heard) == 1)
        await asyncio.to_thread(own_server.stop)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(own_server.start)
        await hearing.until(lambda heard: heard == [Change(Subject.EVERYTHING)] * 2)
        with psycopg.connect(_uri(database), autocommit=True) as connection:
            await asyncio.to_thread(Scene, connection)
        await hearing.until(lambda heard: Change(Subject.CATALOGUE) in heard)
        await hearing.stop()

    asyncio.run(story())
    database.dispose()
