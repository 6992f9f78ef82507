"""The embedded server: started by the first, shared by all, stopped with the last, whatever was killed in between."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from resources.database import embedded, lease
from resources.database.embedded import EmbeddedServer, embedded_home
from resources.database.reaper import running_pid
from resources.errors import EmbeddedServerError
from resources.settings import settings

USE = """
import sys
from resources.database.embedded import embedded_uri
import psycopg
with psycopg.connect(embedded_uri()) as connection:
    print(connection.info.dbname, flush=True)
input()
"""
User = subprocess.Popen[str]


@pytest.fixture
def home() -> Iterator[Path]:
    """Where a server of the test's own may live; it is gone, server and all, after the test."""
    path = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    path.chmod(0o711)
    (path / "pg.throwaway").touch()
    yield path
    with suppress(FileNotFoundError):  # its reaper has removed it
        lease.wait_until_unused(path / "pg.lease")
        assert within(100, lambda: not lease.has_reaper(path / "pg.lease"))
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def using(home: Path, **environment: str) -> Iterator[User]:
    """Another process that uses the server; it is killed at the end."""
    variables = os.environ | {"ORCHESTRATOR_HOME": str(home)} | environment
    with subprocess.Popen(
        [sys.executable, "-c", USE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
    ) as user:
        try:
            yield user
        finally:
            user.kill()


def ready(user: User) -> bool:
    assert user.stdout is not None
    return user.stdout.readline() == "orchestrator\n"


def within(seconds: float, claim: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def postmaster(home: Path) -> int:
    pid = running_pid(home / "pg" / "postmaster.pid")
    assert pid is not None
    return pid


def is_stopped(home: Path) -> bool:
    return running_pid(home / "pg" / "postmaster.pid") is None


def reaper_pid(home: Path) -> int:
    found = subprocess.run(["pgrep", "-f", f"reaper.py {home}/pg.lease"], check=True, capture_output=True, text=True)
    return int(found.stdout.split()[0])


def test_four_at_once_start_it_once_and_the_last_one_out_stops_it(home: Path) -> None:
    with using(home) as one, using(home) as two, using(home) as three, using(home) as four:
        assert all([ready(one), ready(two), ready(three), ready(four)])
        first = postmaster(home)
        for leaving in (one, two, three):
            leaving.communicate("\n")
        assert postmaster(home) == first
    assert within(100, lambda: is_stopped(home))


def test_the_databases_are_there_on_first_use(home: Path) -> None:
    with using(home) as user:
        assert ready(user)
        with psycopg.connect(EmbeddedServer(home).uri("dagster")) as connection:
            assert connection.info.dbname == "dagster"


def test_a_killed_keeper_is_replaced_by_the_next_user(home: Path) -> None:
    with using(home) as one:
        assert ready(one)
        os.kill(reaper_pid(home), signal.SIGKILL)
        assert within(100, lambda: not lease.has_reaper(home / "pg.lease"))
        with using(home) as two:
            assert ready(two)
            assert lease.has_reaper(home / "pg.lease")
    assert within(100, lambda: is_stopped(home))


def test_a_killed_reaper_is_replaced_by_a_user_that_leaves(home: Path) -> None:
    server = EmbeddedServer(home)
    server.attach()
    os.kill(reaper_pid(home), signal.SIGKILL)
    assert within(10, lambda: not lease.has_reaper(server.lease))
    server.ensure_reaper()
    server.detach()
    assert within(30, lambda: is_stopped(home))


def test_everything_killed_at_once_does_not_block_the_next_start(home: Path) -> None:
    with using(home) as user:
        assert ready(user)
        for pid in (reaper_pid(home), postmaster(home), user.pid):
            os.kill(pid, signal.SIGKILL)
    assert (home / "pg" / "postmaster.pid").exists()
    with using(home) as user:
        assert ready(user)


def test_a_user_survives_the_death_of_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedServer(home)
    monkeypatch.setitem(embedded._servers, home, server)
    server.attach()
    os.kill(postmaster(home), signal.SIGKILL)
    assert embedded.restart_embedded(str(server.data))
    with psycopg.connect(server.uri("orchestrator")) as connection:
        assert connection.info.dbname == "orchestrator"
    server.detach()


def test_a_start_that_is_killed_itself_is_made_once_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedServer(home)
    monkeypatch.setitem(embedded._servers, home, server)
    failures = iter([EmbeddedServerError("killed while it started")])
    attached = []

    def attach(self: EmbeddedServer) -> None:
        attached.append(self)
        if (error := next(failures, None)) is not None:
            raise error

    monkeypatch.setattr(EmbeddedServer, "attach", attach)
    assert embedded.restart_embedded(str(server.data))
    assert attached == [server, server]


def test_a_server_whose_recovery_was_killed_is_started_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL says for ever that it is in recovery, when the process that does it was killed."""
    monkeypatch.setattr(embedded, "LOST_RECOVERY_SECONDS", 0.1)
    server = EmbeddedServer(home)
    server.attach()
    first, connect = running_pid(server.pid_file), EmbeddedServer._make_databases

    def refuse(self: EmbeddedServer) -> None:
        if running_pid(self.pid_file) == first:
            raise psycopg.OperationalError("FATAL:  the database system is in recovery mode")
        connect(self)

    monkeypatch.setattr(EmbeddedServer, "_make_databases", refuse)
    server.attach()
    assert running_pid(server.pid_file) not in (None, first)
    server.detach()


def test_a_pid_file_with_the_pid_of_another_process_does_not_block(home: Path) -> None:
    (home / "pg.throwaway").unlink()
    with using(home) as user:
        assert ready(user)
    assert within(100, lambda: is_stopped(home))
    stale = f"{os.getpid()}\n{home}/pg\n1\n5432\n{home}/pg\n\n  1 1\nready\n"
    (home / "pg" / "postmaster.pid").write_text(stale)
    (home / "pg" / ".s.PGSQL.5432.lock").write_text(stale)
    (home / "pg" / ".s.PGSQL.5432").touch()
    with using(home) as user:
        assert ready(user)


def test_a_server_whose_socket_was_removed_is_started_anew(home: Path) -> None:
    with using(home) as one:
        assert ready(one)
        (home / "pg" / ".s.PGSQL.5432").unlink()
        with using(home) as two:
            assert ready(two)


def test_a_first_start_that_was_cut_short_is_begun_anew(home: Path) -> None:
    (home / "pg.new").mkdir()
    (home / "pg.new" / "PG_VERSION").write_text("18\n")
    with using(home) as user:
        assert ready(user)


def test_variables_for_another_postgresql_do_not_matter(home: Path) -> None:
    with using(home, PGPORT="1", PGHOST="nowhere", PGUSER="noc", PGDATA="/") as user:
        assert ready(user)


def test_data_of_another_major_version_are_refused_by_name(home: Path) -> None:
    (home / "pg").mkdir()
    (home / "pg" / "PG_VERSION").write_text("13\n")
    server = EmbeddedServer(home)
    with pytest.raises(EmbeddedServerError) as refusal:
        server.attach()
    server.detach()
    message = str(refusal.value)
    assert all(word in message for word in ("PostgreSQL 13", "PostgreSQL 18", str(home / "pg"), "pg_upgrade"))


def test_without_the_wheel_the_message_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    server = EmbeddedServer(home)
    with pytest.raises(EmbeddedServerError, match=r"\[embedded\].*DATABASE_URI"):
        server.attach()
    server.detach()


def test_a_failed_start_shows_what_postgresql_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "CONFIGURATION", "max_connections = many\n")
    server = EmbeddedServer(home)
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "max_connections"'):
        server.attach()
    server.detach()


@pytest.mark.parametrize("name", ["with space", "quote'd", 'double"d', "per%cent", "com,ma", "long" * 30])
def test_data_of_an_unfit_path_go_to_a_short_plain_one(name: str) -> None:
    folder = Path("/srv") / name / ".orchestrator"
    moved = embedded_home(folder)
    assert moved != folder
    assert embedded_home(moved) == moved
    assert embedded_home(folder) == moved
    assert embedded_home(Path("/srv") / f"{name}2" / ".orchestrator") != moved


def test_data_of_a_fit_path_stay_there() -> None:
    assert embedded_home(Path("/srv/noc/.orchestrator")) == Path("/srv/noc/.orchestrator")


def test_data_that_had_to_move_say_where_they_would_be(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / "my project" / ".orchestrator"
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(wanted))
    monkeypatch.setattr(embedded, "embedded_home", lambda _: home)
    settings.cache_clear()
    try:
        server = embedded.embedded_server()
        monkeypatch.delitem(embedded._servers, home)
        server.attach()
        assert (home / "origin").read_text() == f"{wanted}\n"
        server.detach()
    finally:
        settings.cache_clear()
