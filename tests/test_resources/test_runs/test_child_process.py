"""A child process ends with the process that started it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from resources.runs.child_process import LONGEST_LOG, ChildProcess
from tests.waiting import eventually

PARENT = """
import sys, time
from resources.runs.child_process import ChildProcess
child = ChildProcess("it", ["sleep", "60"])
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    return eventually(lambda: not lives(pid), f"the end of process {pid}")


def test_it_ends_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert lives(pid)
        parent.kill()
        assert gone(pid)


IGNORANT = """
import signal, time
from resources.runs.child_process import ChildProcess
signal.signal(signal.SIGINT, signal.SIG_IGN)
process = ChildProcess("it", ["sh", "-c", "kill -INT $$"])
process.start()
while process.is_running:
    time.sleep(0.01)
print(process.exit_status)
"""


def test_it_hears_signals_that_its_parent_ignores() -> None:
    """As all do that a shell starts in the background."""
    done = subprocess.run([sys.executable, "-c", IGNORANT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{-signal.SIGINT}\n"


def test_it_says_into_its_log_and_how_it_ended(tmp_path: Path) -> None:
    child_process = ChildProcess(
        "it",
        ["sh", "-c", "seq 20; echo $MOOD >&2; exit 3"],
        environment={"MOOD": "bad"},
        log=tmp_path / "logs" / "it.log",
    )
    assert child_process.exit_status is None
    assert not child_process.is_running
    child_process.start()
    assert child_process.pid is not None
    assert gone(child_process.pid)
    assert child_process.exit_status == 3
    assert child_process.log_tail(2) == "20\nbad"


def test_one_that_is_deaf_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"
    child_process = ChildProcess("it", ["sh", "-c", script], log=tmp_path / "it.log")
    child_process.start()
    while not child_process.log_tail():
        time.sleep(0.01)
    child_process.stop(0.2)
    assert child_process.exit_status == -signal.SIGKILL
    assert gone(int(child_process.log_tail()))
    child_process.stop()


def test_a_log_that_has_grown_long_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_bytes(b"x" * (LONGEST_LOG + 1))
    child_process = ChildProcess("it", ["echo", "anew"], log=log)
    child_process.start()
    while child_process.is_running:
        time.sleep(0.01)
    assert log.read_text() == "anew\n"
    assert (tmp_path / "it.log.1").stat().st_size > LONGEST_LOG
