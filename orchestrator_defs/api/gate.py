"""The gate before everything that is served: nobody comes in unknown."""

from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator_defs.api.problems import problem
from orchestrator_defs.api.settings import ApiSettings
from resources.users import Role, User

NOBODY = User("SYSTEM", roles=[Role.ADMIN])
"""Who calls when no login is asked for."""


class Gate:
    """An ASGI application around another: it puts the `user` into the scope, or answers itself."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request or a connection through with its user."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif not self.settings.oauth2_active:
            await self.app({**scope, "user": NOBODY}, receive, send)
        elif scope["type"] == "http":
            await problem(401, "Log in first.")(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})
