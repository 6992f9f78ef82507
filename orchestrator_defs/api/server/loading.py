"""Loads for a server: the project's workspace, the definitions of the API, an organisation's application."""

import importlib
import inspect
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from dagster import Definitions
from fastapi import FastAPI

from orchestrator_defs.api.dagster_page import Location
from orchestrator_defs.jobs.orchestrator import Orchestrator, orchestrator_of
from resources.errors import ExternalSystemError, OrchestratorError, SettingsError
from resources.runs import workspaces
from resources.settings import dagster_home, project_folder

log = logging.getLogger(__name__)

WORKSPACE = "workspace.yaml"
ADVICE = "Name the definitions of the API with --definitions MODULE:ATTRIBUTE."


def find_workspace(named: str | None) -> str:
    """The workspace file: the given one, else the project's, else that in DAGSTER_HOME. Raises SettingsError."""
    folders = [folder for folder in (project_folder(), dagster_home()) if folder is not None]
    candidates = [Path(named)] if named else [folder / WORKSPACE for folder in folders]
    for path in candidates:
        if path.is_file():
            return str(path.resolve())
    where = " or ".join(map(str, candidates)) or str(Path.cwd() / WORKSPACE)
    raise SettingsError(f"There is no {where}; run this in the project's folder, or name the file with --workspace.")


def served_orchestrator(named: str | None, locations: Sequence[Location]) -> Orchestrator:
    """The orchestrator of the API: of the given definitions, else of the first location that has one.

    Raises SettingsError.
    """
    if named is not None:
        return orchestrator_of(named_definitions(named))
    refused = []
    for location in locations:
        try:
            found = _orchestrator_of(location)
        except SettingsError as error:
            refused.append(f"{location.name}: {error}")
            continue
        if len(locations) > 1:
            log.info("The API serves code location %s.", location.name)
        return found
    raise SettingsError(" ".join([*refused, ADVICE]))


def named_definitions(name: str) -> Definitions:
    """Definitions by `module` or `module:attribute`. Raises SettingsError."""
    module, _, attribute = name.partition(":")
    with _importing(f"The definitions {name}"):
        return _definitions_in(importlib.import_module(module), attribute or None)


def own_application(name: str) -> FastAPI:
    """The application that an organisation's factory makes, by `module:function`. Raises SettingsError."""
    module, _, attribute = name.partition(":")
    with _importing(f"The application {name}"):
        factory: Callable[[], Any] | None = getattr(importlib.import_module(module), attribute or "application", None)
        if not callable(factory):
            raise SettingsError(f"{module} has no function {attribute or 'application'} that makes an application.")
        app = factory()
    if isinstance(app, FastAPI) and hasattr(app.state, "settings"):
        return app
    raise SettingsError(f"{name} has to return what `create_app` made; it returned {type(app).__name__}.")


def _orchestrator_of(location: Location) -> Orchestrator:
    """The first orchestrator of a location, with its code's origin set. Raises SettingsError."""
    if location.server is not None:
        raise SettingsError("it is a code server, whose code is elsewhere.")
    if not workspaces.runs_here(location.origin):
        raise SettingsError(f"it has an interpreter of its own, {location.python}.")
    loaded = workspaces.load(location.origin)
    for one in loaded[:-1]:
        with suppress(SettingsError):
            return orchestrator_of(one.repository, one.location)
    return orchestrator_of(loaded[-1].repository, loaded[-1].location)


def _definitions_in(module: ModuleType, attribute: str | None) -> Definitions:
    # Like Dagster: what a package attaches lazily is among its members, and not in its `__dict__`.
    members = (value for _, value in inspect.getmembers(module))
    found = members if attribute is None else [getattr(module, attribute, None)]
    definitions = {id(one): one for one in found if isinstance(one, Definitions)}
    if len(definitions) == 1:
        return definitions.popitem()[1]
    if attribute is not None:
        raise SettingsError(f"{module.__name__} has no Definitions named {attribute}.")
    raise SettingsError(f"{module.__name__} has {len(definitions)} Definitions and not one; name the attribute.")


@contextmanager
def _importing(what: str) -> Iterator[None]:
    """Turn errors of imported code into a sentence with its place; our own errors stay."""
    try:
        yield
    except (OrchestratorError, ExternalSystemError):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = " ".join(str(error).split()) or type(error).__name__
        raise SettingsError(f"{what} cannot be loaded: {message} ({place.filename}, line {place.lineno}).") from error
