"""Live updates of several servers over Redis: one of them listens to the database, and all are notified."""

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from websockets.sync.client import connect

from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.api.updates.live_updates import LiveUpdates
from resources.errors import SettingsError
from resources.updates import change_feed
from resources.updates.redis_channel import CHANNEL, RedisChannel
from tests.api import GRACE_SECONDS, application, serving
from tests.engine import Engine
from tests.live import EVENTS, EVERYTHING, Browser, browser, do, listeners, websocket_url
from tests.test_resources.test_runs.celery_machines import REDIS, redis_server
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = pytest.mark.slow
needs_redis = pytest.mark.skipif(REDIS is None, reason="needs redis-server")


@pytest.fixture
def engine(engine_of: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(change_feed, "LEADER_POLL_SECONDS", 0.2)
    return engine_of()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    with redis_server(tmp_path) as url:
        yield url


class Server:
    """One of several servers, with a browser that is connected to it."""

    def __init__(self, engine: Engine, broker: str) -> None:
        self._stack = ExitStack()
        address = self._stack.enter_context(serving(application(engine, websocket_broadcaster_url=broker)))
        self.url = f"{address.replace('http', 'ws')}{EVENTS}"
        self.browser: Browser = self._stack.enter_context(browser(self.url))

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture
def servers(engine: Engine, broker: str) -> Iterator[list[Server]]:
    """Two, after what is sent when they begin; the first is the one that listens."""
    first = Server(engine, broker)
    eventually(lambda: listeners(engine) == 1)
    both = [first, Server(engine, broker)]
    for server in both:
        server.browser.quiet()
    yield both
    for server in both:
        server.stop()


def change(engine: Engine, server: Server, description: str) -> None:
    """Change something; returns when the browser of a server is notified."""
    do(engine, "UPDATE workflows SET description = %s", description)
    server.browser.hear_until(lambda heard: ("metadataProducts", None) in heard)


@needs_redis
def test_all_servers_tell_what_one_of_them_hears(engine: Engine, servers: list[Server]) -> None:
    for number, server in enumerate(servers):
        change(engine, server, str(number))
    assert listeners(engine) == 1


@needs_redis
def test_another_server_takes_over_from_the_one_that_listened(engine: Engine, servers: list[Server]) -> None:
    first, second = servers
    first.stop()
    assert second.browser.hear_until(lambda heard: heard >= EVERYTHING) == EVERYTHING
    second.browser.quiet()
    change(engine, second, "after")
    assert listeners(engine) == 1


@needs_redis
def test_other_programs_may_speak_too(servers: list[Server], broker: str) -> None:
    with redis.Redis.from_url(broker) as other, connect(servers[1].url, proxy=None) as listener:
        for said in (b"\xff\xfe", "no json", '{"name": "invalidateCache", "value": {"type": "weather"}}'):
            other.publish(CHANNEL, said)
        other.publish(CHANNEL, '{"name": "invalidateCache", "value": {"type": "processes", "id": "1"}}')
        other.publish(CHANNEL, '{"name": "news", "value": [1]}')
        heard = [json.loads(listener.recv(timeout=GENEROUS_SECONDS)) for _ in range(4)]
    assert heard == [
        {"name": "invalidateCache", "value": {"type": "weather"}},
        {"name": "news", "value": [1]},
        {"name": "invalidateCache", "value": {"type": "processes", "id": "1"}},
        {"name": "invalidateCache", "value": {"type": "processes", "id": "1"}},
    ]


@needs_redis
def test_a_redis_that_was_away_is_made_up_for(engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as stack:
        with redis_server(tmp_path) as broker:
            server = Server(engine, broker)
            stack.callback(server.stop)
            eventually(lambda: listeners(engine) == 1)
            server.browser.quiet()
        do(engine, "UPDATE processes SET note = 'unheard'")
        eventually(lambda: "wait for Redis" in caplog.text)
        stack.enter_context(redis_server(tmp_path, port=int(broker.rpartition(":")[2].split("/")[0])))
        assert server.browser.hear_until(lambda heard: heard >= EVERYTHING) == EVERYTHING
        server.browser.quiet(1.5)
        change(engine, server, "after")
    assert "Redis answers again" in caplog.text


@needs_redis
def test_a_server_ends_at_once_while_redis_is_away(engine: Engine, tmp_path: Path) -> None:
    with redis_server(tmp_path) as broker:
        server = Server(engine, broker)
        server.browser.quiet()
    time.sleep(0.3)
    ending = time.monotonic()
    server.stop()
    assert time.monotonic() - ending < GRACE_SECONDS / 2


def test_a_server_starts_without_redis(engine: Engine, api_of: Callable[..., httpx.Client]) -> None:
    api = api_of(engine, at=serving, websocket_broadcaster_url="redis://127.0.0.1:1/0")
    with connect(websocket_url(api), proxy=None) as connection:
        connection.send("__ping__")
        assert connection.recv(timeout=GENEROUS_SECONDS) == "__pong__"


@pytest.mark.parametrize(
    ("url", "said"),
    [("amqp://host", "begins with `amqp`"), ("redis://:secret@host:port", "cannot be read"), ("redis", "expected")],
)
def test_an_address_that_cannot_be_used_is_refused(engine: Engine, url: str, said: str) -> None:
    settings = ApiSettings(websocket_broadcaster_url=url)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=said) as refused:
        LiveUpdates(settings, engine.database)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["", "memory://", "postgres://", "postgresql://host/name"])
def test_the_database_itself_needs_no_client_of_redis(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    settings: dict[str, Any] = {"websocket_broadcaster_url": url}
    LiveUpdates(ApiSettings(**settings), engine.database)


def test_without_the_client_of_redis_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SettingsError, match=r"\[redis\]"):
        RedisChannel("redis://host")
