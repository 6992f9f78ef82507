"""A code server that is forked from who has loaded the code: it has that code, and after a reload the present one."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dagster import deserialize_value
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import ListRepositoriesResponse

from resources.errors import DatabaseUnreachable
from resources.runs import code_server
from tests.test_resources.test_runs.test_child_process import gone

DEFINITIONS = """
import dagster as dg

@dg.repository
def {name}():
    return []
"""
SCENE = """
import os, sys
from pathlib import Path
from dagster import DagsterInstance
from dagster._core.workspace.load_target import WorkspaceFileTarget
from resources.runs import workspaces
from resources.runs.code_server import serve_code
from resources.runs.forked_children import ForkedChildren

(origin,) = WorkspaceFileTarget(["workspace.yaml"]).create_origins()
workspaces.load(origin)
Path("places.py").write_text("1 / 0")  # for whoever would load it now
with DagsterInstance.get() as instance:
    reference = instance.get_ref()
child = ForkedChildren().fork("code", lambda report: serve_code(origin, Path("code.sock"), reference))
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "places.py").write_text(DEFINITIONS.format(name="before"))
    (tmp_path / "workspace.yaml").write_text("load_from: [{python_module: places}]")
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    return tmp_path


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Its process."""
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    command = [sys.executable, "-c", SCENE]
    with subprocess.Popen(command, cwd=folder, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        yield pid
        process.kill()
    assert gone(pid)


def repositories(client: DagsterGrpcClient) -> list[str]:
    answer = deserialize_value(client.list_repositories(), ListRepositoriesResponse)
    return [symbol.repository_name for symbol in answer.repository_symbols]


@pytest.mark.slow
def test_it_has_the_code_of_its_parent_and_after_a_reload_the_present_one(server: int, folder: Path) -> None:
    client = DagsterGrpcClient(socket=str(folder / "code.sock"))
    give_up = time.monotonic() + 60
    while not (folder / "code.sock").exists():
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert repositories(client) == ["before"]
    before = client.get_server_id()
    for name in ("after", "later"):
        (folder / "places.py").write_text(DEFINITIONS.format(name=name))
        client.reload_code(60)
        assert repositories(client) == [name]
    assert client.get_server_id() != before


def test_code_is_loaded_when_the_database_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster would show for ever that it did not when the code was loaded."""
    away = iter([DatabaseUnreachable("away"), DatabaseUnreachable("away")])
    asked = []

    class Storage:
        def get_cursor_values(self, keys: set[str]) -> dict[str, str]:
            asked.append(keys)
            if (error := next(away, None)) is not None:
                raise error
            return {}

    instance = SimpleNamespace(run_storage=Storage())
    monkeypatch.setattr(code_server.DagsterInstance, "from_ref", lambda _: nullcontext(instance))
    monkeypatch.setattr(code_server, "PAUSE_SECONDS", 0.0)
    code_server.wait_for_database(cast(Any, None))
    assert len(asked) == 3
