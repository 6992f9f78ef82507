"""Where embedded data belong: in the project's folder, wherever Dagster's configuration is."""

from pathlib import Path

import pytest

from resources.errors import SettingsError
from resources.settings import Settings, project_folder, settings


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: in no project, with no variable that says where data belong."""
    for variable in ("ORCHESTRATOR_HOME", "DATABASE_URI", "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def project(tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder; the working directory is below it."""
    folder = tmp_path / "project"
    (folder / "examples").mkdir(parents=True)
    (folder / "dagster.yaml").touch()
    monkeypatch.chdir(folder / "examples")
    return folder


@pytest.mark.usefixtures("elsewhere")
def test_outside_every_project_no_data_are_made() -> None:
    with pytest.raises(SettingsError, match=r"no dagster.yaml in .*elsewhere or above it; .*set ORCHESTRATOR_HOME or"):
        _ = Settings().home


@pytest.mark.usefixtures("elsewhere")
def test_outside_every_project_a_server_of_your_own_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URI", "postgresql://host/name")
    assert Settings().home.name == ".orchestrator"


def test_data_belong_to_the_project_above_the_working_directory(project: Path) -> None:
    assert project_folder() == project
    assert Settings().home == project / ".orchestrator"


@pytest.mark.usefixtures("project")
def test_a_home_of_its_own_goes_before_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    assert Settings().home == tmp_path / "home"


def test_the_home_of_dagster_does_not_move_the_projects_data(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert Settings().home == project / ".orchestrator"


@pytest.mark.usefixtures("elsewhere")
def test_outside_every_project_the_home_of_dagster_stands_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert Settings().home == tmp_path / ".orchestrator"


def test_an_unusable_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_POOL_SIZE", "many")
    settings.cache_clear()
    try:
        with pytest.raises(SettingsError, match="DATABASE_POOL_SIZE"):
            settings()
    finally:
        settings.cache_clear()
