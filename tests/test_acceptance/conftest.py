"""The project as a newcomer runs it: its own commands, in its folder, on an embedded database of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.waiting import GENEROUS_SECONDS, eventually

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


class Project:
    """A home of its own for the commands of the project; nothing of the developer's is touched."""

    def __init__(self, home: Path, folder: Path = PROJECT) -> None:
        self.home = home
        self.folder = folder
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "PYTEST"))}
        self.environment = {**kept, "ORCHESTRATOR_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"}

    def command(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment to its end."""
        return subprocess.run(
            [str(BIN / str(words[0])), *map(str, words[1:])],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=GENEROUS_SECONDS * 2,
            check=False,
        )

    def execute(self, job: str, inputs: Any) -> subprocess.CompletedProcess[str]:
        """`dagster job execute`, its run config written to a file."""
        config = self.home / f"{job}.yaml"
        config.write_text(inputs if isinstance(inputs, str) else json.dumps({"inputs": inputs}))
        return self.command("dagster", "job", "execute", "-m", "orchestrator_defs", "-j", job, "-c", config)

    def orchestrator(self, *words: str) -> Any:
        """A command of ours that prints JSON."""
        done = self.command("orchestrator", *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def service(self, *words: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
        """Run a command of the environment until the end of the block, then end it as Ctrl-C does."""
        with (self.home / f"{words[0]}.log").open("a") as log:
            process = subprocess.Popen(
                [str(BIN / words[0]), *words[1:]],
                cwd=self.folder,
                env=self.environment | variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            interrupt(process)

    @contextmanager
    def webserver(self, *words: str, location: str = "orchestrator", **variables: str) -> Iterator["Webserver"]:
        """Run a command that serves Dagster's page, until the end of the block."""
        port = free_port()
        with self.service(*words, "--port", str(port), **variables) as process:
            server = Webserver(port, location, process)
            eventually(lambda: server.is_up() or process.poll() is not None, words[0])
            assert process.poll() is None, (self.home / f"{words[0]}.log").read_text()[-2000:]
            yield server

    def processes(self) -> dict[int, str]:
        """All processes that work for this home, whoever started them, with their commands."""
        mark = f"ORCHESTRATOR_HOME={self.home}".encode()
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
        return found

    def named(self, name: str) -> list[int]:
        """Those that have forked from another of them, by the name that they are given then."""
        found = []
        for pid in self.processes():
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    found.append(pid)
        return found

    def wait_until_left(self) -> None:
        """No process of any kind works for this home any more."""
        give_up = time.monotonic() + GENEROUS_SECONDS
        while left := self.processes():
            assert time.monotonic() < give_up, f"after {GENEROUS_SECONDS} s there still are: {left}"
            time.sleep(0.1)


class Webserver:
    """Dagster's webserver, spoken to by its GraphQL."""

    def __init__(self, port: int, location: str, process: "subprocess.Popen[str]") -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.location = location
        self.process = process

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """One GraphQL request; its data."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=GENEROUS_SECONDS) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def is_up(self) -> bool:
        """Whether it answers and has loaded the code location."""
        try:
            found = self.ask("{repositoriesOrError {... on RepositoryConnection {nodes {name}}}}")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return bool(found["repositoriesOrError"].get("nodes"))

    def launch(self, job: str, run_config: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> str:
        """Launch a run as the launchpad does; its id."""
        selector = {
            "repositoryLocationName": self.location,
            "repositoryName": "__repository__",
            "jobName": job,
        }
        metadata = {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]}
        parameters = {"selector": selector, "runConfigData": json.dumps(run_config), "executionMetadata": metadata}
        found = self.ask(LAUNCH, {"params": parameters})
        assert found["launchRun"]["__typename"] == "LaunchRunSuccess", found
        return str(found["launchRun"]["run"]["runId"])

    def reexecute(self, run_id: str, strategy: str) -> str:
        """Re-execute a run as the button does; the new run's id."""
        parameters = {"parentRunId": run_id, "strategy": strategy}
        found = self.ask(REEXECUTE, {"parameters": parameters})
        assert found["launchRunReexecution"]["__typename"] == "LaunchRunSuccess", found
        return str(found["launchRunReexecution"]["run"]["runId"])

    def reload(self) -> None:
        """Press the button "reload" of the code location."""
        found = self.ask(RELOAD, {"location": self.location})["reloadRepositoryLocation"]
        assert found["loadStatus"] == "LOADED", found

    def status(self, run_id: str) -> str:
        """The status of a run, now."""
        found = self.ask("query($id: ID!) {runOrError(runId: $id) {... on Run {status}}}", {"id": run_id})
        return str(found["runOrError"]["status"])

    def messages(self, run_id: str) -> str:
        """All that the log of a run says."""
        events = self.ask(MESSAGES, {"id": run_id})["logsForRun"]["events"]
        return "\n".join(event["message"] for event in events if event)

    def outcome(self, run_id: str) -> str:
        """Wait for the end of a run; its status."""
        return str(eventually(lambda: self._finished(run_id), f"run {run_id} to end"))

    def _finished(self, run_id: str) -> str | None:
        status = self.status(run_id)
        return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None


LAUNCH = """mutation($params: ExecutionParams!) {launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
  ... on RunConfigValidationInvalid {errors {message}}}}"""
REEXECUTE = """mutation($parameters: ReexecutionParams!) {launchRunReexecution(reexecutionParams: $parameters) {
  __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""


RELOAD = """mutation($location: String!) {reloadRepositoryLocation(repositoryLocationName: $location) {
  ... on WorkspaceLocationEntry {loadStatus} ... on UnauthorizedError {message}}}"""
MESSAGES = """query($id: ID!) {logsForRun(runId: $id) {... on EventConnection {events {
  ... on MessageEvent {message}}}}}"""


def interrupt(process: "subprocess.Popen[str]") -> None:
    """Ctrl-C, and wait for the end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GENEROUS_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


@contextmanager
def fresh_home() -> Iterator[Path]:
    """A home, removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="orc-", dir="/tmp"))  # the socket's path must be short
    home.chmod(0o711)  # root's server is another user's
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """This project with a fresh home, which is left by itself when the last command has ended."""
    with fresh_home() as home:
        project = Project(home)
        yield project
        project.wait_until_left()


@pytest.fixture(scope="module")
def webserver(project: Project) -> Iterator[Webserver]:
    """`dagster dev`: webserver, daemon and code location, ended as Ctrl-C ends them."""
    with project.webserver("dagster", "dev") as server:
        yield server
