"""The code locations of a workspace: finds them like Dagster's own commands, and loads them into this process."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import RepositoryDefinition, deserialize_value

# By this Dagster knows a project's pyproject.toml.
from dagster._cli.utils import has_pyproject_dagster_block

# The options -m, -f, -a, -d and -w, the variables of these names, and the files that replace them.
from dagster._cli.workspace.cli_target import workspace_opts_to_load_target
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT
from dagster._core.remote_origin import CodeLocationOrigin, GrpcServerCodeLocationOrigin

# A code server finds the definitions of a module or a file with these, and describes them.
from dagster._grpc.server import LoadedRepositories
from dagster._grpc.types import ListRepositoriesResponse
from dagster_shared.cli import WorkspaceOpts

from resources.errors import SettingsError
from resources.runs.code_location import CodeLocation
from resources.settings import dagster_home, project_folder

FILE = "workspace.yaml"


@dataclass(frozen=True)
class LoadedCode:
    """Definitions in this process, and where they were loaded from."""

    location: CodeLocation
    repository: RepositoryDefinition


def is_here() -> bool:
    """Whether the working folder declares code locations."""
    return Path(FILE).exists() or has_pyproject_dagster_block("pyproject.toml")


def find(options: Mapping[str, Any]) -> Sequence[CodeLocationOrigin]:
    """The code locations of Dagster's options (`module_name`, `python_file`, `attribute`, `workspace` …).

    Without any they are those of pyproject.toml or workspace.yaml in the working folder, of the project's or
    DAGSTER_HOME's workspace.yaml. Raises SettingsError when there are none, or a file is not valid.
    """
    try:
        return workspace_opts_to_load_target(_with_folder(options)).create_origins()
    except Exception as error:
        said = "" if type(error).__name__ == "UsageError" else f" ({' '.join(str(error).split())})"
        raise SettingsError(
            f"No code location is found here{said}. Name one with -m MODULE, -f FILE or -w WORKSPACE, or run this in a"
            f" folder with a {FILE} or a [tool.dagster] table in pyproject.toml."
        ) from error


def _with_folder(options: Mapping[str, Any]) -> WorkspaceOpts:
    if any(options.values()) or is_here():
        return WorkspaceOpts(**options)
    for folder in (project_folder(), dagster_home()):
        if folder is not None and (folder / FILE).is_file():
            return WorkspaceOpts(workspace=[str(folder / FILE)])
    return WorkspaceOpts(**options)


def runs_here(origin: CodeLocationOrigin) -> bool:
    """Whether this process can load the location: it needs no other server and no other interpreter."""
    if isinstance(origin, GrpcServerCodeLocationOrigin):
        return False
    return origin.loadable_target_origin.executable_path in (None, sys.executable)


def folder_of(origin: CodeLocationOrigin) -> Path:
    """The working directory of a location's code."""
    return Path(origin.loadable_target_origin.working_directory or Path.cwd())


def load(origin: CodeLocationOrigin) -> list[LoadedCode]:
    """Import a location's definitions, one for each repository. Raises SettingsError with the place of a fault."""
    folder = str(folder_of(origin))
    target = origin.loadable_target_origin._replace(working_directory=folder)
    if folder not in sys.path:  # Dagster removes it again, but what the code imports later must be found too
        sys.path.append(folder)
    try:
        loaded = LoadedRepositories(target, None, DEFAULT_DAGSTER_ENTRY_POINT, None)
    except Exception as error:
        raise SettingsError(f"Code location {origin.location_name} cannot be loaded: {_cause(error)}") from error
    return [
        LoadedCode(CodeLocation(origin.location_name, loaded.code_pointers_by_repo_name[name], repository=name), found)
        for name, found in loaded.definitions_by_name.items()
    ]


def code_of(origin: CodeLocationOrigin, repository: str) -> CodeLocation:
    """Where the code server that has loaded a repository found its code. Raises SettingsError."""
    if isinstance(origin, GrpcServerCodeLocationOrigin):
        answer = deserialize_value(origin.create_client().list_repositories(), ListRepositoriesResponse)
        pointer, python = answer.repository_code_pointer_dict[repository], answer.executable_path or sys.executable
        return CodeLocation(origin.location_name, pointer, python, repository)
    return next(one.location for one in load(origin) if one.location.repository == repository)


def _cause(error: BaseException) -> str:
    """The first error of a chain with its line: Dagster wraps what an organisation's code raises."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = " ".join(str(error).split()) or type(error).__name__
    places = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith("<frozen")]
    return f"{said} ({places[-1].filename}, line {places[-1].lineno})."
