"""The process that serves the lab: `python -m resources.lab.server PID_FILE`, run in the directory of that file."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import uvicorn

from resources.database import lease
from resources.database.reaper import running_pid
from resources.database.session import SubscriptionDatabase
from resources.lab.asgi import create_app
from resources.lab.launcher import lease_file

STOP_SECONDS = 2
STUCK_SECONDS = 60
"""A server that has not ended so long after a signal ends at once."""


def uvicorn_server(database: SubscriptionDatabase) -> uvicorn.Server:
    """A server for the lab on this database that logs only warnings."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(database),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )


def loopback_socket() -> tuple[socket.socket, str]:
    """A listening socket on a free port of this machine only, and its address as a URL."""
    # Named TCP, or asyncio does not turn Nagle's algorithm off and each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


def serve(pid_file: Path) -> None:
    """Serve until SIGINT, SIGTERM or the end of the last user; the pid file is there while requests are answered."""
    threading.Thread(target=_end_when_unused, args=(lease_file(pid_file.parent),), daemon=True).start()
    server = uvicorn_server(SubscriptionDatabase(uri=""))
    listener, url = loopback_socket()
    fresh = pid_file.with_suffix(".new")
    fresh.write_text(f"{os.getpid()}\n{url}\n")
    fresh.replace(pid_file)
    try:
        asyncio.run(server.serve(sockets=[listener]))
    except KeyboardInterrupt:
        pass
    finally:
        pid_file.unlink(missing_ok=True)


def _end_when_unused(held: Path) -> None:
    lease.take_over(held)  # new users wait until this process is gone, then start another
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(STUCK_SECONDS)
    os._exit(1)


def main(pid_file: Path) -> int:
    """Serve in a child, which continues; return when it answers (0) or has ended (1)."""
    child = os.fork()
    if child == 0:
        serve(pid_file)
        return 0
    while running_pid(pid_file) != child:
        if os.waitpid(child, os.WNOHANG)[0]:
            return 1
        time.sleep(0.01)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
