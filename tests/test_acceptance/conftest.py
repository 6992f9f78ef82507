"""The project as a newcomer runs it: its own commands, in its folder, on an embedded database of its own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PATIENCE = 120
"""Seconds in which anything that this machine is asked for has to be there."""


class Project:
    """A home of its own for the commands of the project; nothing of the developer's is touched."""

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "PYTEST"))}
        self.environment = {**kept, "ORCHESTRATOR_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"}

    def command(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment to its end."""
        return subprocess.run(
            [str(BIN / str(words[0])), *map(str, words[1:])],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
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


class Webserver:
    """Dagster's webserver, spoken to by its GraphQL."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """One GraphQL request; its data."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
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

    def launch(self, job: str, run_config: Mapping[str, Any]) -> str:
        """Launch a run as the launchpad does; its id."""
        selector = {
            "repositoryLocationName": "orchestrator",
            "repositoryName": "__repository__",
            "jobName": job,
        }
        found = self.ask(LAUNCH, {"params": {"selector": selector, "runConfigData": json.dumps(run_config)}})
        assert found["launchRun"]["__typename"] == "LaunchRunSuccess", found
        return str(found["launchRun"]["run"]["runId"])

    def reexecute(self, run_id: str, strategy: str) -> str:
        """Re-execute a run as the button does; the new run's id."""
        parameters = {"parentRunId": run_id, "strategy": strategy}
        found = self.ask(REEXECUTE, {"parameters": parameters})
        assert found["launchRunReexecution"]["__typename"] == "LaunchRunSuccess", found
        return str(found["launchRunReexecution"]["run"]["runId"])

    def outcome(self, run_id: str) -> str:
        """Wait for the end of a run; its status."""
        return str(wait_for(lambda: self._finished(run_id), f"run {run_id} to end"))

    def _finished(self, run_id: str) -> str | None:
        run = self.ask("query($id: ID!) {runOrError(runId: $id) {... on Run {status}}}", {"id": run_id})["runOrError"]
        return run["status"] if run["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None


LAUNCH = """mutation($params: ExecutionParams!) {launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
  ... on RunConfigValidationInvalid {errors {message}}}}"""
REEXECUTE = """mutation($parameters: ReexecutionParams!) {launchRunReexecution(reexecutionParams: $parameters) {
  __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""


def wait_for(question: Any, what: str) -> Any:
    """Ask until the answer is true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"Waited {PATIENCE} s for {what}.")


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """A fresh home, removed when the last server in it is gone."""
    home = Path(tempfile.mkdtemp(prefix="orc-", dir="/tmp"))  # the socket's path must be short
    home.chmod(0o711)  # root's server is another user's
    yield Project(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def webserver(project: Project) -> Iterator[Webserver]:
    """`dagster dev`: webserver, daemon and code location, ended as Ctrl-C ends them."""
    port = _free_port()
    log = project.home / "dagster-dev.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [BIN / "dagster", "dev", "--port", str(port)],
            cwd=PROJECT,
            env=project.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Webserver(port)
    try:
        wait_for(lambda: server.is_up() or process.poll() is not None, "dagster dev")
        assert process.poll() is None, re.sub(r"\s+", " ", log.read_text()[-2000:])
        yield server
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
