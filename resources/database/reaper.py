"""The keeper: a process of its own that waits until nobody uses a background server, then stops it and ends.

Run by path as `python -I -S keeper.py LEASE PID_FILE [DIRECTORY_TO_REMOVE]`, so it imports the standard library alone.
It returns to its caller once it keeps (or another keeper does); the keeping goes on in a detached child.
"""

import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path

CLAIM_SECONDS = 2.0
STOP_SECONDS = 60.0


def open_lock(path: Path) -> int:
    """A descriptor to lock; the file is made when missing and never removed, for its identity is the lock's."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def reaper_lock(lease: Path) -> Path:
    """The file that the one keeper of a lease has locked for as long as it keeps."""
    return lease.with_suffix(".keeper")


def try_lock(descriptor: int, operation: int) -> bool:
    """Take a lock without waiting; False when somebody has it."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def claim(lease: Path) -> int | None:
    """Become the keeper of `lease`, or None when there is one. Those who look whether there is lock for an instant."""
    descriptor = open_lock(reaper_lock(lease))
    deadline = time.monotonic() + CLAIM_SECONDS
    while not try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)
    return descriptor


def running_pid(pid_file: Path) -> int | None:
    """The server's pid, if that process still is the server: it works in the directory of its pid file."""
    try:
        pid = int(pid_file.read_text().split(maxsplit=1)[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return None
    try:
        return pid if Path(f"/proc/{pid}/cwd").readlink() == pid_file.parent.resolve() else None
    except OSError:  # it has just ended, or this system has no /proc and the pid file must be believed
        return None if Path("/proc/self").exists() else pid


def stop(pid_file: Path) -> None:
    """End the server: SIGINT (PostgreSQL's fast shutdown), after a minute SIGQUIT (no clean-up), then SIGKILL."""
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
    """Keep until the lease is unused. The lease stays locked during the stop, so newcomers wait, then start anew."""
    own_lock = claim(lease)
    if own_lock is None or os.fork() > 0:
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    in_use = open_lock(lease)
    fcntl.flock(in_use, fcntl.LOCK_EX)
    stop(pid_file)
    if leftover is not None:
        shutil.rmtree(leftover, ignore_errors=True)
    os.close(own_lock)  # before the lease: whoever gets that next must find the keeper gone
    os.close(in_use)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
