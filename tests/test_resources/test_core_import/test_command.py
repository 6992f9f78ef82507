"""`orchestrator import core`."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli.main import main
from orchestrator_defs.testing import Testbed

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(bed: Testbed, core_uri: str) -> Invoke:
    def run(*arguments: str, uri: str = core_uri) -> Result:
        application = SimpleNamespace(database=bed.database, orchestrator=bed.orchestrator)
        return CliRunner().invoke(main, ["import", "core", "--from", uri, *arguments], obj=application)

    return run


def test_the_report_is_text_json_and_a_file(invoke: Invoke, tmp_path: Path) -> None:
    """Each with ids and reasons; exit code 1 because something does not fit."""
    file = tmp_path / "report.jsonl"
    result = invoke("--dry-run", "--report", str(file))
    assert result.exit_code == 1
    assert "10.0.0.256" in result.stdout and "Nothing was written: this was a dry run." in result.stdout
    written = [json.loads(line) for line in file.read_text().splitlines()]
    found = json.loads(invoke("--json").stdout)
    assert found["findings"] == written
    assert found["counts"]["subscription"]["imported"] > 20


def test_overwriting_is_asked_first(invoke: Invoke) -> None:
    result = invoke("--overwrite")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "What was changed here is replaced" in result.stderr


def test_a_database_that_is_not_there_is_one_sentence(invoke: Invoke) -> None:
    result = invoke(uri="postgresql://127.0.0.1:1/none")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Reading database none on 127.0.0.1, port 1 failed: ")
    assert "Traceback" not in result.output
