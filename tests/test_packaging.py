"""The wheel is whole: what the project needs is inside it, and it works where the project's folder is not."""

import sys
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture import FLOORS, ROOT, project_modules
from tests.wheels import run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]  # one wheel and one environment for all


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """An empty folder, far from the project's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_wheel_has_every_file_of_the_three_packages(contents: set[str]) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert files - contents == set()


def test_wheel_has_the_migrations(contents: set[str]) -> None:
    assert "resources/migrations/env.py" in contents
    assert "resources/migrations/script.py.mako" in contents
    assert [name for name in contents if name.startswith("resources/migrations/versions/") and name.endswith(".py")]


@pytest.mark.parametrize("floor", FLOORS)
def test_wheel_tells_type_checkers_that_it_is_typed(contents: set[str], floor: str) -> None:
    assert f"{floor}/py.typed" in contents


def test_wheel_has_nothing_beside_the_three_packages(contents: set[str]) -> None:
    tops = {name.partition("/")[0] for name in contents}

    assert {top for top in tops if not top.endswith(".dist-info")} == set(FLOORS)


def test_metadata_names_licence_and_python(metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata["Requires-Python"].split(",")) == {">=3.11", "<3.14"}


def test_metadata_has_the_extras(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "embedded",
        "redis",
        "celery",
        "kubernetes",
        "otel",
        "port",
        "docs",
        "testing",
        "test",
    }


def test_what_is_imported_is_declared(metadata: Message) -> None:
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    declared = {
        canonicalize_name(one.name)
        for one in requirements
        if one.marker is None
        or str(one.marker)
        in {f'extra == "{extra}"' for extra in ("embedded", "redis", "celery", "otel", "port", "testing")}
    }
    brought_by = packages_distributions()
    imported = {one.name.partition(".")[0] for module in project_modules().values() for one in module.imports}
    foreign = imported - set(FLOORS) - sys.stdlib_module_names

    undeclared = {
        package
        for package in foreign
        if not declared & {canonicalize_name(name) for name in brought_by.get(package, [])}
    }

    assert undeclared == set()


def test_modules_come_from_the_wheel(installed: Path, elsewhere: Path) -> None:
    code = "import resources, ops; print(resources.__file__); print(ops.__file__)"

    origins = run(installed / "python", "-c", code, cwd=elsewhere).split()

    assert [Path(origin).is_relative_to(installed.parent) for origin in origins] == [True, True]


def test_definitions_load_outside_the_project(installed: Path, elsewhere: Path) -> None:
    code = "import orchestrator_defs; print(orchestrator_defs.defs.get_repository_def().has_job('create_node'))"

    assert run(installed / "python", "-c", code, cwd=elsewhere).split() == ["True"]


def test_command_runs_outside_the_project(installed: Path, elsewhere: Path) -> None:
    assert "Usage: orchestrator" in run(installed / "orchestrator", "--help", cwd=elsewhere)


def test_shipped_migrations_make_the_schema_of_the_models(installed: Path, elsewhere: Path, tmp_path: Path) -> None:
    home = str(tmp_path / "home")

    run(installed / "orchestrator", "db", "upgrade", cwd=elsewhere, ORCHESTRATOR_HOME=home)
    run(installed / "orchestrator", "db", "check", cwd=elsewhere, ORCHESTRATOR_HOME=home)

    assert list(elsewhere.iterdir()) == []
