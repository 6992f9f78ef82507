"""Loads for a server: the project's workspace, the definitions of the API, an organisation's application."""

import importlib
import inspect
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from dagster import Definitions
from fastapi import FastAPI

from orchestrator_defs.jobs.finding import find_orchestrators
from orchestrator_defs.jobs.orchestrator import orchestrator_of
from orchestrator_defs.jobs.served import Served
from resources.errors import REFUSALS, SettingsError

log = logging.getLogger(__name__)

ADVICE = "Name the definitions of the API with --definitions MODULE:ATTRIBUTE."


def served_orchestrators(named: str | None, code: Mapping[str, Any]) -> Served:
    """The orchestrators of the API: that of the given definitions, else those of every code location that has one.

    `code` has Dagster's options for code locations; its `location` names one. Raises SettingsError.
    """
    if named is not None:
        return Served([orchestrator_of(named_definitions(named))])
    options = dict(code)
    location = options.pop("location", None)
    found = find_orchestrators(options, location)
    if not (chosen := found.named(location)):
        raise SettingsError(" ".join([*found.refused, ADVICE]))
    for fault in found.refused:
        log.warning("The API does not serve a code location. %s", fault)
    served = Served(chosen)
    if len(served.orchestrators) > 1:
        log.info("The API serves %s.", served.names)
    return served


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
    except REFUSALS:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = " ".join(str(error).split()) or type(error).__name__
        raise SettingsError(f"{what} cannot be loaded: {message} ({place.filename}, line {place.lineno}).") from error
