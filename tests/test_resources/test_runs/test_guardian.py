"""What ends with a process, and what does not: its guardian threads, its group, its children, its forks."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from resources.runs import guardian
from resources.runs.guardian import GuardianThread
from resources.runs.storage.event_watch import EventWatch
from resources.runs.workers.worker import LivenessThread
from tests.waiting import GENEROUS_SECONDS, eventually

PROLOGUE = """
import os, subprocess, sys, time
from resources.runs.guardian import GuardianThread, begin_group, end_this_process, forks_leave

def start():
    started = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(started.pid, flush=True)
"""


def scene(text: str) -> "subprocess.Popen[str]":
    """A process that another has put into a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_process_that_ends_leaves_the_others_of_its_callers_group() -> None:
    ours = scene("time.sleep(0.5); start(); end_this_process('The test says so.')")
    neighbour = subprocess.Popen(["sleep", "60"], process_group=ours.pid)
    said, why = ours.communicate(timeout=GENEROUS_SECONDS)
    try:
        assert (ours.returncode, "The test says so." in why) == (1, True)
        eventually(lambda: not is_alive(int(said)))
        assert neighbour.poll() is None
    finally:
        neighbour.kill()
        neighbour.wait()


def test_a_process_that_began_its_group_ends_with_all_of_it() -> None:
    text = "if pid := os.fork(): print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); os._exit(0)\n"
    ours = scene(f"{text}begin_group(); start(); end_this_process('The test says so.')")
    said, why = ours.communicate(timeout=GENEROUS_SECONDS)
    started, status = said.split()
    assert (status, "The test says so." in why) == ("-9", True)
    eventually(lambda: not is_alive(int(started)))


@pytest.mark.parametrize("end", ["1 / 0", "return"])
def test_a_process_ends_with_its_guardian_thread(end: str) -> None:
    text = f"""
class Guard(GuardianThread):
    def guard(self):
        {end}

Guard("watch").start()
time.sleep(60)
"""
    ours = scene(text)
    _, why = ours.communicate(timeout=GENEROUS_SECONDS)
    assert ours.returncode == 1
    assert "Its thread 'watch'" in why
    assert ("ZeroDivisionError" in why) == (end == "1 / 0")


def test_a_guardian_thread_that_is_finished_leaves_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Guard(GuardianThread):
        def guard(self) -> None:
            self.is_finished = True

    monkeypatch.setattr(guardian, "end_this_process", lambda _: pytest.fail("it ended the process"))
    Guard("watch").run()


def test_a_liveness_thread_with_an_error_that_nobody_expected_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def connect(self) -> None:
            raise LookupError("nobody expected this")

    ended: list[str] = []
    monkeypatch.setattr(guardian, "end_this_process", ended.append)
    LivenessThread(Broken(), 7, "toys", lambda: None, 0).run()  # type: ignore[arg-type]
    assert "nobody expected this" in ended[0]


@pytest.mark.parametrize(("end", "status"), [("pass", 0), ("sys.exit(3)", 3), ("1 / 0", 1)])
def test_a_fork_leaves_where_the_block_ends(end: str, status: int) -> None:
    text = f"""
with forks_leave():
    pid = os.fork()
    if pid == 0:
        {end}
print("after", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    said, _ = scene(text).communicate(timeout=GENEROUS_SECONDS)
    assert said.split() == ["after", str(status)]


def test_a_watcher_with_an_error_that_nobody_expected_costs_the_others_nothing() -> None:
    events: list[str] = []

    def read(run_id: str, _cursor: str | None) -> tuple[list[tuple[str, str]], str]:
        return [("event", "1")], "1"

    def broken(_event: str, _cursor: str) -> None:
        raise LookupError("nobody expected this")

    watch = EventWatch(read)
    watch.watch_run("bad", None, broken)
    watch.watch_run("good", None, lambda event, _: events.append(event))
    eventually(lambda: len(events) > 1)
    watch.close()
