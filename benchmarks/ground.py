"""Where everything is measured: a temporary home with a PostgreSQL of its own, in an environment of its own."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from resources.database.embedded import EmbeddedServer
from resources.database.reaper import running_pid
from resources.settings import Settings, settings

PROJECT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
STOP_SECONDS = 60
HINDRANCES = ("PYTEST", "PYTHONDONTWRITEBYTECODE")
"""Without compiled bytecode every process that is started compiles all of Dagster anew."""


@dataclass(frozen=True)
class Ground:
    """The home, and the server in it: durable, as an operator has it."""

    home: Path
    server: EmbeddedServer

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a child process; this process's own environment is the same without `more`."""
        return {**os.environ, **more}


@contextmanager
def ground() -> Iterator[Ground]:
    """Make one for the time of the block. No database, folder or variable of the user's is used."""
    home = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))  # the socket's path must be short
    home.chmod(0o711)  # root's server is another user's
    server = EmbeddedServer(home)
    server.attach()
    before = dict(os.environ)
    try:
        _environ(home, server.uri("orchestrator"))
        yield Ground(home, server)
    finally:
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()
        server.detach()
        _wait_until_stopped(server)
        shutil.rmtree(home, ignore_errors=True)


def create_database(server: EmbeddedServer, name: str, template: str = "template1") -> None:
    """A database of that name, a copy of one that nobody is connected to."""
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def _wait_until_stopped(server: EmbeddedServer) -> None:
    give_up = time.monotonic() + STOP_SECONDS
    while running_pid(server.pid_file) is not None and time.monotonic() < give_up:
        time.sleep(0.05)


def _environ(home: Path, uri: str) -> None:
    for name in [*os.environ]:
        if name.lower() in Settings.model_fields or name.startswith(("DAGSTER", *HINDRANCES)):
            del os.environ[name]
    # This folder is found by child processes that work elsewhere.
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"ORCHESTRATOR_HOME": str(home), "DATABASE_URI": uri, "PYTHONPATH": os.pathsep.join(paths)}
    settings.cache_clear()
