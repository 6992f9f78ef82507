"""The ledger says which code has done a step."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from resources.processes.code_version import commit_hash
from resources.settings import settings
from tests.engine import Engine


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    for known in (commit_hash, settings):
        known.cache_clear()
    yield
    for known in (commit_hash, settings):
        known.cache_clear()


def test_it_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMIT_HASH", "abc")
    assert commit_hash() == "abc"


def test_it_is_the_commit_of_the_projects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    author = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert commit_hash() == head.stdout.strip()


def test_it_is_unknown_outside_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert commit_hash() is None


def test_each_line_of_the_ledger_has_it(engine_of: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMIT_HASH", "abc")

    @step("First")
    def first() -> None: ...

    @task("One")
    def one():
        return begin >> first

    settings.cache_clear()
    engine = engine_of(one)
    assert {line.commit_hash for line in engine.ledger(engine.run("one")).values()} == {"abc"}
