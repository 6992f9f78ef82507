"""A PostgreSQL of a test's own, that it stops, kills and starts under whoever uses it."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from resources.database import lease
from resources.database.embedded import EmbeddedServer
from resources.database.reaper import running_pid


class OwnServer:
    """The server. Nobody but the test starts it again: to those who use it, it is some administrator's."""

    def __init__(self, home: Path) -> None:
        self.embedded = EmbeddedServer(home)
        self.embedded.attach()
        self.url = self.embedded.uri("dagster")
        with psycopg.connect(self.embedded.uri("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # it crashes, the machine does not; and it is back soon
            connection.execute("SELECT pg_reload_conf()")

    def uri_of_new_database(self) -> str:
        """Of an empty one; it goes with the server."""
        name = f"dagster_{uuid4().hex}"
        with psycopg.connect(self.embedded.uri("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.embedded.uri(name)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it. SIGINT: connections are cut; SIGQUIT: at once, as in a crash, with recovery at the next start."""
        pid = running_pid(self.embedded.pid_file)
        assert pid is not None
        os.kill(pid, how)
        while running_pid(self.embedded.pid_file) is not None:
            time.sleep(0.02)

    def start(self) -> None:
        """Start it again."""
        self.embedded.attach()


@contextmanager
def server_of_its_own() -> Iterator[OwnServer]:
    """A server in a folder of its own, removed at the end.

    What it has committed stays committed in a crash, unlike with the one that other tests share.
    """
    home = Path(tempfile.mkdtemp(prefix="own-", dir="/tmp"))  # short, for the socket's path
    home.chmod(0o711)  # root's server is another user's
    server = OwnServer(home)
    yield server
    server.embedded.detach()
    lease.wait_until_unused(server.embedded.lease)
    while running_pid(server.embedded.pid_file) is not None:
        time.sleep(0.02)
    shutil.rmtree(home)
