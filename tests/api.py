"""Applications for tests of the server: called in this process, or served where the socket is the claim."""

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import Context
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message

from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.server_settings import ApiSettings
from tests.engine import Engine

TIMEOUT_SECONDS = 60
GRACE_SECONDS = 20
"""For which a server that ends waits for its clients."""
PORTS = itertools.count(10_000)  # below those that the system gives to others
"""Applications in this process have addresses of their own, by ports that nobody listens at."""
Result = TypeVar("Result")

# --- in this process ---


class Loop:
    """An event loop in a thread of its own, in which all applications of this process run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="applications", daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Wait for a result. It is as for a request from outside: nothing of the caller's context is seen."""
        return Context().run(asyncio.run_coroutine_threadsafe, coroutine, self._loop).result()


LOOP = Loop()
APPLICATIONS: dict[str, httpx.ASGITransport] = {}
"""Those that run in this process, by host and port."""


class Network(httpx.BaseTransport):
    """Brings a request to the application at its address in this process, or to whoever listens there."""

    def __init__(self) -> None:
        self._outside = httpx.HTTPTransport(verify=False)  # all is http; to read certificates takes longer than a test

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        application = APPLICATIONS.get(request.url.netloc.decode())
        if application is None:
            return self._outside.handle_request(request)
        request.read()
        return LOOP.run(_answer(application, request))

    def close(self) -> None:
        """Close the connections."""
        self._outside.close()


async def _answer(application: httpx.ASGITransport, request: httpx.Request) -> httpx.Response:
    answer = await application.handle_async_request(request)
    assert isinstance(answer.stream, httpx.AsyncByteStream)
    content = b"".join([part async for part in answer.stream])
    return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(content))


class _Life:
    """The life of an application: its start, and its end when it is `over`."""

    def __init__(self) -> None:
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self._messages = iter(("lifespan.startup", "lifespan.shutdown"))

    async def receive(self) -> Message:
        if self.started.done():
            await self.over.wait()
        return {"type": next(self._messages)}

    async def send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            self.started.set_result(None)
        elif message["type"].endswith("failed"):
            raise AssertionError(message["message"])


async def _start(app: ASGIApp) -> tuple[_Life, asyncio.Future[None]]:
    life = _Life()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    lived: asyncio.Future[None] = asyncio.ensure_future(app(scope, life.receive, life.send))
    await asyncio.wait((lived, life.started), return_when=asyncio.FIRST_COMPLETED)
    if lived.done():
        await lived
    return life, lived


async def _end(life: _Life, lived: asyncio.Future[None]) -> None:
    life.over.set()
    await lived


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """Run an application in this process, without a network; the address at which clients of here find it."""
    netloc = f"127.0.0.1:{next(PORTS)}"
    began = LOOP.run(_start(app))
    APPLICATIONS[netloc] = httpx.ASGITransport(app, raise_app_exceptions=False)
    try:
        yield f"http://{netloc}"
    finally:
        del APPLICATIONS[netloc]
        LOOP.run(_end(*began))


# --- over the network ---


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a port of its own; its address."""
    # It names its protocol: for others asyncio does not switch off Nagle's algorithm, which costs 40 ms a call.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(
            app, log_level="warning", lifespan="on", ws="websockets-sansio", timeout_graceful_shutdown=GRACE_SECONDS
        )
        server = uvicorn.Server(config)
        served = LOOP.run(_serve(server, listener))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            LOOP.run(_ended(served))


async def _serve(server: uvicorn.Server, listener: socket.socket) -> asyncio.Future[None]:
    served: asyncio.Future[None] = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not (server.started or served.done()):
        await asyncio.sleep(0.005)
    assert server.started, "the application does not start"
    return served


async def _ended(served: asyncio.Future[None]) -> None:
    await served


# --- what is called, and who calls ---


At = Callable[[ASGIApp], AbstractContextManager[str]]
"""`running` or `serving`."""


def caller(address: str, **options: Any) -> httpx.Client:
    """A client of what runs in this process, or is served, at an address."""
    return httpx.Client(**{"base_url": address, "transport": Network(), "timeout": TIMEOUT_SECONDS, **options})


@contextmanager
def calling(app: ASGIApp, at: At = running, path: str = "") -> Iterator[httpx.Client]:
    """A client of an application that runs until the end of the block; `client.app` is the application."""
    with at(app) as address, caller(f"{address}{path}") as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


def application(engine: Engine, *, options: dict[str, Any] | None = None, **settings: Any) -> FastAPI:
    """An engine's application, without login; `options` are those of `create_app`, settings may be given by name."""
    chosen = ApiSettings(**{"oauth2_active": False, **settings})
    app = create_app(chosen, engine.orchestrator, instance=engine.instance, **(options or {}))
    return with_routes_of_before(app)


_ROUTERS: dict[int, BaseRoute] = {}


def with_routes_of_before(app: FastAPI) -> FastAPI:
    """Give an application the routers of the first one in this process: to look into them takes a tenth of a second."""
    for place, route in enumerate(app.router.routes):
        if (router := getattr(route, "original_router", None)) is not None:  # as FastAPI keeps what it includes
            app.router.routes[place] = _ROUTERS.setdefault(id(router), route)
    return app


@pytest.fixture
def api_of() -> Iterator[Callable[..., httpx.Client]]:
    """Runs an engine's application; a client whose base is the API.

    It runs in this process, unless `at=serving` puts it on the network: for WebSockets, and for programs that call.
    """
    with ExitStack() as stack:

        def make(engine: Engine, *, at: At = running, **settings: Any) -> httpx.Client:
            return stack.enter_context(calling(application(engine, **settings), at, "/api"))

        yield make
