"""Ends waits for a PostgreSQL that is hung, which no keepalive notices: the kernel of its machine still answers.

A thread of each process that has connections looks for old statements, and asks their server for a new connection. If
that is not answered either, it cuts theirs, so that who waits gets the error of a lost connection.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy import event

SILENT_SECONDS = 30.0
"""A statement that has taken so long is old. It may take longer, if its server gives others a connection."""
PROBE_SECONDS = 5
LOOK_SECONDS = 1.0
ACTIVE = 1
"""The transaction status, in both drivers, of a connection that waits for the server."""


@dataclass(eq=False, slots=True)
class _Watched:
    server: str
    connect: Callable[..., Any]
    since: float


_watched: "WeakKeyDictionary[Any, _Watched]" = WeakKeyDictionary()
_silent = SILENT_SECONDS
_longest: float | None = None
_lock = threading.Lock()
_thread: "_Watch | None" = None


def limit_waits(silent: float, longest: float | None) -> None:
    """Look at statements after so many seconds, and wait for none longer than `longest`, whatever the server does."""
    global _silent, _longest
    _silent, _longest = silent, longest


def watch(connection: Any, server: str, connect: Callable[..., Any]) -> None:
    """Watch a connection for its life. `connect` opens another to its server, and takes `connect_timeout`."""
    with _lock:
        _watched[connection] = _Watched(server, connect, time.monotonic())
    note(connection)


def note(connection: Any) -> None:
    """Note that a statement begins, from which its time counts."""
    global _thread
    if (one := _watched.get(connection)) is not None:
        one.since = time.monotonic()
    if _thread is None:
        with suppress(RuntimeError):  # the interpreter is ending
            _thread = _Watch()
            _thread.start()


def note_statements(engine: sa.Engine) -> None:
    """Note all that this engine sends; its connections are watched since they were opened."""
    for sent in ("before_cursor_execute", "commit", "rollback"):
        event.listen(engine, sent, _note_use)
    event.listen(engine, "reset", lambda connection, *_: note(connection))


def _note_use(used: sa.Connection, *_: Any) -> None:
    if not used.invalidated:
        note(used.connection.dbapi_connection)


class _Watch(threading.Thread):
    """It ends before a fork, because processes that fork have no threads; the next statement starts another."""

    def __init__(self) -> None:
        super().__init__(name="hung server", daemon=True)
        self._stop_request = threading.Event()
        self._answered: dict[str, float] = {}

    def stop(self) -> None:
        self._stop_request.set()
        self.join(LOOK_SECONDS)

    def run(self) -> None:
        while not self._stop_request.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        for connection, one in _waiting(_silent):
            now = time.monotonic()
            if _longest is not None and now - one.since > _longest:
                _cut(connection)
            elif now - self._answered.get(one.server, one.since) > _silent:
                if not _answers(one):
                    for hung, other in _waiting(_silent):
                        if other.server == one.server:
                            _cut(hung)
                    return
                self._answered[one.server] = now


def _waiting(seconds: float) -> list[tuple[Any, _Watched]]:
    """The connections that have waited for longer."""
    before = time.monotonic() - seconds
    with _lock:
        old = [(connection, one) for connection, one in _watched.items() if one.since < before]
    return [pair for pair in old if _is_active(pair[0])]


def _is_active(connection: Any) -> bool:
    with suppress(Exception):  # closed meanwhile; each driver has errors of its own
        return bool(connection.info.transaction_status == ACTIVE)
    return False


def _answers(one: _Watched) -> bool:
    """Whether a server lets others in, or refuses them in words."""
    try:
        one.connect(connect_timeout=PROBE_SECONDS).close()
    except Exception as error:  # noqa: BLE001  each driver has errors of its own
        return "FATAL" in str(error)
    return True


def _cut(connection: Any) -> None:
    """Shut the socket down for whoever waits at it; the driver closes it."""
    with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _stop_before_fork() -> None:
    global _thread
    if _thread is not None and _thread.is_alive():
        _thread.stop()
    _thread = None


def _watch_own_after_fork() -> None:
    global _watched, _lock
    _watched, _lock = WeakKeyDictionary(), threading.Lock()


os.register_at_fork(before=_stop_before_fork, after_in_child=_watch_own_after_fork)
