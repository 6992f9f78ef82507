"""The parts of `orchestrator up` that fail, and who else may have the port; bringing it up is an acceptance test."""

import socket
import sys
import threading
from pathlib import Path

import pytest

from orchestrator_defs.cli.up import _hints, _only_one, _tell_who_answers
from orchestrator_defs.cli.watched_server import ServerFailed, WatchedServer
from orchestrator_defs.serving import Serving
from resources.errors import SettingsError
from resources.lab.launcher import lab_home
from resources.settings import address_of_up, settings
from tests.ports import free_port
from tests.waiting import eventually


@pytest.fixture
def server(tmp_path: Path) -> WatchedServer:
    """One whose command is still to be said."""
    return WatchedServer(Serving(port=free_port()), tmp_path, said.append, threading.Event())


said: list[str] = []
REPORT = """import json, os, sys, time
os.write(int(sys.argv[1]), b'{"text": "one", "is_fatal": false}\\n{"text": "no luck", "is_fatal": true}\\n')
time.sleep(60)"""


def test_a_server_that_does_not_start_is_named_with_its_last_words(server: WatchedServer) -> None:
    server.process.command = ["sh", "-c", "echo it is a pity; exit 1"]
    with server:
        server.start()
        with pytest.raises(ServerFailed, match=r"The server did not start\. The end of .*server\.log:\nit is a pity"):
            server.wait()


def test_a_server_that_ends_again_and_again_is_given_up(server: WatchedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator_defs.cli.watched_server._answers", lambda _: True)
    server.process.command = ["sh", "-c", "echo no luck"]
    with server:
        server.start()
        with pytest.raises(ServerFailed, match=r"The server keeps ending.*\n.*no luck"):
            server.watch()


UNLUCKY = """import json, os, sys, time
from pathlib import Path
starts = Path(sys.argv[2])
starts.write_text(starts.read_text() + "!")
if len(starts.read_text()) < 4:
    why = {"text": "the code server ended", "is_fatal": True, "is_start": True}
    os.write(int(sys.argv[1]), json.dumps(why).encode() + b"\\n")
    sys.exit(1)
time.sleep(60)"""


def test_a_server_whose_database_is_away_is_not_given_up(
    server: WatchedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_defs.cli.watched_server.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(server._restarts, "has_sense", lambda: False)
    starts = tmp_path / "starts"
    starts.touch()
    unlucky = UNLUCKY.replace('"is_start": True', '"is_start": True, "may_pass": True')
    server.process.command = [sys.executable, "-c", unlucky, str(server.process.descriptors[0]), str(starts)]
    server._has_answered = True
    watch_until_up(server, starts)


def watch_until_up(server: WatchedServer, starts: Path) -> None:
    """Start it and watch it until its fourth start, after which it stays."""
    with server:
        server.start()
        stopper = threading.Thread(
            target=lambda: eventually(lambda: starts.read_text() == "!!!!", seconds=30) and server.stop.set()
        )
        stopper.start()
        server.watch()
        stopper.join()
        assert server.process.is_running


def test_a_server_that_dies_while_it_restarts_has_three_restarts_a_minute(
    server: WatchedServer, tmp_path: Path
) -> None:
    """Whether it is killed or says that it cannot start: what it needs may have died with it, and come back."""
    starts = tmp_path / "starts"
    starts.touch()
    server.process.command = [sys.executable, "-c", UNLUCKY, str(server.process.descriptors[0]), str(starts)]
    server._has_answered = True
    watch_until_up(server, starts)


def test_what_the_server_reports_is_printed_until_it_says_that_it_cannot_go_on(server: WatchedServer) -> None:
    said.clear()
    server.process.command = [sys.executable, "-c", REPORT, str(server.process.descriptors[0])]
    with server:
        server.start()
        with pytest.raises(ServerFailed, match=r"^no luck$"):
            server.wait()
    assert said == ["one"]
    assert not server.process.is_running


def test_the_server_is_stopped_whatever_happens(server: WatchedServer) -> None:
    server.process.command = ["sleep", "60"]
    with pytest.raises(KeyError), server:
        server.start()
        raise KeyError
    assert server.process.exit_status == -15


def test_there_is_only_one_of_a_project(tmp_path: Path, server: WatchedServer) -> None:
    serving = server.serving
    with _only_one(tmp_path, serving):
        refused = pytest.raises(SettingsError, match=r"runs already: http://127\.0\.0\.1:\d+/ \(process \d+\)")
        with refused, _only_one(tmp_path, serving):
            pass
    with _only_one(tmp_path, serving):
        pass


def test_commands_beside_it_know_its_address_as_long_as_it_runs(tmp_path: Path) -> None:
    serving = Serving(port=free_port())
    with _only_one(tmp_path, serving):
        assert address_of_up() == serving.address
    assert address_of_up() is None


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


def test_hint_names_no_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with nothing but a workspace, as whoever installs the wheel has it."""
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path)
    hint = _hints(Serving(), tmp_path)

    assert "examples" not in hint
    assert "ams1" not in hint


def test_hint_names_an_example_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").mkdir()
    for name in ("create_line.yaml", "create_internet_access.yaml", "modify_line.yaml"):
        (tmp_path / "examples" / name).touch()

    hint = _hints(Serving(), tmp_path)

    assert "job create_line, tab Launchpad: fill in the pages, as in examples/create_line.yaml, and launch" in hint
