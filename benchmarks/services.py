"""The processes that are started to be measured: code server, webserver, daemon; each ended with its block."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from dagster import DagsterInstance

# The only way to ask a code server anything; Dagster's own health check is a command, and takes seconds to start.
from dagster._grpc.client import DagsterGrpcClient

from benchmarks.ground import BIN, PROJECT, Ground

PATIENCE_SECONDS = 120
STOP_SECONDS = 5
"""A webserver waits for its browsers, however long."""
LOOK_SECONDS = 0.01
LOCATION = "bench"
Answer = TypeVar("Answer")


@contextmanager
def code_server(ground: Ground, module: str) -> Iterator[int]:
    """Serve the definitions of a module; its port, once it answers."""
    port = free_port()
    where = ("--module-name", module, "--attribute", "defs", "--working-directory", PROJECT)
    command = ("dagster", "api", "grpc", "--port", port, "--host", "127.0.0.1", "--location-name", LOCATION, *where)
    with spawned(ground, command, {}) as process:
        client = DagsterGrpcClient(port=port, host="127.0.0.1")
        wait_for(lambda: _echoes(client), "the code server", process)
        yield port


@contextmanager
def webserver(ground: Ground, home: Path, code_server_port: int) -> Iterator[str]:
    """Dagster's page on an instance; its address, once it answers what there is to launch."""
    workspace = home / "workspace.yaml"
    server = {"host": "127.0.0.1", "port": code_server_port, "location_name": LOCATION}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ("dagster-webserver", "--host", "127.0.0.1", "--port", port, "--workspace", workspace)
    with spawned(ground, command, {"DAGSTER_HOME": str(home)}) as process:
        wait_for(lambda: _knows_jobs(url), "the webserver", process)
        yield url


@contextmanager
def daemon(ground: Ground, home: Path, instance: DagsterInstance, code_server_port: int) -> Iterator[None]:
    """Dagster's daemon on an instance, once its first heart has beaten."""
    workspace = home / "workspace.yaml"
    server = {"host": "127.0.0.1", "port": code_server_port, "location_name": LOCATION}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
    began = time.time()
    with spawned(ground, ("dagster-daemon", "run", "--workspace", workspace), {"DAGSTER_HOME": str(home)}) as process:
        wait_for(
            lambda: any(beat.timestamp > began for beat in instance.get_daemon_heartbeats().values()),
            "the daemon",
            process,
        )
        yield


@contextmanager
def spawned(
    ground: Ground, command: Sequence[object], environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A command of this environment in the background, ended with all that it started."""
    log = ground.home / f"{command[0]}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(BIN / str(command[0])), *map(str, command[1:])],
            cwd=PROJECT,
            env=ground.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(question: Callable[[], Answer], what: str, process: "subprocess.Popen[bytes] | None" = None) -> Answer:
    """Ask until the answer is true."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} has ended with {process.returncode}")
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {PATIENCE_SECONDS} s for {what}")
        time.sleep(LOOK_SECONDS)
    return answer


def ask(url: str, query: str, variables: Mapping[str, Any] | None = None) -> Any:
    """One GraphQL request; its data."""
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        answer = json.load(response)
    if "errors" in answer:
        raise RuntimeError(str(answer["errors"]))
    return answer["data"]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _knows_jobs(url: str) -> bool:
    try:
        found = ask(url, "{repositoriesOrError {... on RepositoryConnection {nodes {name}}}}")
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return bool(found["repositoriesOrError"].get("nodes"))


def _echoes(client: DagsterGrpcClient) -> bool:
    try:
        return bool(client.ping("here"))
    except Exception:  # noqa: BLE001  whatever gRPC says as long as nobody listens
        return False
