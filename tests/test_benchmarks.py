"""The benchmarks run: not how fast anything is, for that is no test's to say."""

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from benchmarks import results
from benchmarks.client import OwnProcess
from benchmarks.report import Report, Row, table
from benchmarks.wire import wire
from resources.database.embedded import EmbeddedServer
from resources.database.session import SubscriptionDatabase

PROJECT = Path(__file__).parents[1]
REPORT = Report("storage", "Storage", "A note.", [Row("grouped", {"stock :": 6.0, "ms": 50.0}, figure="ms")])


@pytest.mark.parametrize(
    ("case", "row"),
    [
        pytest.param("storage", "10 ops, mode grouped", marks=pytest.mark.slow),  # both storages
        pytest.param("models", "load, save unchanged", marks=pytest.mark.slow),  # the two databases
        pytest.param("api", "health", marks=pytest.mark.slow),  # the two databases, and a server on each
        pytest.param("fleet", "in a batch, 8 threads", marks=pytest.mark.slow),
        pytest.param("memory", "a worker", marks=pytest.mark.slow),  # the services, the doors, the workers
    ],
)
def test_a_case_is_measured_and_printed_with_its_machine(case: str, row: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--only", case],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"python 3\.\d+", done.stdout)
    assert re.search(rf"{row} +\d", done.stdout)


def test_results_are_kept_by_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    results.save("mine", {"cpu": "one"}, REPORT)
    results.save("mine", {"cpu": "one"}, Report("models", "Models", "", [Row("load", {"ms": 3.0}, figure="ms")]))
    assert results.load("mine", "storage") == {"grouped": {"stock :": 6.0, "ms": 50.0}}
    assert json.loads((tmp_path / "mine.json").read_text())["models"]["machine"] == {"cpu": "one"}


def test_a_figure_is_compared_with_the_earlier_one() -> None:
    shown = table(REPORT, {"grouped": {"ms": 100.0}})
    assert list(shown.columns[1].cells) == ["0.50"]


class _Closing(BaseHTTPRequestHandler):
    """Answers with what was asked, and closes the connection unannounced, as a server does with an idle one."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps([self.path, json.loads(body)]).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_client_says_how_long_it_waited_and_connects_again() -> None:
    with HTTPServer(("127.0.0.1", 0), _Closing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", transport=OwnProcess()) as client:
            answers = [client.post(f"/a?b={number}", json={"one": number}) for number in (1, 2)]
        server.shutdown()
    for number, answer in zip((1, 2), answers, strict=True):
        assert (answer.status_code, answer.json()) == (201, [f"/a?b={number}", {"one": number}])
        assert answer.extensions["ms"] > 0


def test_the_wire_counts_what_the_driver_sends(server: EmbeddedServer, database: SubscriptionDatabase) -> None:
    folder = server.home / "wire-of-test"
    with wire(server, folder) as counted:
        watched = SubscriptionDatabase(uri=counted.uri(str(database.engine.url.database)))
        with watched.engine.connect():
            pass  # the connection's own first words
        counted.traffic.clear()
        with watched.transaction() as session:
            session.connection().exec_driver_sql("SELECT 1")
            session.connection().exec_driver_sql("SELECT 2")
        watched.dispose()
    traffic = counted.traffic
    assert (traffic.round_trips, traffic.statements, traffic.transactions) == (4, 2, 1)
