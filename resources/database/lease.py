"""Leases: who uses a shared background server, kept by the kernel so that a killed process never leaves one behind.

A user of the server holds a shared `flock` on the lease file for its life. The server's keeper (`keeper.py`) blocks on
the exclusive one: it gets it when the last user is gone, however that user went, and stops the server.
"""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resources.database import reaper

_held: dict[Path, int] = {}
_lock = threading.RLock()


def hold(path: Path) -> None:
    """Hold the lease until this process ends; waits while the keeper stops the server. May be called again."""
    path = path.resolve()
    with _lock:
        if path not in _held:
            _held[path] = _shared(path)


def release(path: Path) -> None:
    """Give the lease back before the process ends."""
    with _lock:
        if (descriptor := _held.pop(path.resolve(), None)) is not None:
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether this process holds the lease."""
    return path.resolve() in _held


def wait_until_unused(path: Path) -> None:
    """Block until no process holds the lease."""
    os.close(take_over(path))


def take_over(path: Path) -> int:
    """Block until no process holds the lease, and keep newcomers waiting until the descriptor is closed."""
    descriptor = reaper.open_lock(path)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@contextmanager
def mutex(path: Path) -> Iterator[None]:
    """Only one process (and thread) at a time is inside; the kernel lets the next one in when the holder is killed."""
    descriptor = reaper.open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def has_reaper(path: Path) -> bool:
    """Whether a keeper waits for the end of this lease."""
    descriptor = reaper.open_lock(reaper.reaper_lock(path))
    try:
        return not reaper.try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def start_reaper(path: Path, pid_file: Path, *, leftover: Path | None = None) -> None:
    """Start the process that stops the server of `pid_file` when the lease is unused; it ends at once if there is one.

    The server must work in the directory of its pid file, by which it is told from another process with a reused pid.
    `leftover` is a directory to remove at the end. Returns once the lease is kept.
    """
    arguments = [path, pid_file, *([leftover] if leftover else [])]
    subprocess.run(
        [sys.executable, "-I", "-S", reaper.__file__, *map(str, arguments)],
        check=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _shared(path: Path) -> int:
    descriptor = reaper.open_lock(path)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _own_leases_after_fork() -> None:
    # A forked child shares its parent's locks: what one gives back, both lose. It takes its own first, so it never is
    # without, and without waiting: the inherited lock keeps the keeper out.
    global _lock
    _lock = threading.RLock()
    for path, inherited in list(_held.items()):
        with suppress(OSError):
            _held[path] = _shared(path)
            os.close(inherited)


os.register_at_fork(after_in_child=_own_leases_after_fork)
