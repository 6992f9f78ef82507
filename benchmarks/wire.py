"""The wire between a process and PostgreSQL, listened to: what really went over it, whichever driver sent it.

It is slower than a socket, so what is counted here is not timed.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from resources.database.embedded import SOCKET, EmbeddedServer

READY, COMPLETE = ord("Z"), ord("C")
"""Messages of the server: it waits for the next request; a statement is done, and of which kind it was."""
NOT_IN_TRANSACTION = b"I"
CONTROL = (b"BEGIN", b"COMMIT", b"ROLLBACK", b"SAVEPOINT", b"RELEASE", b"SET", b"START")


@dataclass
class Traffic:
    """What was counted. A transaction is one that has ended; a statement outside of one is a transaction too."""

    connections: int = 0
    round_trips: int = 0
    statements: int = 0
    transactions: int = 0

    def clear(self) -> None:
        """Begin again at none."""
        self.connections = self.round_trips = self.statements = self.transactions = 0


@dataclass(frozen=True)
class Wire:
    """A socket that leads to a server, and the traffic through it."""

    folder: Path
    traffic: Traffic

    def uri(self, database: str) -> str:
        """Where to connect to be counted."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.folder), safe='/')}&port=5432"


@contextmanager
def wire(server: EmbeddedServer, folder: Path) -> Iterator[Wire]:
    """Lay one for the time of the block."""
    folder.mkdir()
    one = Wire(folder, Traffic())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / SOCKET))
        listener.listen()
        threading.Thread(target=_accept, args=(listener, server.data / SOCKET, one.traffic), daemon=True).start()
        try:
            yield one
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, target: Path, traffic: Traffic) -> None:
    with suppress(OSError):  # the end of the block
        while True:
            near, _ = listener.accept()
            threading.Thread(target=_connect, args=(near, target, traffic), daemon=True).start()


def _connect(near: socket.socket, target: Path, traffic: Traffic) -> None:
    """Be the wire of one connection until one end has gone."""
    with near, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as far:
        far.connect(str(target))
        requests = threading.Thread(target=_pass_on, args=(near, far), daemon=True)
        requests.start()
        _pass_on(far, near, _Answers(traffic))
        requests.join()


def _pass_on(source: socket.socket, sink: socket.socket, heard: "_Answers | None" = None) -> None:
    with suppress(OSError):  # one end has gone
        while data := source.recv(65536):
            if heard is not None:
                heard.hear(data)
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class _Answers:
    """The stream of one server process, cut into its messages: a letter, the length of the rest, the rest."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.rest = b""
        self.is_connected = False

    def hear(self, data: bytes) -> None:
        """Count what is complete and keep the rest."""
        stream, begin = self.rest + data, 0
        while len(stream) - begin >= 5:
            end = begin + 1 + int.from_bytes(stream[begin + 1 : begin + 5])
            if end > len(stream):
                break
            self._count(stream[begin], stream[begin + 5 : end])
            begin = end
        self.rest = stream[begin:]

    def _count(self, kind: int, body: bytes) -> None:
        if kind == COMPLETE:
            self.traffic.statements += not body.startswith(CONTROL)
        elif kind == READY and not self.is_connected:
            self.is_connected = True
            self.traffic.connections += 1
        elif kind == READY:
            self.traffic.round_trips += 1
            self.traffic.transactions += body == NOT_IN_TRANSACTION
