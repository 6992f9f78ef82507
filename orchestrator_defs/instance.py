"""The Dagster instance of the folder that a command runs in, as `dagster job execute` finds it there."""

from dagster import DagsterInstance

from resources.errors import SettingsError
from resources.settings import project_folder

CONFIG = "dagster.yaml"


def dagster_instance() -> DagsterInstance:
    """Open the instance of DAGSTER_HOME, else of the nearest dagster.yaml at or above the working directory.

    Close it by `with`. Raises SettingsError when there is no such file.
    """
    folder = project_folder()
    if not (folder / CONFIG).is_file():
        raise SettingsError(f"There is no {CONFIG} in {folder}; run this in the project's folder, or set DAGSTER_HOME.")
    return DagsterInstance.from_config(str(folder), CONFIG)
