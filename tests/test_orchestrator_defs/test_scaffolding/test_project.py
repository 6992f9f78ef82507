"""What `orchestrator init` writes is code that people copy, and what it cannot write it refuses in a sentence."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from orchestrator_defs.cli.main import main
from orchestrator_defs.scaffolding import generated
from orchestrator_defs.scaffolding.checks import LONGEST
from orchestrator_defs.scaffolding.layout import laid_out
from orchestrator_defs.scaffolding.project import first_product, write_project
from resources.runs import workspaces
from tests.architecture import ROOT

NAMES = ("Line", "Internet access", "IPv6-transit", "x" * LONGEST)


def init(folder: Path, product: str = "Line") -> Result:
    return CliRunner().invoke(main, ["init", str(folder), "--product", product])


@pytest.mark.parametrize("name", NAMES)
def test_code_is_as_ruff_would_have_it(tmp_path: Path, name: str) -> None:
    """Whatever the length of the product's name."""
    write_project(tmp_path / "acme", first_product(name))

    for words in (("check",), ("format", "--check")):
        ruff = [Path(sys.executable).with_name("ruff"), *words, "--no-cache", "."]
        done = subprocess.run(ruff, cwd=tmp_path / "acme", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_package_is_called_like_the_folder_and_its_files_like_the_product(tmp_path: Path) -> None:
    assert write_project(tmp_path / "my-net", first_product("Internet access")) == "my_net"

    found = {path.relative_to(tmp_path / "my-net").as_posix() for path in tmp_path.rglob("internet_access.py")}
    assert found == {f"my_net/{room}/internet_access.py" for room in ("resources", "ops", "definitions")}


def test_no_placeholder_is_left(tmp_path: Path) -> None:
    write_project(tmp_path / "acme", first_product("Line"))

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files if "{{" in path.read_text() or "{%" in path.read_text()] == []


def test_dagster_runs_in_it_as_in_this_project(tmp_path: Path) -> None:
    write_project(tmp_path / "acme", first_product("Line"))

    own, ours = (yaml.safe_load((folder / "dagster.yaml").read_text()) for folder in (tmp_path / "acme", ROOT))
    assert own == ours


def test_no_file_is_named_that_an_installed_distribution_does_not_have(tmp_path: Path) -> None:
    """The pages of this project stay in its repository."""
    write_project(tmp_path / "acme", first_product("Line"))

    texts = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert [name for name, text in texts.items() if "docs/" in text] == []
    named = re.findall(r"`?((?:examples|tests|acme)/[\w/]*\.\w+)", "\n".join(texts.values()))
    assert named
    assert [path for path in named if not (tmp_path / "acme" / path).exists()] == []


def test_location_has_the_same_name_and_module_wherever_it_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when somebody names workspace.yaml."""
    write_project(tmp_path / "acme", first_product("Line"))
    monkeypatch.chdir(tmp_path / "acme")

    origins = [*workspaces.find({}), *workspaces.find({"workspace": ["workspace.yaml"]})]

    found = [(one.location_name, one.loadable_target_origin.module_name) for one in origins]
    assert found == 2 * [("acme", "acme.definitions")]


def test_a_location_that_is_added_to_the_workspace_is_found_without_naming_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path / "acme", first_product("Line"))
    monkeypatch.chdir(tmp_path / "acme")
    with Path("workspace.yaml").open("a") as workspace:
        workspace.write("  - python_module: {module_name: orchestrator_defs, location_name: shipped}\n")

    assert [one.location_name for one in workspaces.find({})] == ["acme", "shipped"]


def test_an_empty_folder_that_exists_is_used(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()

    assert init(tmp_path / "acme").exit_code == 0


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "notes").touch()

    done = init(tmp_path / "acme")

    assert done.exit_code == 1
    assert "acme is not empty; name a new folder." in done.output
    assert [path.name for path in (tmp_path / "acme").iterdir()] == ["notes"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "acme").touch()

    assert "acme is a file; name a new folder." in init(tmp_path / "acme").output


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("2nd", "no name for one"),
        ("Über", "no name for one"),
        ("a" * 40, "no name for one"),
        ("class", "a word of Python's own"),
        ("match", "a word of Python's own"),
        ("resources", "a package 'resources' already"),
        ("orchestrator_defs", "a package 'orchestrator_defs' already"),
        ("dagster", "a package 'dagster' already"),
        ("json", "a package 'json' already"),
        ("tests", "a package 'tests' already"),
    ],
)
def test_a_folder_that_cannot_name_a_package_is_refused(tmp_path: Path, folder: str, reason: str) -> None:
    done = init(tmp_path / folder)

    assert done.exit_code == 1
    assert reason in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / folder).exists()


@pytest.mark.parametrize("product", ["", "2nd line", "Straße", "a  b", "a/b", "../up", 'x"', "y" * (LONGEST + 1)])
def test_a_product_without_a_name_for_python_is_refused(tmp_path: Path, product: str) -> None:
    assert "it is words of ASCII letters and digits" in init(tmp_path / "acme", product).output
    assert not (tmp_path / "acme").exists()


@pytest.mark.parametrize(
    "product", ["Class", "State", "Controller", "UUID", "Field", "Subscription", "Description", "Customer id", "save"]
)
def test_a_product_with_a_name_that_the_code_needs_is_refused(tmp_path: Path, product: str) -> None:
    """A keyword, something imported, a module beside it, an attribute of every subscription."""
    done = init(tmp_path / "acme", product)

    assert "has a meaning of its own in the code" in " ".join(done.output.split())
    assert not (tmp_path / "acme").exists()


def test_nothing_stays_of_a_project_that_cannot_be_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str, **options: str) -> int:
        if path.name == "workspace.yaml":
            raise OSError(28, "No space left on device")
        path.touch()
        return 0

    monkeypatch.setattr(generated.Path, "write_text", full)

    done = init(tmp_path / "new" / "acme")

    assert "cannot be written: No space left on device." in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_long_line_is_broken_at_its_last_bracket() -> None:
    arguments = ", ".join(f"{letter * 25}=({letter}, {letter})" for letter in "abcd")

    assert laid_out(f'    x = f("(") + g({arguments})\n', "acme").splitlines() == [
        '    x = f("(") + g(',
        *(f"        {letter * 25}=({letter}, {letter})," for letter in "abcd"),
        "    )",
    ]
