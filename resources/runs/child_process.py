"""Child processes: commands that run beside a process and end when it ends, also when it is killed.

This file is run by its path, as `python -I -S child_process.py PARENT COMMAND…`, so it imports the standard library
alone. It asks the kernel to send SIGTERM when the parent is gone, then becomes the command. With the parent 0 it
detaches itself: the process that starts the command need not wait for it, and may end first.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
STOP_SECONDS = 15.0
LONGEST_LOG = 5_000_000
"""A log of more bytes is renamed when its process starts."""
INHERITED = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)
"""A shell ignores SIGINT for background commands; what is ignored here, child processes would ignore too."""

MOST_RESTARTS, WITHIN_SECONDS = 3, 60.0
"""A command that ends more often in this time is not started again."""

_LAUNCH = (sys.executable, "-I", "-S", __file__)


class ChildProcess:
    """A command that this process starts, watches and stops. Its output goes into its log, or to our own output.

    It inherits the open `descriptors`.
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
        """Start the command, also again after its end. Call it in the main thread: child processes end with it."""
        output = None if self.log is None else opened(self.log)
        try:
            self._process = subprocess.Popen(
                [*_LAUNCH, str(os.getpid()), *self.command],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                pass_fds=self.descriptors,
                start_new_session=True,  # ^C at a terminal must not reach them: we stop them in order
            )
        finally:
            if output is not None:
                os.close(output)

    @property
    def pid(self) -> int | None:
        """The process id; None before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status, or minus the number of the signal that killed it; None while it runs or was not started."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        """Send SIGTERM and return at once; `stop` waits for the end."""
        if self.is_running and self._process is not None:
            self._process.terminate()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Send SIGTERM; after `seconds` kill the process and all that it has started. Return when it has ended."""
        if self._process is None or self._process.poll() is not None:
            return
        self.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def log_tail(self, lines: int = 10) -> str:
        return "" if self.log is None else tail(self.log, lines)


class Restarts:
    """Counts the restarts of the last minute."""

    def __init__(self) -> None:
        self._at: list[float] = []

    def has_sense(self) -> bool:
        """Whether to start it once more. Call it only to do so: each call counts as a restart."""
        now = time.monotonic()
        self._at = [*(at for at in self._at if now - at < WITHIN_SECONDS), now]
        return len(self._at) <= MOST_RESTARTS


def tail(log: Path, lines: int = 10) -> str:
    """The last lines of a log; empty when there is no log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def write_into(log: Path) -> None:
    """Send the output of this process into a log."""
    output = opened(log)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def opened(log: Path) -> int:
    """Open a log to append to it, closed to other users; a long log is renamed first."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LONGEST_LOG:
        log.replace(log.with_name(f"{log.name}.1"))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(output, 0o600)  # it may be older than this rule
    return output


def has_living_child(pid: int) -> bool:
    """Whether a process has a child that runs; always True where the system does not tell."""
    if not Path("/proc/self/task").exists():
        return True
    with suppress(OSError):
        children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        return any(_runs(child) for of_thread in children for child in of_thread)
    return False


def _runs(pid: str) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


def detached(command: Sequence[str]) -> list[str]:
    """The command that starts another as a process without a parent, and returns at once."""
    return [*_LAUNCH, "0", *command]


def default_signals() -> None:
    """Handle signals as a process does that was started at a terminal."""
    signal.set_wakeup_fd(-1)
    for number in INHERITED:
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def name_process(name: str) -> None:
    """Set the name that `ps -o comm` and `top` show: 15 bytes at most."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:15])


def end_with(parent: int, number: int = signal.SIGTERM) -> None:
    """Ask the kernel for this signal to this process when its parent ends; exit when the parent has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def main(command: list[str]) -> None:
    """Become the command."""
    default_signals()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores SIGPIPE; other programs do not expect that
    parent = int(command[0])
    if parent:
        end_with(parent)
    elif os.fork():
        return
    os.execvp(command[1], command[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
