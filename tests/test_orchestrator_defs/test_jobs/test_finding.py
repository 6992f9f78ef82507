"""Commands find definitions as Dagster's own do, and fall back to nothing."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator_defs.cli.main import main
from orchestrator_defs.jobs.finding import find_orchestrator
from resources.errors import SettingsError

ORCHESTRATOR = """
from ops import StepList, begin, step
from orchestrator_defs import build_definitions, task

@step("Work")
def work_{name}() -> None: ...

@task("Work")
def task_{name}() -> StepList:
    return begin >> work_{name}

defs = build_definitions([], [task_{name}])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, in which the command runs; what is imported from it is forgotten."""
    before, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def package(folder: Path, name: str) -> str:
    (folder / f"{name}.py").write_text(ORCHESTRATOR.format(name=name))
    return name


def workspace(folder: Path, *modules: str) -> None:
    lines = [f"  - python_file: {package(folder, module)}.py" for module in modules]
    (folder / "workspace.yaml").write_text("\n".join(["load_from:", *lines]))


def test_a_module_that_is_named_is_taken(folder: Path) -> None:
    assert "task_mine" in find_orchestrator(module_name=[package(folder, "mine")]).workflows


def test_a_file_that_is_named_is_taken(folder: Path) -> None:
    package(folder, "mine")

    assert "task_mine" in find_orchestrator(python_file=["mine.py"]).workflows


def test_the_workspace_of_the_folder_is_taken(folder: Path) -> None:
    workspace(folder, "mine")

    assert find_orchestrator().name == "mine"


def test_the_project_table_of_pyproject_is_taken(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(f'[tool.dagster]\nmodule_name = "{package(folder, "mine")}"\n')

    assert find_orchestrator().name == "mine"


def test_the_workspace_of_the_project_is_found_from_a_folder_below(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(folder, "mine")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")

    assert find_orchestrator().name == "mine"


def test_of_several_one_is_chosen_by_its_location(folder: Path) -> None:
    workspace(folder, "mine", "yours")

    with pytest.raises(SettingsError, match=r"several code locations with an orchestrator: mine.py, yours.py"):
        find_orchestrator()
    assert find_orchestrator("yours.py").name == "yours"


def test_a_location_that_is_not_there_is_refused_with_those_that_are(folder: Path) -> None:
    workspace(folder, "mine")

    with pytest.raises(SettingsError, match=r"no code location 'theirs' with an orchestrator; there is mine\.py"):
        find_orchestrator("theirs")


def test_nothing_falls_back_to_the_shipped_network(folder: Path) -> None:
    found = CliRunner().invoke(main, ["run", "create_node"])

    assert found.exit_code == 1
    assert "No code location is found here. Name one with -m MODULE" in found.output


def test_options_stand_before_the_command_or_behind_it(folder: Path) -> None:
    package(folder, "mine")

    for words in (["-m", "mine", "run", "nothing"], ["run", "nothing", "-m", "mine"]):
        assert "There is no workflow 'nothing'; there is" in CliRunner().invoke(main, words).output


def test_the_variable_of_dagster_names_the_module(folder: Path) -> None:
    package(folder, "mine")
    found = CliRunner().invoke(main, ["run", "nothing"], env={"DAGSTER_MODULE_NAME": "mine"})

    assert "There is no workflow 'nothing'" in found.output


def test_code_that_cannot_be_loaded_is_shown_with_its_place(folder: Path) -> None:
    (folder / "broken.py").write_text("\n1 / 0\n")

    with pytest.raises(SettingsError, match=r"cannot be loaded: division by zero \(.*broken\.py, line 2\)"):
        find_orchestrator(module_name=["broken"])
