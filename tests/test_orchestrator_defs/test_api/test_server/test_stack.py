"""What `orchestrator up` has beside the server, and what it says of it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator_defs.api.server.stack import DAEMON, Reports, Stack
from orchestrator_defs.serving import Serving
from resources.runs.forked_children import Child, ForkedChildren


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stack, int]]:
    """It forks nothing; and the descriptor from which its reports can be read."""
    monkeypatch.setattr(ForkedChildren, "fork", lambda *_, **__: None)
    reads, writes = os.pipe()
    yield Stack(Serving(), tmp_path, ForkedChildren(), Reports(writes), None), reads
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


def test_reports_to_nobody_are_no_error(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    Reports(writes)("Ready")
    os.close(writes)
