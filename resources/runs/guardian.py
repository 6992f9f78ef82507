"""What ends with what: a process with its guardian threads, the children that it has started, and forks of a claim.

A guardian thread keeps a promise of its whole process, such as the liveness lock. A process without it would go on
unseen, so it ends.
"""

import os
import signal
import sys
import threading
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

FAILED = 1

_group = 0
_log = 2


def begin_group() -> None:
    """Begin a session and a process group of this process, which `end_this_process` ends as a whole.

    Its last words go where standard error goes now.
    """
    global _group, _log
    os.setsid()
    _group, _log = os.getpid(), os.dup(2)


def end_this_process(why: str = "") -> NoReturn:
    """End this process now, with what it has started, and say on standard error why if that is not known.

    A group that another process began, such as a shell, may have other members; they are left alone.
    """
    if why:
        with suppress(OSError):
            log = _log if _group == os.getpid() else 2
            os.write(log, f"Process {os.getpid()} ends. {why}\n".encode(errors="replace"))
    kill_started()
    os._exit(FAILED)


def kill_started() -> None:
    """Kill what this process has started; when it began its group, the whole group, and so itself."""
    if _group == os.getpid():
        os.killpg(_group, signal.SIGKILL)
    for pid in list(_started_by(os.getpid())):
        with suppress(OSError):
            if os.getpgid(pid) == os.getpgid(0):  # daemons, such as the embedded server, have left the group
                os.kill(pid, signal.SIGKILL)


def _started_by(parent: int) -> Iterator[int]:
    with suppress(OSError):
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                yield from _started_by(child)
                yield child


class GuardianThread(threading.Thread):
    """A thread whose process ends when it ends before it is finished, whatever ended it."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.is_finished = False

    @abstractmethod
    def guard(self) -> None:
        """The work of the thread; it returns when `is_finished`."""

    def run(self) -> None:
        """Guard the process, and end it when that ends too early."""
        why = "It returned too early."
        try:
            self.guard()
        except BaseException:  # noqa: BLE001  whatever it is: without this thread the process would go on unseen
            why = traceback.format_exc()
        if not self.is_finished and not sys.is_finalizing():
            end_this_process(f"Its thread {self.name!r}, without which it may not continue, has ended. {why}")


@contextmanager
def forks_leave() -> Iterator[Callable[[], None]]:
    """Let each fork that the block makes leave at the block's end: what follows is for the process that began it.

    Yields a check for the middle of the block. A fork that went on would write into its parent's sockets, commit its
    parent's step, and claim runs under its parent's number.
    """
    owner = os.getpid()

    def check() -> None:
        if os.getpid() != owner:
            _leave()

    try:
        yield check
    finally:
        check()


def _leave() -> NoReturn:
    error = sys.exception()
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exc()
        status = FAILED
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
