"""Connections: who is at their other end, and how long a server waits for what it sends."""

from asyncio import TimerHandle, Transport
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from orchestrator_defs.api.security.login.origins import name_of

HEADER_SECONDS = 20.0
"""How long the head of a request may take to come, from the first connection on."""


class OneHop:
    """ASGI middleware that believes every caller about the caller before it, and nothing about those before that.

    A proxy appends the address that it sees to `X-Forwarded-For`; what stands before it, its client may have written.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the client and the scheme that the nearest proxy names."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            if address := name_of(headers.get("x-forwarded-for", "").rpartition(",")[2].strip()):
                scope = {**scope, "client": (address, 0)}
            scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip()
            if scheme in ("http", "https"):
                plain = scope["type"] == "http"
                scope = {**scope, "scheme": scheme if plain else scheme.replace("http", "ws")}
        await self.app(scope, receive, send)


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which waits for the head of a request for a limited time.

    Otherwise half a request keeps its connection for ever.
    """

    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for a first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came, and wait for the rest of a head."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop_waiting()

    def _wait(self) -> None:
        cycle: Any = self.cycle
        has_head = cycle is not None and not cycle.response_complete
        if has_head or self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._stop_waiting()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
