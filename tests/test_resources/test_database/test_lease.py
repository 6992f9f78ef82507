"""Leases: held by living processes, whatever became of the dead ones."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resources.database import lease, reaper

HOLD = """
import sys
from pathlib import Path
from resources.database import lease
lease.hold(Path(sys.argv[1]))
print(flush=True)
input()
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    """A lease, and another process that holds it."""
    path = tmp_path / "server.lease"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield path, holder
        holder.kill()


def is_unused(path: Path) -> bool:
    descriptor = reaper.open_lock(path)
    try:
        return reaper.try_lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def within(seconds: float, claim: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


def test_a_held_lease_is_in_use(held: tuple[Path, "subprocess.Popen[str]"]) -> None:
    assert not is_unused(held[0])


def test_a_killed_holder_holds_no_more(held: tuple[Path, "subprocess.Popen[str]"]) -> None:
    path, holder = held
    holder.kill()
    lease.wait_until_unused(path)
    assert is_unused(path)


def test_a_lease_may_be_held_by_many(held: tuple[Path, "subprocess.Popen[str]"]) -> None:
    path, holder = held
    lease.hold(path)
    holder.kill()
    holder.wait()
    assert not is_unused(path)
    lease.release(path)
    assert is_unused(path)


def test_a_forked_child_keeps_the_lease_that_its_parent_gives_back(tmp_path: Path, forked: Callable[..., int]) -> None:
    path = tmp_path / "server.lease"
    lease.hold(path)
    told, telling = os.pipe()

    def outlive_the_parents_lease() -> None:
        fcntl.flock(lease._held[path.resolve()], fcntl.LOCK_SH)
        os.close(telling)
        os.read(told, 1)

    def fork_and_give_back() -> None:
        if os.fork() == 0:
            outlive_the_parents_lease()
            os._exit(0)
        inherited = lease._held[path.resolve()]
        fcntl.flock(inherited, fcntl.LOCK_UN)  # what closing does not do, a shared lock would
        lease.release(path)

    assert forked(fork_and_give_back) == 0
    lease.release(path)
    assert not is_unused(path)
    os.close(telling)
    assert within(100, lambda: is_unused(path))
    os.close(told)


def test_a_mutex_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "start"
    script = HOLD.replace("lease.hold(Path(sys.argv[1]))", "m = lease.mutex(Path(sys.argv[1])); m.__enter__()")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert not is_unused(path)
        holder.kill()
    with lease.mutex(path):
        pass


@pytest.fixture
def background(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that does nothing, in a directory with its pid file."""
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as server:
        (tmp_path / "server.pid").write_text(f"{server.pid}\nmore\n")
        yield server
        server.kill()


def test_the_keeper_stops_the_server_when_the_last_holder_is_gone(
    held: tuple[Path, "subprocess.Popen[str]"], background: "subprocess.Popen[bytes]"
) -> None:
    path, holder = held
    lease.start_reaper(path, path.with_name("server.pid"))
    assert lease.has_reaper(path)
    assert background.poll() is None
    holder.kill()
    assert background.wait(100) == -signal.SIGINT
    assert within(100, lambda: not lease.has_reaper(path))


def test_a_second_keeper_is_not_needed(
    held: tuple[Path, "subprocess.Popen[str]"], background: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = held
    lease.start_reaper(path, path.with_name("server.pid"))
    monkeypatch.setattr(reaper, "CLAIM_SECONDS", 0)
    assert reaper.claim(path) is None


def test_a_keeper_leaves_a_stranger_with_a_reused_pid_alone(
    held: tuple[Path, "subprocess.Popen[str]"], background: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    path, holder = held
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "server.pid").write_text(f"{background.pid}\n")
    lease.start_reaper(path, elsewhere / "server.pid")
    holder.kill()
    assert within(100, lambda: not lease.has_reaper(path))
    assert background.poll() is None


def test_a_keeper_removes_what_is_to_be_thrown_away(held: tuple[Path, "subprocess.Popen[str]"], tmp_path: Path) -> None:
    path, holder = held
    (tmp_path / "data").mkdir()
    lease.start_reaper(path, tmp_path / "data" / "server.pid", leftover=tmp_path / "data")
    holder.kill()
    assert within(100, lambda: not (tmp_path / "data").exists())
