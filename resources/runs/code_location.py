"""A code location for a worker: how to load its definitions, and whether its files have changed since."""

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from dagster import DagsterRun, RepositoryDefinition, deserialize_value, serialize_value

# Dagster writes this into each run that it launches from a workspace: where the code of its job was loaded from.
from dagster._core.code_pointer import CodePointer, ModuleCodePointer

# A code server turns such a pointer into definitions like this; the public functions load a job, not a location.
from dagster._core.definitions.reconstruct import initialize_repository_def_from_pointer

# Dagster's name for the definitions of a location that have none.
from dagster._core.definitions.repository_definition.valid_definitions import SINGLETON_REPOSITORY_NAME

# Dagster's page finds the job of a run by this, and a process that executes the run loads the job from it.
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

MOST_FILES = 5000
"""A folder with more Python files is no project's folder, so its changes are not watched."""


@dataclass(frozen=True)
class CodeLocation:
    """Where definitions come from. `python`: the interpreter that loads them; `repository`: Dagster's name for them."""

    name: str
    pointer: CodePointer
    python: str = sys.executable
    repository: str = SINGLETON_REPOSITORY_NAME

    @classmethod
    def of_module(cls, name: str, module: str, attribute: str, folder: Path) -> "CodeLocation":
        """Definitions that are an attribute of a module in a folder."""
        return cls(name, ModuleCodePointer(module, attribute, str(folder)))

    @classmethod
    def of_run(cls, run: DagsterRun) -> "CodeLocation | None":
        """Where a run's job was loaded from; None when the run does not say (its definitions were in memory only)."""
        remote, code = run.remote_job_origin, run.job_code_origin
        if remote is None or code is None:
            return None
        name = remote.repository_origin.code_location_origin.location_name
        found = code.repository_origin
        return cls(name, found.code_pointer, found.executable_path, remote.repository_origin.repository_name)

    @classmethod
    def from_json(cls, text: dict[str, str]) -> "CodeLocation":
        """Read what `to_json` returned."""
        pointer = cast(CodePointer, deserialize_value(text["pointer"]))
        return cls(text["name"], pointer, text["python"], text["repository"])

    def to_json(self) -> dict[str, str]:
        """The plain values that another process reads."""
        pointer = serialize_value(cast(Any, self.pointer))
        return {"name": self.name, "pointer": pointer, "python": self.python, "repository": self.repository}

    @property
    def folder(self) -> Path:
        """The working directory, which has the files."""
        return Path(getattr(self.pointer, "working_directory", None) or Path.cwd())

    def origin_of(self, job: str) -> tuple[RemoteJobOrigin, JobPythonOrigin]:
        """The origin of a job's runs: Dagster's page finds the job by it, and whatever executes a run loads it."""
        location = RegisteredCodeLocationOrigin(location_name=self.name)
        remote = RemoteRepositoryOrigin(code_location_origin=location, repository_name=self.repository)
        code = RepositoryPythonOrigin(self.python, self.pointer, entry_point=DEFAULT_DAGSTER_ENTRY_POINT)
        return remote.get_job_origin(job), JobPythonOrigin(job, code)

    def load(self) -> RepositoryDefinition:
        """Import the definitions and build all their jobs. Raises whatever the code raises."""
        repository = initialize_repository_def_from_pointer(self.pointer)
        repository.get_all_jobs()
        return repository

    def fingerprint(self) -> str:
        """A hash of where the code is and of its files."""
        return hashlib.sha256(f"{self.pointer.describe()} {files_of(self.folder)}".encode()).hexdigest()[:16]


def files_of(folder: Path) -> str:
    """A hash of the name, time and size of each Python file of a folder."""
    seen = hashlib.sha256()
    for path, stat in islice(_python_files(str(folder)), MOST_FILES):
        seen.update(f"{path} {stat.st_mtime_ns} {stat.st_size}\n".encode())
    return seen.hexdigest()[:16]


def _python_files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files that can be imported. A folder whose name is no identifier (.venv, build-1 …) holds no package."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith(".py"):
            yield entry.path, entry.stat()
        elif entry.name.isidentifier() and entry.name != "__pycache__" and entry.is_dir(follow_symlinks=False):
            yield from _python_files(entry.path)
