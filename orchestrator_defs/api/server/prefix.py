"""Middleware for a path prefix, as behind a proxy that serves other applications too."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator_defs.api.security.problems import problem


class Prefixed:
    """ASGI middleware: the inner application finds its own paths with the prefix as `root_path`."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on paths under the prefix; redirect the root to it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["path"] == self.prefix or scope["path"].startswith(f"{self.prefix}/"):
            await self.app({**scope, "root_path": self.prefix}, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == "/":
            await RedirectResponse(f"{self.prefix}/")(scope, receive, send)
        else:
            await problem(404, f"Everything here is under {self.prefix}/.")(scope, receive, send)
