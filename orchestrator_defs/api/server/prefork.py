"""The processes that serve: forked from one that has the application loaded, and replaced when they die."""

import logging
import os
import re
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resources.errors import ExternalSystemError, OrchestratorError
from resources.runs.child_process import end_with

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
DRAIN_SECONDS = 5
"""How long open requests and connections have after SIGTERM."""
STOP_SECONDS = 15.0
"""A process that has not ended so long after SIGTERM is killed."""
RESPAWN_SECONDS = 1.0
"""A process that lived shorter is replaced only after this time: what kills it may kill the next at once."""
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECRETS = re.compile(r"(/callback/)[^/? ]+|(\?)\S*")
"""In a path: what opens the way to a process, and queries, in which old clients and logins have tokens and codes."""
WEBSOCKET_BYTES = 1_000_000
"""The longest message that a WebSocket may send: a query of Dagster's page."""
NOT_STARTED = 3
"""Exit status of a process whose application does not start."""


@dataclass
class Child:
    """A serving process as its parent knows it."""

    started: float
    ready: int
    is_ready: bool = False


class Prefork:
    """Keeps a number of processes serving an application on one listening socket.

    `tick` is called about once a second, in the parent. The processes share no connection: what the application opens
    it must open in its lifespan, not when it is made.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        count: int,
        *,
        forwarded_allow_ips: str = "127.0.0.1",
        access_log: bool = False,
        on_ready: Callable[[], None] = lambda: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.app = Sentences(app)
        self.listener = listener
        self.count = count
        self.forwarded_allow_ips = forwarded_allow_ips
        self.access_log = access_log
        self.on_ready = on_ready
        self.tick = tick
        self.children: dict[int, Child] = {}
        self.status = 0
        self._told = False
        self._has_served = False
        self._next_spawn = 0.0
        self._kill_at = 0.0
        self._wakeup = os.pipe()

    def run(self) -> int:
        """Serve until told to stop; the exit status, not 0 when the application does not start."""
        self._listen_to_signals()
        while not self._told or self.children:
            self._fill_up()
            waiting = [child.ready for child in self.children.values() if not child.is_ready]
            readable, _, _ = select.select([self._wakeup[0], *waiting], [], [], TICK_SECONDS)
            with suppress(BlockingIOError):
                os.read(self._wakeup[0], 4096)
            self._note_ready(readable)
            self._reap()
            if not self._told:
                self.tick()
            elif time.monotonic() > self._kill_at:
                self._signal_all(signal.SIGKILL)
        return self.status

    def stop(self, *_: object) -> None:
        """Let the processes finish what they answer, then end. Told again, they are killed."""
        if self._told:
            self._kill_at = 0.0
            return
        self._told = True
        self._kill_at = time.monotonic() + STOP_SECONDS
        self._signal_all(signal.SIGTERM)

    # --- children ---

    def _listen_to_signals(self) -> None:
        for end in self._wakeup:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it wakes the loop, by which the death is noticed at once
        for number in STOPPING:
            signal.signal(number, self.stop)

    def _fill_up(self) -> None:
        """One first: when the application does not start, one says so."""
        is_sure = self._has_served or any(child.is_ready for child in self.children.values())
        wanted = self.count if is_sure else 1
        while not self._told and len(self.children) < wanted and time.monotonic() >= self._next_spawn:
            self._spawn()

    def _spawn(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()  # what is in the buffers would be written by the child too
        parent = os.getpid()
        ready, tells = os.pipe()
        # A signal between the fork and the child's own handlers would be lost, or work on the parent's behalf.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            self._serve(parent, tells)
        os.close(tells)
        self.children[pid] = Child(time.monotonic(), ready)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _serve(self, parent: int, tells: int) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C at a terminal is the parent's
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            end_with(parent)
            for child in self.children.values():
                os.close(child.ready)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            logging.getLogger("uvicorn.access").addFilter(mask_access)
            server = Server(self._config(), tells)
            server.run(sockets=[self.listener])
            status = 0 if server.started else NOT_STARTED
        except SystemExit:  # the application did not start, and uvicorn has said why
            status = NOT_STARTED
        except BaseException:
            log.exception("A serving process failed.")
        finally:
            logging.shutdown()
            os._exit(status)

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self.app,
            lifespan="on",
            ws="websockets-sansio",
            ws_max_size=WEBSOCKET_BYTES,
            log_config=None,
            access_log=self.access_log,
            server_header=False,
            proxy_headers=True,
            forwarded_allow_ips=self.forwarded_allow_ips,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )

    def _note_ready(self, readable: list[int]) -> None:
        for child in self.children.values():
            if child.ready in readable and not child.is_ready and os.read(child.ready, 1):
                child.is_ready = True
        ready = sum(child.is_ready for child in self.children.values())
        if not self._has_served and ready == self.count:
            self._has_served = True
            self.on_ready()

    def _reap(self) -> None:
        for pid in list(self.children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            child = self.children.pop(pid)
            os.close(child.ready)
            if not self._told:
                self._replace(pid, child, os.waitstatus_to_exitcode(status))

    def _replace(self, pid: int, child: Child, code: int) -> None:
        """A process that has served gets a successor; the first that never did ends it all."""
        if not self._has_served and not child.is_ready:
            self.status = code if code > 0 else 1
            self.stop()
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        log.warning("Serving process %d %s; another takes its place.", pid, how)
        if time.monotonic() - child.started < RESPAWN_SECONDS or not child.is_ready:
            self._next_spawn = time.monotonic() + RESPAWN_SECONDS

    def _signal_all(self, number: int) -> None:
        for pid in self.children:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def mask_access(record: logging.LogRecord) -> bool:
    """Take what is secret out of a line of the access log; a filter of its logger that lets all lines pass."""
    if isinstance(record.args, tuple):
        record.args = tuple(SECRETS.sub(r"\1\2***", one) if isinstance(one, str) else one for one in record.args)
    return True


class Server(uvicorn.Server):
    """uvicorn's server, which tells its parent when it answers and leaves ^C to it."""

    def __init__(self, config: uvicorn.Config, tells: int) -> None:
        super().__init__(config)
        self._tells = tells

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            os.write(self._tells, b".")


class Sentences:
    """An ASGI application around another, whose lifespan fails with a sentence where we have one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Change nothing but what is said when the application does not start."""

        async def tell(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                error = sys.exc_info()[1]
                if isinstance(error, OrchestratorError | ExternalSystemError):
                    message = {**message, "message": str(error)}
            await send(message)

        await self.app(scope, receive, tell if scope["type"] == "lifespan" else send)
