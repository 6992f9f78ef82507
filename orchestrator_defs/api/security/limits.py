"""The limits for all browsers and clients: headers, sizes, rates."""

import asyncio
import logging
import mmap
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator_defs.api.security.login.cookies import is_secure
from orchestrator_defs.api.security.login.origins import path_of
from orchestrator_defs.api.security.problems import problem
from orchestrator_defs.api.server_settings import ApiSettings

log = logging.getLogger(__name__)

API = "/api"
API_CSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
HSTS = "max-age=31536000"
BODY_SECONDS = 30.0
"""How long a body may take to come."""
SLOTS = 1 << 16


def is_api(path: str) -> bool:
    """Whether a path is under the API, and not one of Dagster's page."""
    return path == API or path.startswith(f"{API}/")


class SecurityHeaders:
    """Middleware that adds security headers for browsers; headers of a route stay."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        added = {
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "SAMEORIGIN",  # Dagster's page frames its notebooks
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        if is_secure(HTTPConnection(scope), self.settings):
            added["Strict-Transport-Security"] = HSTS
        if is_api(path_of(scope)):
            added |= {
                "X-Frame-Options": "DENY",
                "Content-Security-Policy": API_CSP,
                "Cache-Control": "private, no-cache",
            }

        origin = f"{scope['scheme']}://{Headers(scope=scope).get('host', '')}"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
                # a redirect to ourselves names no host: that of the request is whatever its sender wrote
                if (target := headers.get("location", "")).startswith(f"{origin}/"):
                    headers["location"] = "/" + target.removeprefix(origin).lstrip("/\\")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class BodyLimit:
    """Middleware that reads no longer body than allowed, announced or not, and waits for it no longer than allowed."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer 413 when its body is too long, 408 when it does not come."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.settings.max_body_bytes if is_api(path_of(scope)) else self.settings.max_dagster_body_bytes
        detail = f"The body of a request may have {limit} bytes."
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced[:20]) > limit:
            await problem(413, detail)(scope, receive, send)
            return
        seen, has_all, has_answered = 0, False, False
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS

        async def receive_within_limit() -> Message:
            nonlocal seen, has_all
            try:
                async with asyncio.timeout_at(None if has_all else deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"The body did not come within {BODY_SECONDS:g} seconds.") from None
            seen += len(message.get("body", b""))
            has_all = not message.get("more_body", False)
            if seen > limit:
                # routes and mounted applications answer this like their own errors
                raise HTTPException(413, detail)
            return message

        async def send_and_note(message: Message) -> None:
            nonlocal has_answered
            has_answered = True
            await send(message)

        try:
            await self.app(scope, receive_within_limit, send_and_note)
        except HTTPException as error:
            if has_answered or error.status_code not in (408, 413):
                raise
            await problem(error.status_code, error.detail)(scope, receive, send)


class RateLimit:
    """So many calls a minute for each key, in bursts of as many.

    The processes that are forked after it was made count together, in memory that they share. Keys have its slots by
    their hash: two that meet in one count together, too.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = 60 / per_minute
        self.clock = clock
        self._free_at = memoryview(mmap.mmap(-1, 8 * SLOTS)).cast("d")

    def seconds_to_wait(self, *keys: str) -> float:
        """0 when a call is allowed, and counted for each key; else how long to wait."""
        now = self.clock()
        slots = {hash(key) % SLOTS for key in keys}
        free_at = {slot: max(self._free_at[slot], now) + self.interval for slot in slots}
        over = max(free_at.values()) - now - 60
        if over > 1e-6:
            return over
        for slot, moment in free_at.items():
            self._free_at[slot] = moment
        return 0

    def give_back(self, key: str) -> None:
        """Do not count a call that was counted."""
        self._free_at[hash(key) % SLOTS] -= self.interval
