"""What tests of live updates share: a client of the WebSocket that remembers what was sent to it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from orchestrator_defs.api.updates.messages import Kind
from resources.updates.change_feed import APPLICATION
from tests.engine import Engine
from tests.waiting import GENEROUS_SECONDS

EVENTS = "/api/ws/events"

Told = tuple[str, str | None]
"""Type and id of a message."""
EVERYTHING: set[Told] = {(kind.value, None) for kind in Kind}


def websocket_url(client: httpx.Client, path: str = EVENTS) -> str:
    """Where the WebSocket of a served application is."""
    return f"ws://{client.base_url.host}:{client.base_url.port}{path}"


class Browser:
    """A client that is connected."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.told: list[tuple[float, Told]] = []
        """When, and what."""

    def hear(self, seconds: float) -> list[Told]:
        """What is sent within so long."""
        give_up = time.monotonic() + seconds
        heard = []
        while (left := give_up - time.monotonic()) > 0:
            try:
                heard.append(self._take(left))
            except TimeoutError:
                break
        return heard

    def hear_until(self, wanted: Callable[[set[Told]], bool], seconds: float = GENEROUS_SECONDS) -> set[Told]:
        """What is sent until it is enough."""
        heard: set[Told] = set()
        give_up = time.monotonic() + seconds
        while not wanted(heard):
            try:
                heard.add(self._take(give_up - time.monotonic()))
            except TimeoutError:
                raise AssertionError(f"heard only {heard}") from None
        return heard

    def hear_at_least(self, expected: set[Told]) -> set[Told]:
        """All that is sent until these are among it, and in the moment after."""
        return self.hear_until(lambda heard: heard >= expected) | set(self.hear(0.2))

    def hear_out(self, seconds: float = 2) -> list[Told]:
        """What is sent until nothing came for so long."""
        heard: list[Told] = []
        while more := self.hear(seconds):
            heard += more
        return heard

    def quiet(self, seconds: float = 0.9) -> None:
        """Let pass what is still told of earlier changes."""
        self.hear_out(seconds)
        self.told.clear()

    def times(self, wanted: Told) -> list[float]:
        """When a message came."""
        return [moment for moment, told in self.told if told == wanted]

    def _take(self, seconds: float) -> Told:
        message: Any = json.loads(self.connection.recv(timeout=max(0.0, seconds)))
        assert message.keys() == {"name", "value"}
        assert message["name"] == "invalidateCache"
        assert message["value"].keys() <= {"type", "id"}
        told = message["value"]["type"], message["value"].get("id")
        self.told.append((time.monotonic(), told))
        return told


@contextmanager
def browser(url: str, *subprotocols: str) -> Iterator[Browser]:
    """A connected client."""
    with connect(url, subprotocols=[Subprotocol(name) for name in subprotocols] or None, proxy=None) as connection:
        yield Browser(connection)


def do(engine: Engine, statement: str, *values: Any) -> None:
    """As another program does, with a connection of its own."""
    url = engine.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement, values)  # type: ignore[call-overload]


def listeners(engine: Engine) -> int:
    """How many connections of the test's database listen."""
    url = engine.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
            (APPLICATION,),
        ).fetchone()
    assert row is not None
    return int(row[0])
