"""Forked children: with what signals they begin, how their parent hears of them, and who survives whom.

Each scene is played by a process of its own, for the tests' has threads.
"""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.test_resources.test_runs.test_child_process import gone, lives
from tests.waiting import GENEROUS_SECONDS

PROLOGUE = """
import os, signal, sys, time
from resources.runs.forked_children import ForkedChildren

def sleep(report):
    report()
    time.sleep(60)
    return 0
"""


@pytest.fixture
def play() -> Iterator[object]:
    started: list[subprocess.Popen[str]] = []

    def start(scene: str) -> "subprocess.Popen[str]":
        started.append(subprocess.Popen([sys.executable, "-c", PROLOGUE + scene], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def test_a_child_begins_with_default_signals_whatever_its_parent_ignores(play) -> None:
    scene = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
children = ForkedChildren()

def look(report):
    print(signal.getsignal(signal.SIGINT), signal.pthread_sigmask(0, ()))
    return 0

children.fork("child", look)
os.wait()
"""
    said, _ = play(scene).communicate(timeout=GENEROUS_SECONDS)
    assert said.split() == ["0", "set()"]


def test_a_parent_hears_of_a_report_and_of_a_death_at_once(play) -> None:
    scene = """
children = ForkedChildren()
children.listen(lambda *_: None)
child = children.fork("child", sleep)
children.wait(60)
print(child.has_reported)
child.kill(signal.SIGKILL)
children.wait(60)
(ended,) = children.reap()
print(ended is child, ended.end, children.of_kind())
"""
    said, _ = play(scene).communicate(timeout=GENEROUS_SECONDS)
    assert said.splitlines() == ["True", "True was killed by SIGKILL []"]


def test_what_a_child_raises_stays_in_it_and_the_next_comes_after_a_pause(play) -> None:
    scene = """
sys.stderr = open(os.devnull, "w")
children = ForkedChildren()
children.listen(lambda *_: None)
children.fork("child", lambda report: 1 // 0)
while not (ended := children.reap()):
    children.wait(60)
print(ended[0].end, children.may_fork)
time.sleep(1.1)
print(children.may_fork)
"""
    said, _ = play(scene).communicate(timeout=GENEROUS_SECONDS)
    assert said.splitlines() == ["ended with exit status 1 False", "True"]


@pytest.mark.parametrize("outlives", [False, True])
def test_a_child_survives_its_parent_only_if_it_may(play, outlives: bool) -> None:
    fork = f"ForkedChildren().fork('child', sleep, outlives={outlives})"
    parent = play(f"print({fork}.pid, flush=True)\ntime.sleep(60)")
    child = int(parent.stdout.readline())
    parent.kill()
    if outlives:
        time.sleep(0.5)  # in which it would go too
        assert lives(child)
        subprocess.run(["kill", "-KILL", str(child)], check=True)
    assert gone(child)
