"""The parts of `orchestrator up` that fail, and who else may have the port; bringing it up is an acceptance test."""

import socket
import threading
from pathlib import Path

import pytest

from orchestrator_defs.cli.stack import PartFailed, Stack
from orchestrator_defs.cli.up import _only_one, _tell_who_answers
from orchestrator_defs.serving import Serving
from resources.errors import SettingsError
from resources.lab.launcher import lab_home
from resources.runs.child_process import ChildProcess
from resources.settings import settings


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    told: list[str] = []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Stack(Serving(port=port), tmp_path, told.append, threading.Event())


def test_a_server_that_does_not_start_is_named_with_its_last_words(stack: Stack, tmp_path: Path) -> None:
    stack.server = ChildProcess("The server", ["sh", "-c", "echo it is a pity; exit 1"], log=tmp_path / "server.log")
    with stack:
        stack.start_server()
        with pytest.raises(PartFailed, match=r"The server did not start\. The end of .*server\.log:\nit is a pity"):
            stack.wait_for_server()


def test_a_part_that_ends_again_and_again_ends_all(stack: Stack, tmp_path: Path) -> None:
    stack.daemon = ChildProcess("The daemon", ["sh", "-c", "echo no luck"], log=tmp_path / "daemon.log")
    stack.server = ChildProcess("The server", ["sleep", "60"], log=tmp_path / "server.log")
    with stack:
        stack.start_server()
        with pytest.raises(PartFailed, match=r"The daemon ends again and again.*\n.*no luck"):
            stack.watch()
    assert not stack.server.is_running


def test_the_parts_of_a_server_are_stopped_whatever_happens(stack: Stack, tmp_path: Path) -> None:
    stack.server = ChildProcess("The server", ["sleep", "60"], log=tmp_path / "server.log")
    with pytest.raises(KeyError), stack:
        stack.start_server()
        raise KeyError
    assert stack.server.exit_status == -15


def test_there_is_only_one_of_a_project(tmp_path: Path, stack: Stack) -> None:
    with _only_one(tmp_path, stack.serving):
        refused = pytest.raises(SettingsError, match=r"runs already: http://127\.0\.0\.1:\d+/ \(process \d+\)")
        with refused, _only_one(tmp_path, stack.serving):
            pass
    with _only_one(tmp_path, stack.serving):
        pass


def test_a_port_of_somebody_elses_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = pytest.raises(SettingsError, match=f"Port {port} of this machine is in use")
        with refused, _only_one(tmp_path, Serving(port=port)):
            pass


def test_on_a_database_of_ones_own_no_lab_is_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URI", "postgresql://core.example.org/network")
    monkeypatch.setenv("NETBOX_URL", "https://netbox.example.org")
    settings.cache_clear()
    try:
        _tell_who_answers()
        assert not lab_home().exists()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert capsys.readouterr().out == (
        "On a database of your own no lab answers: what needs PLAYBOOK_URL is refused until you set it.\n"
    )
