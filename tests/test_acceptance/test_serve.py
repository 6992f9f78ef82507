"""`orchestrator serve`: the API and Dagster's page on one address, by processes that are monitored."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.ports import free_port
from tests.test_acceptance.conftest import Project, Webserver, fresh_home
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]

NODE = {"node_name": "ams8", "site": "Amsterdam", "role": "Provider edge", "device_type": "8201"}
OPEN = {"OAUTH2_ACTIVE": "False"}


class Served(Webserver):
    """`orchestrator serve` under a path prefix."""

    def __init__(self, port: int, prefix: str, process: "subprocess.Popen[str]") -> None:
        super().__init__(port, "orchestrator", process)
        self.url += prefix

    def get(self, path: str) -> Any:
        with urlopen(f"{self.url}{path}", timeout=100) as answer:
            return json.load(answer)

    def processes(self) -> set[int]:
        """Those that serve."""
        return self.children("serving")

    def children(self, name: str) -> set[int]:
        """Children of the command by their name."""
        return {
            int(stat.parent.name)
            for stat in Path("/proc").glob("[0-9]*/stat")
            if _parent(stat) == self.process.pid and (stat.parent / "comm").read_text().strip() == name
        }


def _parent(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return None


@contextmanager
def served(project: Project, *words: str, prefix: str = "", **variables: str) -> Iterator[Served]:
    port = free_port()
    command = ("orchestrator", "serve", "--port", str(port), *words)
    with project.service(*command, **OPEN, **variables) as process:
        server = Served(port, prefix, process)
        eventually(lambda: process.poll() is not None or _is_up(server), "the server")
        assert process.poll() is None, (project.home / "orchestrator.log").read_text()[-3000:]
        yield server


def _is_up(server: Served) -> bool:
    try:
        return server.is_up()
    except HTTPError:
        return False


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with fresh_home() as home:
        yield home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Served]:
    """Two processes under a prefix. At the end nothing is left of it."""
    project = Project(home)
    with served(project, "--workers", "2", "--path-prefix", "/orc", prefix="/orc") as server:
        yield server
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(GENEROUS_SECONDS) == 0
    project.wait_until_left()


def test_api_and_page_lie_under_the_prefix(server: Served) -> None:
    assert server.get("/api/openapi.json")["servers"] == [{"url": "/orc"}]
    assert server.get("/api/health/") == "OK"
    assert "dagster_version" in server.get("/server_info")
    with urlopen(f"{server.url}/runs") as page:
        assert 'src="/orc/_next/' in page.read().decode()
    with urlopen(server.url.removesuffix("/orc")) as root:
        assert root.url == f"{server.url}/"


def test_a_run_is_launched_and_followed_live(server: Served) -> None:
    """GraphQL over HTTP launches it, over the WebSocket its log comes to the end."""
    run_id = server.launch("create_node", {"inputs": [{"product": "Node Cisco"}, NODE]})
    query = """subscription($id: ID!) {pipelineRunLogs(runId: $id) {
        ... on PipelineRunLogsSubscriptionSuccess {messages {__typename}}}}"""
    with connect(f"{server.url.replace('http', 'ws')}/graphql", subprotocols=[Subprotocol("graphql-ws")]) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=GENEROUS_SECONDS))["type"] == "connection_ack"
        start = {"type": "start", "id": "1", "payload": {"query": query, "variables": {"id": run_id}}}
        socket.send(json.dumps(start))
        seen: list[str] = []
        while "RunSuccessEvent" not in seen:
            answer = json.loads(socket.recv(timeout=GENEROUS_SECONDS))
            assert answer["type"] == "data", answer
            seen += [one["__typename"] for one in answer["payload"]["data"]["pipelineRunLogs"]["messages"]]
    assert {"RunStartEvent", "ExecutionStepSuccessEvent"} <= set(seen)
    assert "RunFailureEvent" not in seen


def test_the_code_is_loaded_once_for_all_processes(server: Served) -> None:
    assert len(server.children("code server")) == 1
    assert len(server.processes()) == 2


def test_a_reload_reaches_every_process(server: Served) -> None:
    """The page of either knows the code server's new process; asked on new connections, which any of them takes."""
    server.reload()
    assert all(_is_up(server) for _ in range(10))


def test_a_process_that_is_killed_is_replaced(server: Served) -> None:
    victim = min(server.processes())
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(server.processes() - {victim}) == 2, "another process")
    assert all("dagster_version" in server.get("/server_info") for _ in range(5))


def test_a_port_in_use_is_one_sentence(server: Served, home: Path) -> None:
    port = re.search(r":(\d+)/", server.url)
    assert port
    project = Project(home)
    project.environment |= OPEN
    done = project.command("orchestrator", "serve", "--port", port[1])
    assert done.returncode == 1
    said = f"Error: Cannot listen on 127.0.0.1, port {port[1]}: Address already in use. Choose another with --port.\n"
    assert done.stderr == said
