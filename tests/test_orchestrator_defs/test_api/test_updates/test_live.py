"""Live updates over real WebSockets: what is sent to a client, and how the server bears many, slow and strange ones."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from orchestrator_defs.api.updates import live_updates, websocket
from resources import clock
from resources.updates.change_feed import APPLICATION
from resources.users import User
from tests.api import GRACE_SECONDS, application, caller, serving
from tests.engine import Engine
from tests.live import EVENTS, EVERYTHING, Browser, browser, do, listeners, websocket_url
from tests.toy_network import DEVICE, World, device_workflows
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quiet_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is notified of workers unless something has changed."""
    monkeypatch.setattr(live_updates, "WORKERS_SECONDS", 1000)


@pytest.fixture
def engine(engine_of: Callable[..., Engine]) -> Engine:
    return engine_of(*device_workflows(World()), products=[DEVICE])


@pytest.fixture
def api(engine: Engine, api_of: Callable[..., httpx.Client]) -> httpx.Client:
    return api_of(engine, at=serving)


@pytest.fixture
def client(api: httpx.Client) -> Iterator[Browser]:
    """A browser, after what is sent to it at the start of a server."""
    with browser(websocket_url(api)) as one:
        one.quiet()
        yield one


# --- what is sent ---


def test_a_workflow_is_told_of_with_all_that_it_changes(engine: Engine, client: Browser) -> None:
    process_id = str(engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}]))
    subscription_id = str(engine.of(process_id).state["subscription_id"])
    expected = {
        ("processes", "LIST"),
        ("processes", process_id),
        ("processStatusCounts", None),
        ("workerStatus", None),
        ("subscriptions", None),
        ("subscriptions", subscription_id),
    }
    assert client.hear_at_least(expected) == expected


def test_a_change_of_another_program_is_told(engine: Engine, client: Browser) -> None:
    process_id = engine.run("task_clean_up_tasks")
    client.quiet()
    do(engine, "UPDATE processes SET note = 'by hand' WHERE process_id = %s", process_id)
    expected = {("processes", "LIST"), ("processes", str(process_id))}
    assert client.hear_at_least(expected) == expected


def test_pausing_the_engine_is_told(engine: Engine, client: Browser) -> None:
    engine.service.engine.pause(user="noc")
    assert client.hear_at_least({("engineStatus", None)}) == {("engineStatus", None)}


def test_a_schedule_is_told(engine: Engine, client: Browser) -> None:
    workflow = "SELECT workflow_id, 'n', 'cron' FROM workflows LIMIT 1"
    do(engine, f"INSERT INTO schedules (workflow_id, name, trigger) {workflow}")
    assert client.hear_at_least({("scheduledTags", None)}) == {("scheduledTags", None)}


def test_the_catalogue_is_told_with_the_lists_that_name_it(engine: Engine, client: Browser) -> None:
    do(engine, "UPDATE products SET description = 'other'")
    told = {("metadataProducts", None), ("scheduledTags", None), ("subscriptions", None), ("processes", None)}
    assert client.hear_at_least(told) == told


def test_what_is_rolled_back_is_not_told(engine: Engine, client: Browser) -> None:
    with pytest.raises(RuntimeError), engine.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE products SET description = 'other'")
        raise RuntimeError
    assert client.hear(1) == []


def test_a_message_is_soon_there_once_more_and_then_no_more(engine: Engine, client: Browser) -> None:
    do(engine, "UPDATE products SET description = 'other'")
    assert client.hear_out().count(("metadataProducts", None)) == 2


def test_a_burst_is_told_of_in_few_messages_the_last_after_its_end(engine: Engine, client: Browser) -> None:
    process_id = engine.run("task_clean_up_tasks")
    client.quiet()
    began = time.monotonic()
    do(
        engine,
        "DO $$ BEGIN FOR number IN 1..100 LOOP UPDATE processes SET note = number; COMMIT; PERFORM pg_sleep(0.01);"
        " END LOOP; END $$",
    )
    done = time.monotonic()
    client.hear_out()
    moments = client.times(("processes", str(process_id)))
    assert 4 <= len(moments) <= (done - began) / 0.25 + 4
    assert moments[-1] - done >= 0.5


