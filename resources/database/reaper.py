"""The reaper: a process that waits until no process uses a background server, then stops the server and ends.

This file is run by its path, as `python -I -S reaper.py LEASE PID_FILE [DIRECTORY_TO_REMOVE]`, so it imports the
standard library alone. It returns when it, or another reaper, holds the reaper's lock; a detached child does the
waiting.
"""

import fcntl
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

CLAIM_SECONDS = 2.0
STOP_SECONDS = 60.0


def open_lock(path: Path) -> int:
    """Open a file to lock it; created when missing and never removed, because the lock belongs to that very file.

    It is closed to other users: whoever can open it can lock it, and nothing would start.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with suppress(PermissionError):  # not ours
        os.fchmod(descriptor, 0o600)  # it may be older than this rule
    return descriptor


def reaper_lock(lease: Path) -> Path:
    """The file that the one reaper of a lease keeps locked."""
    return lease.with_suffix(".keeper")


def try_lock(descriptor: int, operation: int) -> bool:
    """Take a lock without waiting; False when another process holds it."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def claim(lease: Path) -> int | None:
    """Become the reaper of `lease`; None when there is one. Retries, for `has_reaper` has the lock for an instant."""
    descriptor = open_lock(reaper_lock(lease))
    deadline = time.monotonic() + CLAIM_SECONDS
    while not try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)
    return descriptor


def running_pid(pid_file: Path) -> int | None:
    """The server's pid, if that process is still the server: it works in the directory of its pid file."""
    try:
        pid = int(pid_file.read_text().split(maxsplit=1)[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return None
    try:
        return pid if Path(f"/proc/{pid}/cwd").readlink() == pid_file.parent.resolve() else None
    except OSError:  # it has just ended, or this system has no /proc to tell
        return None if Path("/proc/self").exists() else pid


def stop(pid_file: Path) -> None:
    """Stop the server: SIGINT (PostgreSQL's fast shutdown), after a minute SIGQUIT (no clean-up), then SIGKILL."""
    for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if (pid := running_pid(pid_file)) is None:
            return
        os.kill(pid, signal_number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if running_pid(pid_file) is None:
                return
            time.sleep(0.02)


def main(lease: Path, pid_file: Path, leftover: Path | None = None) -> None:
    """Wait until the lease is unused, then stop the server; new users wait for the lease and then start it again."""
    own_lock = claim(lease)
    if own_lock is None or os.fork() > 0:
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    in_use = open_lock(lease)
    fcntl.flock(in_use, fcntl.LOCK_EX)
    stop(pid_file)
    if leftover is not None:
        shutil.rmtree(leftover, ignore_errors=True)
    os.close(own_lock)  # before the lease: the next process that gets that must find no reaper
    os.close(in_use)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
