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

HOLDER, RELIEF, KEEPER, LAUNCHERS = ".holder", ".relief", ".keeper", ".launchers"
DEAF_SECONDS = 30.0
"""A holder that has not left so long after it was told to is killed; its workers finish what they have in hand."""
POLL_SECONDS = 0.02
GLANCES, GLANCE_SECONDS = 4, 0.005
"""Who looks whether a seat is taken has it for an instant; a free one must not be thought taken for that."""


def folder() -> Path:
    """Where the supervisors of this project have their locks and their log."""
    path = settings().home.resolve() / "workers"
    path.mkdir(parents=True, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class Occupant:
    """Who has a seat, as they signed. `loaded`: the code that they load; None for a keeper, which loads none."""

    pid: int
    loaded: Loaded | None


class Seat:
    """A seat that this process has. It goes to a child with its descriptor, and is free when none has that open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @property
    def descriptor(self) -> int:
        """For the child that shall have the seat."""
        if self._descriptor is None:
            raise ValueError("The seat was given back.")
        return self._descriptor

    def sign(self, loaded: Loaded | None) -> None:
        """Say who sits here, for others to judge and to call."""
        signed: dict[str, object] = {"pid": os.getpid()}
        if loaded is not None:
            signed |= {"location": loaded.location, "code": loaded.code, "loaded_at": loaded.loaded_at.isoformat()}
        os.pwrite(self.descriptor, json.dumps(signed).encode(), 0)

    def release(self) -> None:
        """Give the seat back. May be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Post:
    """One code location's post in one instance."""

    def __init__(self, place: str, location: str) -> None:
        self._path = folder() / f"{_short(place)}-{_short(location)}"

    @classmethod
    def all(cls, place: str) -> Iterator["Post"]:
        """The posts that an instance has had on this machine."""
        for path in sorted(folder().glob(f"{_short(place)}-*{HOLDER}")):
            post = cls.__new__(cls)
            post._path = path.with_suffix("")
            yield post

    def take(self, seat: str) -> Seat | None:
        """Have a seat if it is free. Nobody's signature is on it then: who has just come cannot be judged yet."""
        descriptor = open_lock(self._path.with_suffix(seat))
        for _ in range(GLANCES):
            if try_lock(descriptor, fcntl.LOCK_EX):
                os.ftruncate(descriptor, 0)
                return Seat(descriptor)
            if self._is_signed_by_the_living(seat):
                break
            time.sleep(GLANCE_SECONDS)
        os.close(descriptor)
        return None

    def _is_signed_by_the_living(self, seat: str) -> bool:
        try:
            os.kill(json.loads(self._path.with_suffix(seat).read_text())["pid"], 0)
        except (OSError, ValueError):
            return False
        return True

    def is_taken(self, seat: str) -> bool:
        """Whether somebody has a seat."""
        descriptor = open_lock(self._path.with_suffix(seat))
        try:
            return not try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def occupant(self, seat: str) -> Occupant | None:
        """Who has a seat; None when it is free or not signed yet."""
        if not self.is_taken(seat):
            return None
        try:
            signed = json.loads(self._path.with_suffix(seat).read_text())
        except (OSError, ValueError):
            return None
        if "code" not in signed:
            return Occupant(signed["pid"], None)
        loaded_at = datetime.fromisoformat(signed["loaded_at"])
        return Occupant(signed["pid"], Loaded(signed["location"], signed["code"], loaded_at))

    def relieve(self, loaded: Loaded) -> Seat | None:
        """Tell the holder to leave, and hold the post. None when it has a newer holder by now."""
        told: dict[int, float] = {}
        while (seat := self.take(HOLDER)) is None:
            holder = self.occupant(HOLDER)
            if holder is not None and holder.loaded is not None and holder.loaded.loaded_at < loaded.loaded_at:
                _tell(holder.pid, told)
            elif self.is_taken(HOLDER):
                return None
            time.sleep(POLL_SECONDS)
        seat.sign(loaded)
        return seat

    def dismiss(self) -> None:
        """Tell holder and relief to leave; returns when both seats are free, while their workers may still finish."""
        told: dict[int, float] = {}
        for seat in (RELIEF, HOLDER):
            while self.is_taken(seat):
                if (occupant := self.occupant(seat)) is not None:
                    _tell(occupant.pid, told)
                time.sleep(POLL_SECONDS)


def _tell(pid: int, told: dict[int, float]) -> None:
    """SIGTERM, once; SIGKILL to who does not hear. The seat was seen taken by this process a moment ago."""
    now = time.monotonic()
    with suppress(ProcessLookupError):
        if pid not in told:
            told[pid] = now
            os.kill(pid, signal.SIGTERM)
        elif now - told[pid] > DEAF_SECONDS:
            os.kill(pid, signal.SIGKILL)


# --- who launches ---

_executes = False


class Launching:
    """A sign that this process may launch runs, until it is taken back or the process ends."""

    def __init__(self, place: str) -> None:
        self._descriptor: int | None = None
        if not _executes:
            self._descriptor = open_lock(_launchers(place))
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def end(self) -> None:
        """Take it back. May be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def only_execute() -> None:
    """This process and its children launch at most on behalf of a run in hand, which keeps their supervisor anyway."""
    global _executes
    _executes = True


def anybody_launches(place: str) -> bool:
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
