"""The serving processes: forked from a process that has loaded the application, and replaced when they die."""

import logging
import re
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator_defs.api.server.connections import OneHop, PatientProtocol
from resources.errors import REFUSALS
from resources.runs.forked_children import Child, ForkedChildren, Report

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
DRAIN_SECONDS = 5
"""How long open requests and connections may take after SIGTERM."""
STOP_SECONDS = 15.0
"""A process that has not ended so long after SIGTERM is killed."""
SECRETS = re.compile(r"(/callback/)[^/? ]+|(\?)\S*")
"""In a path: callback tokens, and queries, in which old clients and logins have tokens and codes."""
WEBSOCKET_BYTES = 1_000_000
"""The longest message that a WebSocket may send: a query of Dagster's page."""
SERVING = "serving"
NOT_STARTED = 3
"""Exit status of a process whose application does not start."""


class Prefork:
    """Keeps a number of processes that serve an application on one listening socket.

    The parent calls `tick` about once a second, and `on_stop` when it is stopped, while all still serve; each process
    calls `before_serving`. They share no connection: the application must open its connections in its lifespan, not
    when it is made.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        count: int,
        children: ForkedChildren,
        *,
        forwarded_allow_ips: str = "127.0.0.1",
        access_log: bool = False,
        before_serving: Callable[[], None] = lambda: None,
        on_ready: Callable[[], None] = lambda: None,
        tick: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.app = Sentences(app)
        self.listener = listener
        self.count = count
        self.forwarded_allow_ips = forwarded_allow_ips
        self.access_log = access_log
        self.before_serving = before_serving
        self.on_ready = on_ready
        self.tick = tick
        self.on_stop = on_stop
        self.children = children
        self.status = 0
        self._is_stopping = False
        self._has_served = False

    def run(self) -> int:
        """Serve until stopped; returns the exit status, not 0 when the application does not start."""
        self.children.listen(self.stop)
        while not self._is_stopping:
            self._start_missing()
            self._wait()
            self.tick()
        self.on_stop()
        self.children.end(STOP_SECONDS, SERVING)
        return self.status

    def stop(self, *_: object) -> None:
        """Let the processes finish their requests, then end. A second call kills them."""
        if self._is_stopping:
            self.children.kill_all(signal.SIGKILL, SERVING)
        self._is_stopping = True

    def _wait(self) -> None:
        self.children.wait(TICK_SECONDS)
        ready = sum(child.has_reported for child in self.children.of_kind(SERVING))
        if not self._has_served and ready == self.count:
            self._has_served = True
            self.on_ready()
        self.children.reap()

    def _start_missing(self) -> None:
        """One first: when the application does not start, only one reports it."""
        is_sure = self._has_served or any(child.has_reported for child in self.children.of_kind(SERVING))
        wanted = self.count if is_sure else 1
        while not self._is_stopping and len(self.children.of_kind(SERVING)) < wanted and self.children.may_fork:
            self.children.fork(SERVING, self._serve, self._replace_or_stop)

    def _serve(self, report: Report) -> int:
        try:
            logging.getLogger("uvicorn.access").addFilter(mask_access)
            self.before_serving()
            server = Server(self._config(), report)
            server.run(sockets=[self.listener])
        except SystemExit:  # the application did not start, and uvicorn has logged why
            return NOT_STARTED
        return 0 if server.started else NOT_STARTED

    def _config(self) -> uvicorn.Config:
        trusts_all = self.forwarded_allow_ips.strip() == "*"
        return uvicorn.Config(
            OneHop(self.app) if trusts_all else self.app,
            lifespan="on",
            http=PatientProtocol,
            ws="websockets-sansio",
            ws_max_size=WEBSOCKET_BYTES,
            log_config=None,
            access_log=self.access_log,
            server_header=False,
            proxy_headers=not trusts_all,
            forwarded_allow_ips=self.forwarded_allow_ips,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )

    def _replace_or_stop(self, child: Child) -> None:
        """Replace a process that has served; stop when the first never did."""
        if self._is_stopping:
            return
        if self._has_served or child.has_reported:
            log.warning("Serving process %d %s; another takes its place.", child.pid, child.end)
            return
        self.status = child.status if child.status and child.status > 0 else 1
        self.stop()


def mask_access(record: logging.LogRecord) -> bool:
    """Remove secrets from a line of the access log; a filter of its logger that passes all lines."""
    if isinstance(record.args, tuple):
        record.args = tuple(SECRETS.sub(r"\1\2***", one) if isinstance(one, str) else one for one in record.args)
    return True


class Server(uvicorn.Server):
    """uvicorn's server, which reports to its parent when it answers."""

    def __init__(self, config: uvicorn.Config, report: Report) -> None:
        super().__init__(config)
        self._report = report

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and report it."""
        await super().startup(sockets)
        if self.started:
            self._report()


class Sentences:
    """ASGI middleware whose lifespan fails with our sentence where we have one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Change only the message when the application does not start."""

        async def send_readable(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                error = sys.exc_info()[1]
                if isinstance(error, REFUSALS):
                    message = {**message, "message": str(error)}
            await send(message)

        await self.app(scope, receive, send_readable if scope["type"] == "lifespan" else send)
