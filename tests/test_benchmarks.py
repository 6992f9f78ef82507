"""The benchmarks run: not how fast anything is, for that is no test's to say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import results
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
