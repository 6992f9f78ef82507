"""Where embedded data belong: in DAGSTER_HOME wherever one stands, else in the project's folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.database.embedded import embedded_server
from resources.errors import SettingsError
from resources.settings import ADDRESS, Settings, project_folder, public_url, settings


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


@pytest.mark.parametrize("where", ["project", "elsewhere"])
def test_the_home_of_dagster_settles_where_the_data_are(
    where: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in another project's folder."""
    request.getfixturevalue(where)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert Settings().home == tmp_path / "home" / ".orchestrator"


@pytest.fixture
def fresh_settings() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.usefixtures("fresh_settings")
def test_data_that_the_home_of_dagster_would_leave_behind_are_told_of(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".orchestrator").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with pytest.raises(SettingsError, match=r"those of this project are in .*set ORCHESTRATOR_HOME=") as caught:
        embedded_server()
    assert str(project / ".orchestrator") in str(caught.value)
    (tmp_path / "home" / ".orchestrator").mkdir(parents=True)
    assert embedded_server().origin == tmp_path / "home" / ".orchestrator"


def test_an_unusable_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_POOL_SIZE", "many")
    settings.cache_clear()
    try:
        with pytest.raises(SettingsError, match="DATABASE_POOL_SIZE"):
            settings()
    finally:
        settings.cache_clear()


@pytest.mark.parametrize(
    ("is_running", "base_url", "expected"),
    [
        (True, None, "http://127.0.0.1:8131/api/x"),
        (True, "https://orchestrator.example.org/", "https://orchestrator.example.org/api/x"),
        (False, None, "http://localhost:8080/api/x"),
    ],
)
def test_links_lead_to_the_orchestrator_up_that_runs_here(
    project: Path, monkeypatch: pytest.MonkeyPatch, is_running: bool, base_url: str | None, expected: str
) -> None:
    pid = os.getpid() if is_running else 2**22 + 1  # no machine has a process of that number
    (project / ".orchestrator").mkdir()
    (project / ".orchestrator" / ADDRESS).write_text(f"http://127.0.0.1:8131/ {pid}")
    monkeypatch.delenv("BASE_URL", raising=False)
    if base_url:
        monkeypatch.setenv("BASE_URL", base_url)
    settings.cache_clear()
    found = public_url("/api/x")
    settings.cache_clear()
    assert found == expected
