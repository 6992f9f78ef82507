"""Children forked from a process that has loaded what they need: how they start, and how their end is noticed.

The parent waits in one place for its own signals, for the reports of its children and for their deaths. It has no
threads, because it forks.
"""

import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from resources.runs.child_process import default_signals, end_with, name_process
from resources.runs.guardian import begin_group

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE_SECONDS = 1.0
"""A child that fails sooner delays the next fork by so much: the next may fail for the same cause."""

Report = Callable[[], None]
"""A child calls it to wake its parent, which then sees that the child `has_reported`."""


class WakeUp:
    """A pipe that ends a wait. A signal handler may write to it, whatever it has interrupted."""

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()
        os.set_blocking(self.reads, False)
        os.set_blocking(self.writes, False)

    def wake(self) -> None:
        """End the present wait, or the next one."""
        with suppress(BlockingIOError):  # the pipe is full: the wait ends anyway
            os.write(self.writes, b"!")

    def wait(self, seconds: float, *others: int) -> list[int]:
        """Wait for `wake`, until another descriptor can be read, or so long. Returns those that can be read."""
        readable, _, _ = select.select([self.reads, *others], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self.reads, 4096)
        return readable


@dataclass
class Child:
    """A child, for its parent. `status`: its exit status, or minus the number of the signal that killed it."""

    pid: int
    kind: str
    started: float
    reports: int
    on_end: Callable[["Child"], None]
    has_reported: bool = False
    status: int | None = None
    note: str = ""

    @property
    def end(self) -> str:
        """How the child ended, in words."""
        code = self.status or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        return self.note + how

    def kill(self, number: int, *, with_offspring: bool = False) -> None:
        """Send a signal to the child, or also to what it has started, which is in its session."""
        with suppress(ProcessLookupError):
            (os.killpg if with_offspring else os.kill)(self.pid, number)


class ForkedChildren:
    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._wakeup = WakeUp()
        self._next_fork = 0.0

    def of_kind(self, *kinds: str) -> list[Child]:
        """The children that live, of these kinds; of all kinds when none is named."""
        return [child for child in self._children.values() if not kinds or child.kind in kinds]

    @property
    def may_fork(self) -> bool:
        return time.monotonic() >= self._next_fork

    def listen(self, stop: Callable[..., None]) -> None:
        """Let signals end the wait; those that ask this process to end call `stop`."""
        signal.set_wakeup_fd(self._wakeup.writes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the signal ends the wait, so the death is noticed at once
        for number in STOPPING:
            signal.signal(number, stop)

    def fork(
        self,
        kind: str,
        work: Callable[[Report], int],
        on_end: Callable[[Child], None] = lambda _: None,
        *,
        without: socket.socket | None = None,
        outlives: bool = False,
    ) -> Child:
        """Fork a child that does `work` and exits with the status that it returns. It closes our sockets in `without`.

        The parent calls `on_end` when it reaps the child. When the parent is killed the kernel ends the child, unless
        the child `outlives` it.
        """
        sys.stdout.flush()
        sys.stderr.flush()  # otherwise the child would write what is in the buffers too
        parent = os.getpid()
        reads, writes = os.pipe()
        # A signal that arrives before the child has its own handlers would be lost, or run the parent's handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        pid = os.fork()
        if pid == 0:
            os.close(reads)
            if without is not None:
                without.close()
            self._be_child(kind, work, None if outlives else parent, writes)
        os.close(writes)
        child = self._children[pid] = Child(pid, kind, time.monotonic(), reads, on_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return child

    def _be_child(self, kind: str, work: Callable[[Report], int], parent: int | None, writes: int) -> NoReturn:
        def report() -> None:
            with suppress(BrokenPipeError):  # the parent is gone
                os.write(writes, b".")

        status = 1
        try:
            begin_group()  # only the parent gets ^C of a terminal, and what the child starts can be killed with it
            for descriptor in (self._wakeup.reads, self._wakeup.writes, *(child.reports for child in self.of_kind())):
                os.close(descriptor)
            default_signals()
            name_process(kind)
            if parent is not None:
                end_with(parent, signal.SIGKILL)  # SIGTERM does not end a frozen one, which would keep the port
            status = work(report)
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:  # noqa: BLE001  nothing may get out of here into the parent's own code
            traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def wait(self, seconds: float) -> None:
        """Wait until a child has reported or ended, a signal has arrived, or so long."""
        silent = {child.reports: child for child in self.of_kind() if not child.has_reported}
        for descriptor in self._wakeup.wait(seconds, *silent):
            if descriptor in silent and os.read(descriptor, 1):  # the end of the pipe: the child has ended
                silent[descriptor].has_reported = True

    def reap(self) -> list[Child]:
        """The children that have ended since the last call."""
        ended = []
        for child in self.of_kind():
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                del self._children[pid]
                os.close(child.reports)
                child.status = os.waitstatus_to_exitcode(status)
                child.on_end(child)
                ended.append(child)
                if child.status and time.monotonic() - child.started < PAUSE_SECONDS:
                    self._next_fork = time.monotonic() + PAUSE_SECONDS
        return ended

    def kill_all(self, number: int, *kinds: str) -> None:
        """Send a signal to the children of these kinds; to all when none is named."""
        for child in self.of_kind(*kinds):
            child.kill(number)

    def end(self, seconds: float, *kinds: str) -> None:
        """Send SIGTERM to the children of these kinds, later SIGKILL to them and all that they have started.

        Returns when they have ended.
        """
        self.kill_all(signal.SIGTERM, *kinds)
        give_up = time.monotonic() + seconds
        while self.of_kind(*kinds):
            self.wait(max(0.0, give_up - time.monotonic()))
            self.reap()
            if time.monotonic() >= give_up:
                for child in self.of_kind(*kinds):
                    child.kill(signal.SIGKILL, with_offspring=True)
