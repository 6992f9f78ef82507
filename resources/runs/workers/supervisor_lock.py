"""The post of a code location's supervisor on this machine: who holds it, who will relieve them, who still needs them.

Each seat is a lock on a file in one folder, which the kernel takes from a process that ends, however it ends:

    PLACE-LOCATION.holder   the supervisor in office      PLACE-LOCATION.relief   its successor, while that loads
    PLACE-LOCATION.keeper   `orchestrator workers start`, which keeps the post filled
    PLACE.launchers         shared by all who have launched a run, and may again
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
"""A holder that has not left so long after it was told to is killed; its workers finish what they have in hand."""
POLL_SECONDS = 0.02
PROBES, PROBE_SECONDS = 4, 0.005
"""Who looks whether a seat is taken has it for an instant; a free one must not be thought taken for that."""


def folder() -> Path:
    """Where the supervisors of this project have their locks and their log."""
    path = settings().home.resolve() / "workers"
    path.mkdir(parents=True, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a seat, as they signed. `loaded`: the code that they load; None for a keeper, which loads none."""

    pid: int
    loaded: Loaded | None


class HeldLock:
    """A seat that this process has. It goes to a child with its descriptor, and is free when none has that open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @property
    def descriptor(self) -> int:
        """For the child that shall have the seat."""
        if self._descriptor is None:
            raise ValueError("The seat was given back.")
        return self._descriptor

    def write_holder(self, loaded: Loaded | None) -> None:
        """Say who sits here, for others to judge and to call."""
        written: dict[str, object] = {"pid": os.getpid()}
        if loaded is not None:
            written |= {"location": loaded.location, "code": loaded.code, "loaded_at": loaded.loaded_at.isoformat()}
        os.pwrite(self.descriptor, json.dumps(written).encode(), 0)

    def release(self) -> None:
        """Give the seat back. May be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class SupervisorLocks:
    """One code location's post in one instance."""

    def __init__(self, place: str, location: str) -> None:
        self._path = folder() / f"{_short(place)}-{_short(location)}"

    @classmethod
    def all(cls, place: str) -> Iterator["SupervisorLocks"]:
        """The posts that an instance has had on this machine."""
        for path in sorted(folder().glob(f"{_short(place)}-*{ACTIVE}")):
            locks = cls.__new__(cls)
            locks._path = path.with_suffix("")
            yield locks

    def take(self, lock: str) -> HeldLock | None:
        """Have a seat if it is free. Nobody's signature is on it then: who has just come cannot be judged yet."""
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
        """Whether somebody has a seat."""
        descriptor = open_lock(self._path.with_suffix(lock))
        try:
            return not try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def holder(self, lock: str) -> Holder | None:
        """Who has a seat; None when it is free or not signed yet."""
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
        """Tell the holder to leave, and hold the post. None when it has a newer holder by now."""
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
        """Tell holder and relief to leave; returns when both seats are free, while their workers may still finish."""
        signalled: dict[int, float] = {}
        for lock in (SUCCESSOR, ACTIVE):
            while self.is_held(lock):
                if (holder := self.holder(lock)) is not None:
                    _stop(holder.pid, signalled)
                time.sleep(POLL_SECONDS)


def _stop(pid: int, signalled: dict[int, float]) -> None:
    """SIGTERM, once; SIGKILL to who does not hear. The seat was seen taken by this process a moment ago."""
    now = time.monotonic()
    with suppress(ProcessLookupError):
        if pid not in signalled:
            signalled[pid] = now
            os.kill(pid, signal.SIGTERM)
        elif now - signalled[pid] > STOP_SECONDS:
            os.kill(pid, signal.SIGKILL)


# --- who launches ---

_executes = False


class LauncherLock:
    """A sign that this process may launch runs, until it is taken back or the process ends."""

    def __init__(self, place: str) -> None:
        self._descriptor: int | None = None
        if not _executes:
            self._descriptor = open_lock(_launchers(place))
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        """Take it back. May be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold_no_launcher_lock() -> None:
    """This process and its children launch at most on behalf of a run in hand, which keeps their supervisor anyway."""
    global _executes
    _executes = True


def has_launchers(place: str) -> bool:
    """Whether any process that has launched a run still lives."""
    descriptor = open_lock(_launchers(place))
    try:
        return not try_lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _launchers(place: str) -> Path:
    return folder() / f"{_short(place)}{LAUNCHERS}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
