"""What `orchestrator up` has beside the server, and what it says of it."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator_defs.api.server.stack import DAEMON, Reports, Stack
from orchestrator_defs.serving import Serving
from resources.database.session import SubscriptionDatabase
from resources.runs.code_location import CodeLocation
from resources.runs.forked_children import Child, ForkedChildren


class Servers:
    """The code servers, which remember what was started again."""

    def __init__(self) -> None:
        self.started_again: list[str] = []

    def start_again(self, location: str) -> bool:
        """All locations are served but one."""
        self.started_again.append(location)
        return location != "elsewhere"


class Instance:
    """As far as a stack asks it for sensors."""

    def all_instigator_state(self) -> list[Any]:
        """Nothing that is used here."""
        return []


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stack, int]]:
    """It forks nothing; and the descriptor from which its reports can be read."""
    monkeypatch.setattr(ForkedChildren, "fork", lambda *_, **__: None)
    reads, writes = os.pipe()
    yield Stack(Serving(), tmp_path, ForkedChildren(), Reports(writes), cast(Any, Servers()), None), reads
    os.close(reads)
    os.close(writes)


def reported(descriptor: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in os.read(descriptor, 65536).splitlines()]


def test_a_daemon_that_ends_again_and_again_is_the_end_of_all(stack: tuple[Stack, int], tmp_path: Path) -> None:
    """Three times it is started again."""
    parts, descriptor = stack
    (tmp_path / "daemon.log").write_text("no luck\n")
    for _ in range(4):
        parts._restart_daemon(Child(1, DAEMON, 0.0, 0, lambda _: None, status=-9))
    *others, last = reported(descriptor)
    assert len(others) == 3
    assert {one["text"].partition(";")[0] for one in others} == {"The daemon ended with status -9"}
    assert last["is_fatal"]
    assert last["text"].startswith("The daemon keeps ending. The end of ")
    assert last["text"].endswith("daemon.log:\nno luck")


def test_a_daemon_that_ends_with_the_rest_is_not_started_again(stack: tuple[Stack, int]) -> None:
    parts, descriptor = stack
    parts.stop()
    parts._restart_daemon(Child(1, DAEMON, 0.0, 0, lambda _: None, status=0))
    os.set_blocking(descriptor, False)
    with pytest.raises(BlockingIOError):
        reported(descriptor)


def test_the_examples_are_of_the_shipped_location_when_there_are_several(
    tmp_path: Path, database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SubscriptionDatabase, "dispose", lambda _: None)
    places = {"mine": "acme.definitions", "shipped": "orchestrator_defs"}
    codes = [CodeLocation.of_module(name, module, "defs", tmp_path) for name, module in places.items()]
    found = [SimpleNamespace(code=code) for code in codes]
    serving = Serving(code={"workspace": ["two.yaml"]}, examples=True)
    parts = Stack(serving, tmp_path, ForkedChildren(), lambda _: None, Servers(), None)  # type: ignore[arg-type]
    parts.prepare(SimpleNamespace(prepare=lambda: database, orchestrators=found))  # type: ignore[arg-type]
    assert parts.has_examples
    assert parts.examples.command[-3:] == ["--only-create", "--workspace=two.yaml", "--location=shipped"]


def test_reports_to_nobody_are_no_error(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    Reports(writes)("Ready")
    os.close(writes)


class Late:
    """A stack whose sensors are late when it is said, on a clock of its own."""

    def __init__(self, parts: Stack, monkeypatch: pytest.MonkeyPatch, locations: list[str]) -> None:
        self.parts = parts
        self.now = time.monotonic() + 1000.0
        self.is_late = True
        self.killed: list[float] = []
        faked: Any = parts
        faked._instance = Instance()
        faked._orchestrators = [SimpleNamespace(name=name) for name in locations]
        monkeypatch.setattr("orchestrator_defs.api.server.stack.late_sensors", self._late)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(parts.children, "kill_all", lambda *_: self.killed.append(self.now))

    def _late(self, _orchestrator: Any, _states: Any) -> Iterator[str]:
        yield from ["The sensor wake last ran 61 seconds ago."] if self.is_late else []

    def look(self, seconds: float) -> list[str]:
        """What is started again when the stack looks each second, so many times."""
        servers: Any = self.parts.servers
        before = len(servers.started_again)
        for _ in range(int(seconds)):
            self.now += 1
            self.parts._check_sensors()
        return servers.started_again[before:]


def test_code_whose_sensors_do_not_run_is_started_again(
    stack: tuple[Stack, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers, and has a process: the code could not be loaded while the database was away."""
    parts, descriptor = stack
    late = Late(parts, monkeypatch, ["things"])
    assert late.look(1) == ["things"]
    assert [one["text"] for one in reported(descriptor)] == [
        "The sensor wake last ran 61 seconds ago. The code server of things is started again."
    ]
    assert late.killed == []


def test_code_that_cannot_run_is_started_again_ever_more_seldom(
    stack: tuple[Stack, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each second time with the daemon, which may be what does not work."""
    late = Late(stack[0], monkeypatch, ["things"])
    attempts = late.look(3600)
    assert 4 <= len(attempts) <= 8
    assert len(late.killed) == len(attempts) // 2


def test_sensors_that_run_again_leave_no_trace(stack: tuple[Stack, int], monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(stack[0], monkeypatch, ["things"])
    late.look(1000)
    late.is_late = False
    assert late.look(1000) == []
    late.is_late = True
    assert late.look(60) == ["things"]


def test_code_of_a_server_elsewhere_is_left_alone(stack: tuple[Stack, int], monkeypatch: pytest.MonkeyPatch) -> None:
    parts, descriptor = stack
    Late(parts, monkeypatch, ["elsewhere"]).look(1)
    os.set_blocking(descriptor, False)
    with pytest.raises(BlockingIOError):
        reported(descriptor)
