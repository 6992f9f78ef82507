"""The options that choose the definitions of a command; the names are those of Dagster's commands."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

KEY = "orchestrator.code"
OPTIONS = (
    ("-m", "--module-name", "DAGSTER_MODULE_NAME", "Module with the definitions."),
    ("-f", "--python-file", "DAGSTER_PYTHON_FILE", "Python file with the definitions."),
    ("-a", "--attribute", "DAGSTER_ATTRIBUTE", "Name of the definitions in the module or file."),
    ("-d", "--working-directory", "DAGSTER_WORKING_DIRECTORY", "Folder in which modules are found."),
    ("-w", "--workspace", "DAGSTER_WORKSPACE", "Workspace file; the folder's own when no definitions are named."),
    ("-l", "--location", "DAGSTER_LOCATION", "Code location, when the workspace has several orchestrators."),
)
LISTS = ("module_name", "python_file", "workspace")
"""Dagster takes several of these."""


def code_options(command: Command) -> Command:
    """Add the options for the definitions; `chosen_code` has their values."""
    for short, long, variable, sentence in reversed(OPTIONS):
        option = click.option(short, long, envvar=variable, expose_value=False, callback=_keep, help=sentence)
        command = option(command)
    return command


def chosen_code() -> dict[str, Any]:
    """The options of the running command, for `find_orchestrator`."""
    return dict(click.get_current_context().meta.get(KEY, {}))


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value:
        name = str(parameter.name)
        context.meta.setdefault(KEY, {})[name] = [value] if name in LISTS else value