def test_hundreds_of_processes_at_once_are_told_of_as_all(engine: Engine, client: Browser) -> None:
    for _ in range(4):
        do(
            engine,
            "INSERT INTO processes (process_id, workflow_id, last_status, step_keys)"
            " SELECT gen_random_uuid(), (SELECT workflow_id FROM workflows LIMIT 1), 'created', '[]'"
            " FROM generate_series(1, 90)",
        )
    heard = client.hear_out()
    assert ("processes", None) in heard
    assert len(heard) < 60


def test_workers_are_told_of_now_and_then(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "WORKERS_SECONDS", 2)
    with served(engine) as url, browser(url) as one:
        one.quiet(0.6)
        assert one.hear_until(bool) == {("workerStatus", None)}


def test_a_lost_connection_to_the_database_is_made_up_for(engine: Engine, client: Browser) -> None:
    do(
        engine,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        APPLICATION,
    )
    assert client.hear_until(lambda heard: heard >= EVERYTHING) == EVERYTHING
    client.quiet()
    do(engine, "UPDATE products SET description = 'other'")
    client.hear_until(lambda heard: ("metadataProducts", None) in heard)


# --- how one talks with it ---


def test_a_ping_is_answered(api: httpx.Client) -> None:
    with connect(websocket_url(api), proxy=None) as connection:
        connection.send("__ping__")
        while connection.recv(timeout=GENEROUS_SECONDS) != "__pong__":
            pass


def test_the_protocol_of_a_client_that_sends_its_token_is_taken(api: httpx.Client) -> None:
    with browser(websocket_url(api), "base64.bearer.token", "eyJ0.b2tl.bg") as one:
        assert one.connection.subprotocol == "base64.bearer.token"


@pytest.mark.parametrize("offered", [["base64.bearer.token"], ["other", "token"], ["base64.bearer.token", "a", "b"]])
def test_other_protocols_are_a_protocol_error(api: httpx.Client, offered: list[str]) -> None:
    with browser(websocket_url(api), *offered) as one, pytest.raises(ConnectionClosed) as closed:
        one.connection.recv(timeout=GENEROUS_SECONDS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1002


def test_what_it_does_not_know_is_ignored(client: Browser, engine: Engine) -> None:
    for said in ("", "hello", "\x00", '{"name": "x"}', b"\x00\xff"):
        client.connection.send(said)
    do(engine, "UPDATE products SET description = 'other'")
    client.hear_until(lambda heard: ("metadataProducts", None) in heard)


def test_who_says_too_much_is_sent_away(client: Browser) -> None:
    client.connection.send("x" * 1001)
    with pytest.raises(ConnectionClosed) as closed:
        client.connection.recv(timeout=GENEROUS_SECONDS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_when_switched_off_the_handshake_is_refused(engine: Engine, api_of: Callable[..., httpx.Client]) -> None:
    api = api_of(engine, at=serving, enable_websockets=False)
    with pytest.raises(InvalidStatus) as refused, connect(websocket_url(api), proxy=None):
        pass
    assert refused.value.response.status_code == 404
    assert b"ENABLE_WEBSOCKETS" in refused.value.response.body
    assert listeners(engine) == 0


@contextmanager
def served(engine: Engine, *, user: User | None = None, **settings: Any) -> Iterator[str]:
    """An application of the engine, of which this test decides when it ends; the address of its WebSocket."""
    app = application(engine, **settings)
    if user is not None:
        app.add_middleware(_Login, user=user)
    with serving(app) as address:
        yield f"{address.replace('http', 'ws')}{EVENTS}"


class _Login:
    """Puts a user into the scope, as the middleware does with one who has logged in."""

    def __init__(self, app: ASGIApp, user: User) -> None:
        self.app, self.user = app, user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "user": self.user}, receive, send)


def test_a_connection_ends_with_the_login(engine: Engine) -> None:
    expiry = (clock.now() + timedelta(seconds=1.5)).timestamp()
    with served(engine, user=User("noc", claims={"exp": expiry})) as url, connect(url, proxy=None) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                connection.recv(timeout=GENEROUS_SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


# --- many, slow and gone ---


def test_five_hundred_clients_cost_one_listener_and_all_are_told_soon(engine: Engine) -> None:
    async def story(url: str) -> list[float]:
        async with _Connections(url, 500) as connections:
            await asyncio.sleep(1)  # what is sent at the start
            assert await asyncio.to_thread(listeners, engine) == 1
            changed = time.monotonic()
            await asyncio.to_thread(do, engine, "UPDATE products SET description = 'other'")
            return await asyncio.gather(*(_told_after(changed, connection) for connection in connections))

    with served(engine) as url:
        waited = asyncio.run(story(url))
    assert len(waited) == 500
    assert max(waited) < 30


class _Connections:
    """So many connections at once."""

    def __init__(self, url: str, count: int) -> None:
        self.url, self.count = url, count
        self.open: list[Any] = []

    async def __aenter__(self) -> list[Any]:
        for begin in range(0, self.count, 50):
            some = range(begin, min(begin + 50, self.count))
            self.open += await asyncio.gather(
                *(connect_async(self.url, proxy=None, compression=None, ping_interval=None) for _ in some)
            )
        return self.open

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(connection.close() for connection in self.open))


