"""The Dagster instance of a command's working folder, found as `dagster job execute` finds it."""

from pathlib import Path

from dagster import DagsterInstance

from resources.errors import SettingsError
from resources.settings import dagster_home, project_folder

CONFIG = "dagster.yaml"


def dagster_instance() -> DagsterInstance:
    """Open the instance of DAGSTER_HOME, else of the nearest dagster.yaml at or above the working directory.

    Close it by `with`. Raises SettingsError when there is no such file.
    """
    named = dagster_home()
    folder = named or project_folder() or Path.cwd()
    if not (folder / CONFIG).is_file():
        advice = (
            f"DAGSTER_HOME names that folder: copy the project's {CONFIG} there, or unset DAGSTER_HOME."
            if named
            else "Run this in the project's folder."
        )
        raise SettingsError(f"There is no {CONFIG} in {folder}. {advice}")
    return DagsterInstance.from_config(str(folder), CONFIG)
