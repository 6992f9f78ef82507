"""Half a request does not keep a connection, and a client does not choose the address that it calls from."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from orchestrator_defs.api.server import connections
from orchestrator_defs.api.server.connections import OneHop, PatientProtocol
from tests.api import LOOP

WHOLE = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def client(request: Request) -> PlainTextResponse:
    assert request.client is not None
    await asyncio.sleep(float(request.query_params.get("seconds", 0)))
    return PlainTextResponse(f"{request.client.host} {request.url.scheme}")


APP = Starlette(routes=[Route("/", client)])


async def exchange(app: ASGIApp, *parts: bytes) -> tuple[bytes, float]:
    """Send parts, then wait for the end; what came, and after how many seconds the server closed."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(app, http=PatientProtocol, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    server = await loop.create_server(lambda: PatientProtocol(config, state, {}), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        begun = loop.time()
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.05)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        await writer.wait_closed()
        return answer, loop.time() - begun


@pytest.mark.parametrize("parts", [(), (b"GET / HT",), (WHOLE, b"GET / HTTP/1.1\r\nHost: he")])
def test_half_a_request_does_not_keep_its_connection(monkeypatch: pytest.MonkeyPatch, parts: tuple[bytes, ...]) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    answer, seconds = LOOP.run(exchange(APP, *parts))
    assert answer.count(b"200 OK") == parts.count(WHOLE)
    assert seconds < 3


def test_a_request_that_is_whole_is_answered_however_long_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.1)
    slow = b"GET /?seconds=0.4 HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    answer, _ = LOOP.run(exchange(APP, slow))
    assert b"200 OK" in answer


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({}, "127.0.0.1 http"),
        ({"X-Forwarded-For": "10.0.0.7", "X-Forwarded-Proto": "https"}, "10.0.0.7 https"),
        ({"X-Forwarded-For": "1.2.3.4, 10.0.0.7"}, "10.0.0.7 http"),
        ({"X-Forwarded-For": "10.0.0.7:4711"}, "10.0.0.7 http"),
        ({"X-Forwarded-For": "[2001:db8::1]:4711"}, "2001:db8::1 http"),
        ({"X-Forwarded-For": "1.2.3.4,", "X-Forwarded-Proto": "gopher"}, "127.0.0.1 http"),
    ],
)
def test_only_the_nearest_proxy_is_believed(headers: dict[str, str], seen: str) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{lines}\r\n".encode()
    answer: Any = LOOP.run(exchange(OneHop(APP), request))[0]
    assert answer.decode().endswith(seen)
