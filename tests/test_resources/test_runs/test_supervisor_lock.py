"""The locks of a supervisor: who holds them, who may be stopped, and who still launches."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.runs.dispatch import Loaded
from resources.runs.workers import supervisor_lock
from resources.runs.workers.supervisor_lock import (
    ACTIVE,
    MANAGER,
    SUCCESSOR,
    LauncherLock,
    SupervisorLocks,
    has_launchers,
)
from tests.waiting import GENEROUS_SECONDS

NOW = datetime.now(UTC)
OLDER = Loaded("toys", "code", NOW - timedelta(seconds=1))
LOADED = Loaded("toys", "code", NOW)
PLACE = "postgresql://here"


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("resources.runs.workers.supervisor_lock.folder", lambda: tmp_path)


@pytest.fixture
def locks() -> SupervisorLocks:
    return SupervisorLocks(PLACE, "toys")


def test_a_lock_is_held_once(locks: SupervisorLocks) -> None:
    lock = locks.take(ACTIVE)
    assert lock is not None
    assert locks.take(ACTIVE) is None
    lock.release()
    assert not locks.is_held(ACTIVE)
    assert locks.take(ACTIVE) is not None


def test_the_locks_do_not_exclude_each_other(locks: SupervisorLocks) -> None:
    assert all(locks.take(lock) for lock in (ACTIVE, SUCCESSOR, MANAGER))
    assert SupervisorLocks(PLACE, "other").take(ACTIVE) is not None
    assert SupervisorLocks("postgresql://elsewhere", "toys").take(ACTIVE) is not None


def test_a_lock_is_free_when_its_process_is_gone(
    locks: SupervisorLocks, forked: Callable[[Callable[[], object]], int]
) -> None:
    def die_with_the_lock() -> None:
        lock = locks.take(ACTIVE)
        assert lock is not None
        lock.write_holder(LOADED)
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(die_with_the_lock) == -signal.SIGKILL
    assert locks.holder(ACTIVE) is None
    assert locks.take(ACTIVE) is not None


def test_the_holder_is_read_from_the_lock_file(locks: SupervisorLocks) -> None:
    lock = locks.take(ACTIVE)
    assert lock is not None
    assert locks.holder(ACTIVE) is None
    lock.write_holder(LOADED)
    assert locks.holder(ACTIVE) == supervisor_lock.Holder(os.getpid(), LOADED)


def test_the_next_holder_is_not_taken_for_the_last(locks: SupervisorLocks) -> None:
    first = locks.take(ACTIVE)
    assert first is not None
    first.write_holder(LOADED)
    first.release()
    assert locks.take(ACTIVE) is not None
    assert locks.holder(ACTIVE) is None


def test_an_older_holder_is_stopped(locks: SupervisorLocks) -> None:
    lock = locks.take(ACTIVE)
    assert lock is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor]) as old:
        written = supervisor_lock.HeldLock(os.dup(lock.descriptor))
        written.write_holder(OLDER)
        text = next(Path(supervisor_lock.folder()).glob(f"*{ACTIVE}"))
        text.write_text(text.read_text().replace(str(os.getpid()), str(old.pid)))
        written.release()
        lock.release()
        lock = locks.take_over(LOADED)
        assert lock is not None
        assert old.wait(GENEROUS_SECONDS) == -signal.SIGTERM
    assert locks.holder(ACTIVE) == supervisor_lock.Holder(os.getpid(), LOADED)


def test_a_newer_holder_stays(locks: SupervisorLocks) -> None:
    lock = locks.take(ACTIVE)
    assert lock is not None
    assert locks.take_over(OLDER) is None  # who has written nothing has just come
    lock.write_holder(LOADED)
    assert locks.take_over(OLDER) is None


def test_the_locks_of_an_instance_are_found(locks: SupervisorLocks) -> None:
    lock = locks.take(ACTIVE)
    assert [found.is_held(ACTIVE) for found in SupervisorLocks.all(PLACE)] == [True]
    assert list(SupervisorLocks.all("postgresql://elsewhere")) == []
    assert lock is not None


def test_who_launches_is_seen_until_they_end() -> None:
    assert not has_launchers(PLACE)
    first, second = LauncherLock(PLACE), LauncherLock(PLACE)
    first.release()
    assert has_launchers(PLACE)
    second.release()
    assert not has_launchers(PLACE)


def test_who_launches_is_gone_when_killed(forked: Callable[[Callable[[], object]], int]) -> None:
    def launch_and_die() -> None:
        launcher = LauncherLock(PLACE)
        assert has_launchers(PLACE)
        os.kill(os.getpid(), signal.SIGKILL)
        launcher.release()

    assert forked(launch_and_die) == -signal.SIGKILL
    assert not has_launchers(PLACE)


def test_a_worker_that_launches_does_not_keep_its_own_supervisor(
    forked: Callable[[Callable[[], object]], int],
) -> None:
    def launch_in_a_worker() -> None:
        supervisor_lock.hold_no_launcher_lock()
        launcher = LauncherLock(PLACE)
        assert not has_launchers(PLACE)
        launcher.release()

    assert forked(launch_in_a_worker) == 0
