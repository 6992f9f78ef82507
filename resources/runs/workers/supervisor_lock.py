"""The locks of a code location's supervisor on this machine: its holder, its successor, and the processes that need it.

Each is a lock on a file in one folder, which the kernel releases when its process ends, also when it is killed:

    PLACE-LOCATION.holder   the active supervisor      PLACE-LOCATION.relief   its successor, while that loads
    PLACE-LOCATION.keeper   the manager, `orchestrator workers start`, which restarts the supervisor
    PLACE.launchers         shared by all that have launched a run, and may again
"""

import fcntl
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from resources.database.reaper import open_lock, try_lock
from resources.runs.dispatch import Loaded
from resources.settings import settings

ACTIVE, SUCCESSOR, MANAGER, LAUNCHERS = ".holder", ".relief", ".keeper", ".launchers"
STOP_SECONDS = 30.0
"""A holder that has not ended so long after SIGTERM is killed; its workers finish their runs."""
POLL_SECONDS = 0.02
PROBES, PROBE_SECONDS = 4, 0.005
"""A check takes a lock for an instant, so `take` tries again before it believes that a lock is held."""


def folder() -> Path:
    """The folder with the locks and the log of this project's supervisors."""
    path = settings().home.resolve() / "workers"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a lock, in its own words. `loaded`: the code that it loads; None for a manager."""

    pid: int
    loaded: Loaded | None


class HeldLock:
    """A lock that this process holds. A child inherits it with the descriptor; it is free when all have closed that."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @property
    def descriptor(self) -> int:
        """The descriptor, for a child that is to hold the lock."""
        if self._descriptor is None:
            raise ValueError("The lock was released.")
        return self._descriptor

    def write_holder(self, loaded: Loaded | None) -> None:
        """Write down who holds the lock, for others to compare and to signal."""
        written: dict[str, object] = {"pid": os.getpid()}
        if loaded is not None:
            written |= {"location": loaded.location, "code": loaded.code, "loaded_at": loaded.loaded_at.isoformat()}
        os.pwrite(self.descriptor, json.dumps(written).encode(), 0)

    def release(self) -> None:
        """Release the lock. May be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class SupervisorLocks:
    """The locks of one code location in one instance."""

    def __init__(self, place: str, location: str) -> None:
        self._path = folder() / f"{_short(place)}-{_short(location)}"

    @classmethod
    def all(cls, place: str) -> Iterator["SupervisorLocks"]:
        """The locks that an instance has had on this machine."""
        for path in sorted(folder().glob(f"{_short(place)}-*{ACTIVE}")):
            locks = cls.__new__(cls)
            locks._path = path.with_suffix("")
            yield locks

    def take(self, lock: str) -> HeldLock | None:
        """Take a lock if it is free, and delete the name of its last holder."""
        descriptor = open_lock(self._path.with_suffix(lock))
        for _ in range(PROBES):
            if try_lock(descriptor, fcntl.LOCK_EX):
                os.ftruncate(descriptor, 0)
                return HeldLock(descriptor)
            if self._holder_is_alive(lock):
                break
            time.sleep(PROBE_SECONDS)
        os.close(descriptor)
        return None

    def _holder_is_alive(self, lock: str) -> bool:
        try:
            os.kill(json.loads(self._path.with_suffix(lock).read_text())["pid"], 0)
        except (OSError, ValueError):
            return False
        return True

    def is_held(self, lock: str) -> bool:
        """Whether a process holds a lock."""
        descriptor = open_lock(self._path.with_suffix(lock))
        try:
            return not try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def holder(self, lock: str) -> Holder | None:
        """The holder of a lock; None when it is free or the holder has not written its name yet."""
        if not self.is_held(lock):
            return None
        try:
            written = json.loads(self._path.with_suffix(lock).read_text())
        except (OSError, ValueError):
            return None
        if "code" not in written:
            return Holder(written["pid"], None)
        loaded_at = datetime.fromisoformat(written["loaded_at"])
        return Holder(written["pid"], Loaded(written["location"], written["code"], loaded_at))

    def take_over(self, loaded: Loaded) -> HeldLock | None:
        """Stop the holder and take its lock. None when a holder has newer code."""
        signalled: dict[int, float] = {}
        while (lock := self.take(ACTIVE)) is None:
            holder = self.holder(ACTIVE)
            if holder is not None and holder.loaded is not None and holder.loaded.loaded_at < loaded.loaded_at:
                _stop(holder.pid, signalled)
            elif self.is_held(ACTIVE):
                return None
            time.sleep(POLL_SECONDS)
        lock.write_holder(loaded)
        return lock

    def stop_supervisors(self) -> None:
        """Stop holder and successor; returns when both locks are free, while their workers may still finish runs."""
        signalled: dict[int, float] = {}
        for lock in (SUCCESSOR, ACTIVE):
            while self.is_held(lock):
                if (holder := self.holder(lock)) is not None:
                    _stop(holder.pid, signalled)
                time.sleep(POLL_SECONDS)


def _stop(pid: int, signalled: dict[int, float]) -> None:
    """Send SIGTERM once, and later SIGKILL. The caller has just seen that the process holds its lock."""
    now = time.monotonic()
    with suppress(ProcessLookupError):
        if pid not in signalled:
            signalled[pid] = now
            os.kill(pid, signal.SIGTERM)
        elif now - signalled[pid] > STOP_SECONDS:
            os.kill(pid, signal.SIGKILL)


# --- launching processes ---

_executes = False


class LauncherLock:
    """A sign that this process may launch runs, until it is released or the process ends."""

    def __init__(self, place: str) -> None:
        self._descriptor: int | None = None
        if not _executes:
            self._descriptor = open_lock(_launchers(place))
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        """Release the lock. May be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold_no_launcher_lock() -> None:
    """Take no launcher lock: this process launches only for a claimed run, which needs a supervisor anyway."""
    global _executes
    _executes = True


def has_launchers(place: str) -> bool:
    """Whether a process that has launched a run still lives."""
    descriptor = open_lock(_launchers(place))
    try:
        return not try_lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _launchers(place: str) -> Path:
    return folder() / f"{_short(place)}{LAUNCHERS}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
