"""Files of ours are closed to the other users of the machine, whatever the umask, also those that were open before."""

import ast
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resources.database.reaper import open_lock
from resources.runs.child_process import opened
from tests.architecture import ROOT


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("make", [open_lock, opened])
@pytest.mark.parametrize("is_there", [False, True])
def test_locks_and_logs_are_for_their_owner_alone(tmp_path: Path, make: Callable[[Path], int], is_there: bool) -> None:
    path = tmp_path / "file"
    if is_there:
        path.touch(0o644)
    os.close(make(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_file_is_created_with_another_mode() -> None:
    calls = [
        (path, node)
        for floor in ("resources", "ops", "orchestrator_defs")
        for path in (ROOT / floor).rglob("*.py")
        if "O_CREAT" in path.read_text()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.open" and "O_CREAT" in ast.unparse(node)
    ]
    assert calls
    assert [f"{path}:{node.lineno}" for path, node in calls if ast.unparse(node.args[-1]) != str(0o600)] == []
