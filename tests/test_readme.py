"""What the README says to a newcomer is true: its commands, its example, its table of the root."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")

ORDER = """
from orchestrator_defs.definitions import build_definitions
from resources.catalogue import Product

definitions = build_definitions([Product("Domain", "DOM", Domain, "Domain", "A name")], [create_domain])
result = definitions.resolve_job_def("create_domain").execute_in_process(
    run_config={"inputs": [{"product": "Domain"}, {"fqdn": "example.org"}]}
)
assert result.success
"""


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


@pytest.mark.slow
def test_example_runs_on_an_embedded_database(tmp_path: Path) -> None:
    (example,) = blocks("python")
    tmp_path.joinpath("example.py").write_text(example + ORDER, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ORCHESTRATOR_HOME": str(tmp_path / "home")}

    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_table_names_everything_in_the_root() -> None:
    named = set(re.findall(r"^\| `([^`]+)` \|", README, flags=re.MULTILINE)) - {"…/products/"}

    assert root_entries() - named - {"README.md"} == set()
