"""Which Dagster instance a command opens, and what it says when there is none."""

from pathlib import Path

import pytest

from orchestrator_defs.processes.instance import dagster_instance
from resources.errors import SettingsError


def test_without_a_configuration_it_says_where_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="Run this in the project's folder"):
        dagster_instance()


def test_a_home_of_dagster_without_configuration_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match=r"copy the project's dagster.yaml there, or unset DAGSTER_HOME"):
        dagster_instance()