async def _told_after(changed: float, connection: Any) -> float:
    async with asyncio.timeout(GENEROUS_SECONDS):
        while json.loads(await connection.recv())["value"]["type"] != "metadataProducts":
            pass
    return time.monotonic() - changed


def deaf(url: str) -> socket.socket:
    """A client that has connected and reads nothing."""
    _, _, address, *path = url.split("/")
    host, port = address.split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    connection.sendall(
        f"GET /{'/'.join(path)} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert connection.recv(12) == b"HTTP/1.1 101"
    return connection


def test_a_client_that_takes_nothing_holds_up_nobody_and_is_sent_away(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SEND_SECONDS", 0.5)
    app = application(engine)

    @app.post("/flood")
    async def flood() -> int:
        """Say more than the sockets between the two hold; how many listen."""
        for number in range(60):
            app.state.live.broadcaster.pass_on(f"{number:200000}")
        return app.state.live.broadcaster.client_count

    @app.get("/count")
    async def count() -> int:
        return app.state.live.broadcaster.client_count

    with serving(app) as address:
        url = f"{address.replace('http', 'ws')}{EVENTS}"
        with deaf(url), connect(url, proxy=None) as other, caller(address) as client:
            assert client.post("/flood").json() == 2
            said = [other.recv(timeout=GENEROUS_SECONDS) for _ in range(60 + len(EVERYTHING))]
            assert len([one for one in said if len(one) == 200_000]) == 60
            eventually(lambda: client.get("/count").json() == 1)
            do(engine, "UPDATE products SET description = 'other'")
            while "metadataProducts" not in str(other.recv(timeout=GENEROUS_SECONDS)):
                pass


def test_clients_that_go_without_a_word_are_forgotten(engine: Engine) -> None:
    app = application(engine)
    with serving(app) as address:
        gone = deaf(f"{address.replace('http', 'ws')}{EVENTS}")
        eventually(lambda: app.state.live.broadcaster.client_count == 1)
        gone.close()
        eventually(lambda: app.state.live.broadcaster.client_count == 0)


def test_a_server_with_clients_ends_at_once_and_tells_them(engine: Engine) -> None:
    with ExitStack() as clients:
        with served(engine) as url:
            connections = [clients.enter_context(connect(url, proxy=None)) for _ in range(20)]
            for connection in connections:
                connection.recv(timeout=GENEROUS_SECONDS)
            ending = time.monotonic()
        assert time.monotonic() - ending < GRACE_SECONDS / 2
        for connection in connections:
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    connection.recv(timeout=GENEROUS_SECONDS)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
    assert listeners(engine) == 0


# --- the deprecated channels ---


def test_the_channel_of_processes_has_these_alone(engine: Engine, api: httpx.Client) -> None:
    with browser(websocket_url(api, "/api/processes/all/?token=x")) as one:
        one.quiet()
        process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
        expected = {("processes", "LIST"), ("processes", str(process_id))}
        assert one.hear_at_least(expected) == expected


def test_the_channel_of_the_engine_says_how_it_stands_and_when_that_changes(engine: Engine, api: httpx.Client) -> None:
    with connect(websocket_url(api, "/api/settings/ws-status/?token=x"), proxy=None) as connection:
        status = {"global_lock": False, "global_status": "RUNNING", "running_processes": 0}
        assert json.loads(connection.recv(timeout=GENEROUS_SECONDS)) == {"engine-status": status}
        engine.service.engine.pause(user="noc")
        while (said := json.loads(connection.recv(timeout=GENEROUS_SECONDS))["engine-status"]) == status:
            pass
        assert said == {"global_lock": True, "global_status": "PAUSED", "running_processes": 0}
