"""Finds the orchestrator of a command, in the code locations that Dagster's own commands find."""

import logging
from collections.abc import Iterator
from typing import Any

from dagster_shared.cli import WorkspaceOpts

from orchestrator_defs.jobs.orchestrator import Orchestrator, orchestrator_of
from resources.errors import SettingsError
from resources.runs import workspaces
from resources.settings import dagster_home, project_folder

log = logging.getLogger(__name__)

ADVICE = "Build one with `build_definitions`, or name another code location with -m, -f or -w."


def find_orchestrator(location: str | None = None, **options: Any) -> Orchestrator:
    """The orchestrator of the code location in `options` (`module_name`, `python_file`, `attribute`, …).

    Without options that is the workspace of the working folder, of the project or of DAGSTER_HOME. `location` chooses
    among several, by the name of the location or of its orchestrator. Raises SettingsError.
    """
    refused: list[str] = []
    found = list(_orchestrators(_workspace(options), location, refused))
    chosen = [one for name, one in found if location in (None, name, one.name)]
    if len(chosen) == 1:
        for fault in refused:
            log.warning("%s", fault)
        return chosen[0]
    names = ", ".join(name for name, _ in found)
    if len(chosen) > 1:
        raise SettingsError(f"There are several code locations with an orchestrator: {names}. Choose with --location.")
    if found:
        raise SettingsError(f"There is no code location {location!r} with an orchestrator; there is {names}.")
    raise SettingsError(" ".join(refused or ["No code location has an orchestrator.", ADVICE]))


def _workspace(options: dict[str, Any]) -> WorkspaceOpts:
    if any(options.values()) or workspaces.is_here():
        return WorkspaceOpts(**options)
    for folder in (project_folder(), dagster_home()):
        if folder is not None and (folder / workspaces.FILE).is_file():
            return WorkspaceOpts(workspace=[str(folder / workspaces.FILE)])
    return WorkspaceOpts(**options)


def _orchestrators(
    options: WorkspaceOpts, location: str | None, refused: list[str]
) -> Iterator[tuple[str, Orchestrator]]:
    """The orchestrators with the names of their locations; `refused` gets those that cannot be loaded, and why."""
    origins = workspaces.locations_of(options)
    named = [origin for origin in origins if origin.location_name == location] or origins
    for origin in named:
        if not workspaces.runs_here(origin):
            refused.append(f"Code location {origin.location_name} has an interpreter or a server of its own.")
            continue
        try:
            for one in workspaces.load(origin):
                yield origin.location_name, orchestrator_of(one.repository, one.location)
        except SettingsError as error:
            refused.append(str(error))
