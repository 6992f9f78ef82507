"""What the README says to a newcomer is true: its commands, its example, its table of the root."""

import re
import subprocess

import pytest

from tests.architecture import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


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

    assert len([line for line in example.splitlines() if line.strip()]) < 30


def test_table_names_everything_in_the_root() -> None:
    named = set(re.findall(r"^\| `([^`]+)` \|", README, flags=re.MULTILINE)) - {"…/products/"}

    assert root_entries() - named - {"README.md"} == set()
