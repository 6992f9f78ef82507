"""Leases: which processes use a shared background server.

The kernel keeps them, so a killed process leaves none behind.

A user of the server holds a shared `flock` on the lease file until it ends. The server's reaper (`reaper.py`) waits for
the exclusive one, gets it after the last user has ended in whatever way, and stops the server.
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
from resources.secrecy import environment_of_others

_held: dict[Path, int] = {}
_lock = threading.RLock()


def hold(path: Path) -> None:
    """Hold the lease until this process ends; waits while the reaper stops the server. May be called again."""
    path = path.resolve()
    with _lock:
        if path not in _held:
            _held[path] = _shared(path)


def release(path: Path) -> None:
    """Release the lease before the process ends."""
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
    """Block until no process holds the lease; new users wait until the descriptor is closed."""
    descriptor = reaper.open_lock(path)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@contextmanager
def mutex(path: Path) -> Iterator[None]:
    """Let one process and thread at a time in; the kernel lets the next in when the holder is killed."""
    descriptor = reaper.open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def has_reaper(path: Path) -> bool:
    """Whether a reaper waits for the end of this lease."""
    descriptor = reaper.open_lock(reaper.reaper_lock(path))
    try:
        return not reaper.try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def start_reaper(path: Path, pid_file: Path, *, leftover: Path | None = None) -> None:
    """Start the process that stops the server of `pid_file` when the lease is unused; it ends at once if one exists.

    The server must work in the directory of its pid file, which tells it from another process with a reused pid.
    `leftover` is a directory to remove at the end. Returns when a reaper waits for the lease.
    """
    arguments = [path, pid_file, *([leftover] if leftover else [])]
    subprocess.run(
        [sys.executable, "-I", "-S", reaper.__file__, *map(str, arguments)],
        check=True,
        cwd="/",
        env=environment_of_others(),
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
    # A forked child shares its parent's locks: when one releases a lock, both lose it. The child takes its own before
    # it closes the inherited one, which keeps the reaper out until then, so it need not wait.
    global _lock
    _lock = threading.RLock()
    for path, inherited in list(_held.items()):
        with suppress(OSError):
            _held[path] = _shared(path)
            os.close(inherited)


os.register_at_fork(after_in_child=_own_leases_after_fork)
