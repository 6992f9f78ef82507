"""Companions: commands that run beside a process and end with it, however it ends.

Run by path as `python -I -S child_process.py PARENT COMMAND…`, so it imports the standard library alone: it has the
kernel send SIGTERM when the parent is gone, and becomes the command. Without a parent (0) it detaches itself: who
starts the command need not wait for it, and may end before.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
STOP_SECONDS = 15.0
LONGEST_LOG = 5_000_000
"""Bytes at which a log is put aside when its companion starts."""
INHERITED = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)
"""Ignored by who starts us (a shell ignores SIGINT for what it starts in the background), they would be ignored by all
that we start."""

MOST_RESTARTS, WITHIN_SECONDS = 3, 60.0
"""What ends so often in so long will not be helped by another start."""

_LAUNCH = (sys.executable, "-I", "-S", __file__)


class ChildProcess:
    """A command that is started, looked after and stopped. What it says goes into its log, or where ours goes.

    It has the open `descriptors` of ours that are named.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.descriptors = descriptors
        self.command = list(command)
        self.environment = dict(environment or {})
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, to be called again when it has ended. In the main thread: with the thread its companions end."""
        output = None if self.log is None else opened(self.log)
        try:
            self._process = subprocess.Popen(
                [*_LAUNCH, str(os.getpid()), *self.command],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                pass_fds=self.descriptors,
                start_new_session=True,  # ^C at a terminal is for whoever stops the companions, in order
            )
        finally:
            if output is not None:
                os.close(output)

    @property
    def pid(self) -> int | None:
        """Its process, when it was started."""
        return None if self._process is None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended, minus a signal's number when by one; None while it runs or was not started."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        """SIGTERM, and return at once: `stop` waits for its end."""
        if self.is_running and self._process is not None:
            self._process.terminate()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM, and SIGKILL to it and all it has started when that was not enough. Returns when it has ended."""
        if self._process is None or self._process.poll() is not None:
            return
        self.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def log_tail(self, lines: int = 10) -> str:
        """The end of its log."""
        return "" if self.log is None else tail(self.log, lines)


class Restarts:
    """How often something was started again of late."""

    def __init__(self) -> None:
        self._at: list[float] = []

    def has_sense(self) -> bool:
        """Whether to start it once more; said only when that is done then."""
        now = time.monotonic()
        self._at = [*(at for at in self._at if now - at < WITHIN_SECONDS), now]
        return len(self._at) <= MOST_RESTARTS


def tail(log: Path, lines: int = 10) -> str:
    """The end of a log, empty when there is none."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def write_into(log: Path) -> None:
    """Have this process say into a log what it says from now on."""
    output = opened(log)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def opened(log: Path) -> int:
    """A log to be written at its end; one that has grown long is put aside."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LONGEST_LOG:
        log.replace(log.with_name(f"{log.name}.1"))
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def detached(command: Sequence[str]) -> list[str]:
    """The command that starts another, which is nobody's child, and returns at once."""
    return [*_LAUNCH, "0", *command]


def default_signals() -> None:
    """Have signals do to this process what they do to one that was started at a terminal."""
    signal.set_wakeup_fd(-1)
    for number in INHERITED:
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def name_process(name: str) -> None:
    """How `ps -o comm` and `top` call this process: 15 bytes at most."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:15])


def end_with(parent: int) -> None:
    """Have this process sent SIGTERM when its parent ends; end at once when that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def main(command: list[str]) -> None:
    """Become the command."""
    default_signals()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and only Python expects that
    parent = int(command[0])
    if parent:
        end_with(parent)
    elif os.fork():
        return
    os.execvp(command[1], command[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
