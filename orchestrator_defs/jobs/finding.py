"""Finds orchestrators in the code locations that Dagster's own commands find."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from orchestrator_defs.jobs.orchestrator import Orchestrator, orchestrator_of
from resources.errors import SettingsError
from resources.runs import workspaces
from resources.runs.code_location import CodeLocation

log = logging.getLogger(__name__)

ADVICE = "Build one with `build_definitions`, or name another code location with -m, -f or -w."


@dataclass(frozen=True)
class Found:
    """Orchestrators with the names of their code locations, and a sentence for each location without."""

    orchestrators: list[tuple[str, Orchestrator]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def named(self, location: str | None) -> list[Orchestrator]:
        """Those of a location, by its name or by that of its orchestrator; all when None."""
        return [one for name, one in self.orchestrators if location in (None, name, one.name)]


def find_orchestrator(location: str | None = None, **options: Any) -> Orchestrator:
    """The orchestrator of the code location in `options` (`module_name`, `python_file`, `attribute`, …).

    Without options that is the workspace of the working folder, of the project or of DAGSTER_HOME. `location` chooses
    among several, by the name of the location or of its orchestrator. Raises SettingsError.
    """
    found = find_orchestrators(options, location)
    chosen = found.named(location)
    if len(chosen) == 1:
        for fault in found.refused:
            log.warning("%s", fault)
        return chosen[0]
    names = ", ".join(name for name, _ in found.orchestrators)
    if len(chosen) > 1:
        raise SettingsError(f"There are several code locations with an orchestrator: {names}. Choose with --location.")
    if found.orchestrators:
        raise SettingsError(f"There is no code location {location!r} with an orchestrator; there is {names}.")
    raise SettingsError(" ".join(found.refused or ["No code location has an orchestrator.", ADVICE]))


def find_orchestrators(options: Mapping[str, Any], location: str | None = None) -> Found:
    """The orchestrators of all code locations, or of the one with Dagster's name `location` if there is such.

    Raises SettingsError when there is no code location at all.
    """
    found = Found()
    origins = workspaces.find(options)
    for origin in [origin for origin in origins if origin.location_name == location] or origins:
        name = origin.location_name
        try:
            if not workspaces.runs_here(origin):
                raise SettingsError(f"Code location {name} has an interpreter or a server of its own.")
            found.orchestrators.extend((name, one) for one in _orchestrators(workspaces.load(origin)))
        except SettingsError as error:
            found.refused.append(str(error))
    return found


def code_locations(options: Mapping[str, Any]) -> tuple[list[CodeLocation], list[str]]:
    """Where the code of the orchestrators is, and a sentence for each location without. Raises SettingsError."""
    code = dict(options)
    location = code.pop("location", None)
    found = find_orchestrators(code, location)
    return [one.code for one in found.named(location) if one.code is not None], found.refused


def _orchestrators(loaded: list[workspaces.LoadedCode]) -> list[Orchestrator]:
    """The orchestrators of a location's repositories. Raises SettingsError when there is none."""
    found = []
    for one in loaded:
        with suppress(SettingsError):
            found.append(orchestrator_of(one.repository, one.location))
    if not found and loaded:
        raise SettingsError(f"Code location {loaded[0].location.name} has no orchestrator. {ADVICE}")
    return found
