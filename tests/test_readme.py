"""What the README says to a newcomer is true: its commands, its example, its table of the root."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resources.database.session import SubscriptionDatabase
from tests.architecture import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")

COMMAND = "dagster job execute -f domain_example.py -j create_domain -c domain.yaml"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def root_entries() -> set[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    names = {line.partition("/")[0] + ("/" if "/" in line else "") for line in listed.stdout.splitlines()}
    return {name for name in names if not name.startswith(".")}


def test_two_commands_are_enough() -> None:
    commands = [block.strip() for block in blocks("sh")]

    assert [len(command.splitlines()) for command in commands] == [1, 1]
    assert commands[0].endswith("dagster job execute -m orchestrator_defs -j create_node -c examples/create_node.yaml")
    assert commands[1].endswith("pip install -e '.[test]' && .venv/bin/pytest -n auto")


def test_example_is_short() -> None:
    (example,) = blocks("python")

    assert len([line for line in example.splitlines() if line.strip()]) < 34


@pytest.mark.slow
def test_example_runs_as_pasted_on_an_embedded_database(tmp_path: Path) -> None:
    assert COMMAND in README
    tmp_path.joinpath("domain_example.py").write_text(blocks("python")[0], encoding="utf-8")
    tmp_path.joinpath("domain.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    kept = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "DATABASE_URI")}
    environment = kept | {"PYTHONPATH": str(ROOT), "ORCHESTRATOR_HOME": str(tmp_path / "home")}

    for words, said in ((COMMAND.split(), "RUN_SUCCESS"), (["orchestrator", "subscriptions"], "Domain example.org")):
        words[0] = str(Path(sys.executable).with_name(words[0]))
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout + done.stderr


OWN_COMMAND = "orchestrator run create_domain -f domain_example.py -c domain.yaml"


@pytest.mark.slow
def test_example_runs_as_pasted_on_a_database_of_ones_own(tmp_path: Path, own_database: SubscriptionDatabase) -> None:
    """In a folder with nothing else, after the commands that the README names for such a database."""
    assert OWN_COMMAND in README
    tmp_path.joinpath("domain_example.py").write_text(blocks("python")[0], encoding="utf-8")
    tmp_path.joinpath("domain.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    kept = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "ORCHESTRATOR_HOME")}
    environment = kept | {"PYTHONPATH": str(ROOT), "DATABASE_URI": own_database.uri, "COLUMNS": "200"}
    outcomes = []

    for command in (
        OWN_COMMAND,
        "orchestrator db upgrade",
        "orchestrator catalogue apply -f domain_example.py",
        OWN_COMMAND,
        "orchestrator subscriptions",
    ):
        program, *words = command.split()
        done = subprocess.run(
            [str(Path(sys.executable).with_name(program)), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        outcomes.append(done.returncode)
        assert "Traceback" not in done.stderr, done.stderr

    assert outcomes == [1, 0, 0, 0, 0], done.stdout + done.stderr
    assert "Domain example.org" in done.stdout


def test_small_network_names_every_create_example() -> None:
    named = set(re.findall(r"`(create_\w+\.yaml)`", README))

    assert named == {path.name for path in (ROOT / "examples").glob("create_*.yaml")}


def test_table_names_everything_in_the_root() -> None:
    table = README.partition("## What is where")[2]
    named = set(re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE)) - {"…/products/"}

    assert root_entries() - named - {"README.md"} == set()
