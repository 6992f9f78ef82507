"""Fixtures for tests of the server: an application that is served, and clients that speak HTTP to it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.server_settings import ApiSettings
from tests.engine import Engine

START_SECONDS = 20


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a port of its own; its address."""
    # It names its protocol: for others asyncio does not switch off Nagle's algorithm, which costs 40 ms a call.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(
            app, log_level="warning", lifespan="on", ws="websockets-sansio", timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        started = threading.Event()

        async def serve() -> None:
            task = asyncio.create_task(server.serve(sockets=[listener]))
            while not (server.started or task.done()):
                await asyncio.sleep(0.005)
            started.set()
            await task

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        try:
            assert started.wait(START_SECONDS), "the application does not start"
            assert server.started, "the application did not start"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def api_of() -> Iterator[Callable[..., httpx.Client]]:
    """Serves an engine's processes without login; a client whose base is the API. Settings may be given by name."""
    stack: list[Any] = []

    def make(engine: Engine, **settings: Any) -> httpx.Client:
        chosen = ApiSettings(**{"oauth2_active": False, **settings})
        served = serving(create_app(chosen, engine.orchestrator, instance=engine.instance))
        address = served.__enter__()
        client = httpx.Client(base_url=f"{address}/api", timeout=30)
        stack.extend((client.close, lambda: served.__exit__(None, None, None)))
        return client

    yield make
    for end in stack:
        end()
