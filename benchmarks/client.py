"""A client in a process of its own: it measures the server and the way there, and not what a client does itself."""

import http.client
import pickle
import subprocess
import sys
import time
from typing import IO, Any

import httpx

STOP_SECONDS = 10


class OwnProcess(httpx.BaseTransport):
    """Lets another process send the requests of an httpx client, one after another.

    Each response says in its extension `ms` how long the other process waited for it, from the first byte that it sent
    to the last that it received.
    """

    def __init__(self) -> None:
        words = [sys.executable, "-m", "benchmarks.client"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Have it sent, and return what came back."""
        assert self._process.stdin is not None and self._process.stdout is not None, "both are pipes"
        target = request.url.raw_path.decode("ascii")
        asked = (request.url.host, request.url.port, request.method, target, dict(request.headers), request.read())
        pickle.dump(asked, self._process.stdin)
        self._process.stdin.flush()
        ms, status, headers, body = pickle.load(self._process.stdout)
        return httpx.Response(status, headers=headers, content=body, extensions={"ms": ms})

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=STOP_SECONDS)


def _serve(asked: IO[bytes], answered: IO[bytes]) -> None:
    connections: dict[tuple[str, int], http.client.HTTPConnection] = {}
    while True:
        try:
            host, port, *request = pickle.load(asked)
        except EOFError:
            return
        connection = connections.setdefault((host, port), http.client.HTTPConnection(host, port, timeout=60))
        try:
            found = _timed(connection, *request)
        except (http.client.RemoteDisconnected, ConnectionError):  # it was idle for so long that the server closed it
            connection.close()
            found = _timed(connection, *request)
        pickle.dump(found, answered)
        answered.flush()


def _timed(
    connection: http.client.HTTPConnection, method: str, target: str, headers: dict[str, str], body: bytes
) -> tuple[float, int, Any, bytes]:
    if connection.sock is None:
        connection.connect()
    began = time.perf_counter()
    connection.request(method, target, body or None, headers)
    answer = connection.getresponse()
    received = answer.read()
    return (time.perf_counter() - began) * 1000, answer.status, answer.getheaders(), received


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
