"""Which code a server shares with the code server that it forks."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator_defs.api.dagster_page import locations_of
from orchestrator_defs.api.server.code_servers import CodeServer, CodeServers
from resources.runs.forked_children import ForkedChildren
from tests.waiting import eventually

MODULE = "load_from: [{python_module: {module_name: mine}}]"


class Instance:
    """As far as code servers ask it; `.env` has what is given."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables

    def get_ref(self) -> None:
        """Nothing that is used here."""

    def inject_env_vars(self, _location: str) -> None:
        """As Dagster does it."""
        os.environ.update(self.variables)


@pytest.mark.parametrize(
    ("workspace", "variables", "is_loaded", "is_shared"),
    [
        pytest.param(MODULE, {}, True, True, id="a module"),
        pytest.param(MODULE, {}, False, False, id="a module that the server does not load"),
        pytest.param(MODULE, {"TOWN": "Utrecht"}, True, False, id="a module with variables of its own"),
        pytest.param("load_from: [{python_file: mine.py}]", {}, True, False, id="a file, which would be run again"),
        pytest.param(
            MODULE[:-3] + ", executable_path: /bin/python}}]", {}, True, False, id="an interpreter of its own"
        ),
        pytest.param("load_from: [{grpc_server: {host: far, port: 1}}]", {}, True, False, id="another code server"),
        pytest.param("load_from: []", {}, True, False, id="nothing"),
    ],
)
def test_code_is_shared_where_it_would_be_the_same(
    tmp_path: Path, workspace: str, variables: dict[str, str], is_loaded: bool, is_shared: bool
) -> None:
    (tmp_path / "workspace.yaml").write_text(workspace)
    instance: Any = Instance(**variables)
    before = dict(os.environ)
    locations = locations_of({"workspace": [str(tmp_path / "workspace.yaml")]})
    servers = CodeServers(locations, tmp_path, instance, is_loaded=is_loaded)
    assert bool(servers.shared) is is_shared
    assert dict(os.environ) == before


def test_code_server_that_has_lost_its_code_is_started_again(tmp_path: Path) -> None:
    """`dagster code-server` keeps answering when the process in which it has loaded the code is killed."""
    (tmp_path / "workspace.yaml").write_text("load_from: [{python_file: mine.py}]")
    (location,) = locations_of({"workspace": [str(tmp_path / "workspace.yaml")]})
    instance: Any = Instance()
    server = CodeServer(location, tmp_path / "code.sock", instance)
    inner = tmp_path / "inner"
    server._command.command = ["sh", "-c", f"sleep 1000 & echo $! > '{inner}'; wait; exec sleep 1000"]
    server.start()
    try:
        first = server._command.pid
        eventually(lambda: inner.exists() and inner.read_text(), "the process with the code")
        server.check()
        assert server._command.pid == first
        os.kill(int(inner.read_text()), signal.SIGKILL)
        eventually(lambda: server.check() or server._command.pid != first, "another code server")
    finally:
        server.stop()


def test_code_server_that_lost_its_code_before_it_was_seen_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_defs.api.server.code_servers.FIRST_WAIT", 0.1)
    monkeypatch.setattr("orchestrator_defs.api.server.code_servers._answers", lambda _: True)
    (tmp_path / "workspace.yaml").write_text("load_from: [{python_file: mine.py}]")
    (location,) = locations_of({"workspace": [str(tmp_path / "workspace.yaml")]})
    instance: Any = Instance()
    server = CodeServer(location, tmp_path / "code.sock", instance)
    server._command.command = ["sleep", "1000"]
    server.start()
    try:
        first = server._command.pid
        server.check()
        assert server._command.pid == first
        eventually(lambda: server.check() or server._command.pid != first, "another code server")
    finally:
        server.stop()


def test_code_server_that_does_not_work_is_started_again(tmp_path: Path) -> None:
    """As a command, also when it was a child of the server."""
    (tmp_path / "workspace.yaml").write_text("load_from: [{python_file: mine.py}]")
    (location,) = locations_of({"workspace": [str(tmp_path / "workspace.yaml")]})
    instance: Any = Instance()
    server = CodeServer(location, tmp_path / "code.sock", instance)
    server._command.command = ["sleep", "1000"]
    children = ForkedChildren()
    server._child = children.fork("code server", lambda _: time.sleep(1000) or 0)
    try:
        server.start_again()
        eventually(lambda: children.reap() or server.exit_status is not None, "the end of the child")
        server.check()
        first = server._command.pid
        assert first is not None
        server.start_again()
        assert server._command.pid not in (None, first)
    finally:
        server.stop()
