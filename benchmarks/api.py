"""What calls of the API cost: what a client waits for, among few and among many subscriptions."""

import asyncio
import gc
import math
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import httpx
import uvicorn

from benchmarks.client import OwnProcess
from benchmarks.networks import Hand, Network, node_pages
from benchmarks.report import Report, Row
from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.server_settings import ApiSettings
from resources.database.session import statement_counter

START_SECONDS = 30
NOTE = (
    "Over HTTP on loopback, one call after another, {times} times each; ms, what a client in a process of its own waits"
    " for: the server, its database and the way there. SQL statements of one call, in the subscriptions' database."
)


@dataclass(frozen=True)
class Scene:
    """A served network, and what the calls are about."""

    client: httpx.Client
    service: UUID
    process: UUID
    subscriptions: int
    names: Iterator[str]


Call: TypeAlias = Callable[[Scene], httpx.Response]


@dataclass
class Cost:
    """Of one call: how long each took, and how many statements it sent."""

    ms: list[float] = field(default_factory=list)
    statements: int = 0

    def percentile(self, share: float) -> float:
        """The figure that so large a share stays below or at."""
        return sorted(self.ms)[max(0, math.ceil(share * len(self.ms)) - 1)]


def api(both: tuple[Network, Network], times: int) -> Report:
    """Each call on both networks in turns."""
    costs = costs_on(both, CALLS, times)
    sizes = both[0].subscriptions, both[1].subscriptions
    return Report("api", "Calls of the API", NOTE.format(times=times), [row(n, costs[n], sizes) for n, _ in CALLS])


def costs_on(
    both: tuple[Network, Network], calls: Sequence[tuple[str, Call]], times: int
) -> dict[str, tuple[Cost, Cost]]:
    """What calls cost on both networks: in turns, so that whatever slows the machine slows both."""
    costs = {name: (Cost(), Cost()) for name, _ in calls}
    with scene(both[0].hand, both[0]) as few, scene(both[1].hand, both[1]) as many:
        for name, call in calls:
            for turn in range(times + 1):  # the first one warms up
                for served, network, cost in zip((few, many), both, costs[name], strict=True):
                    _measure(call, served, network.hand, cost, counts=turn > 0)
    return costs


def _measure(call: Call, served: Scene, hand: Hand, cost: Cost, *, counts: bool) -> None:
    with statement_counter(hand.database.engine) as counted:
        answer = call(served)
    assert answer.status_code < 300 or answer.status_code in (304, 510), answer.text
    if counts:
        cost.ms.append(answer.extensions["ms"])
        cost.statements = counted.count


def row(name: str, costs: tuple[Cost, Cost], sizes: tuple[int, int]) -> Row:
    """The line of a call in a report."""
    few, many = costs
    cells = {
        f"p50 ({sizes[1]:,})": statistics.median(many.ms),
        f"p95 ({sizes[1]:,})": many.percentile(0.95),
        f"p50 ({sizes[0]:,})": statistics.median(few.ms),
        "many : few": statistics.median(many.ms) / statistics.median(few.ms),
        "statements": many.statements,
        "statements (few)": few.statements,
    }
    return Row(name, cells, figure=f"p50 ({sizes[1]:,})")


# --- the server ---


@contextmanager
def scene(hand: Hand, network: Network) -> Iterator[Scene]:
    """A network with its API served."""
    settings = ApiSettings(oauth2_active=False, enable_websockets=False)
    app = create_app(settings, hand.processes.served.first, instance=hand.processes.instance)
    names = (f"call{number}" for number in range(100_000))
    with _serving(app) as url, httpx.Client(base_url=f"{url}/api", transport=OwnProcess()) as client:
        listed = client.get("/processes/", params={"range": "0,1"}).json()
        yield Scene(client, network.fixtures.service, UUID(listed[0]["process_id"]), network.subscriptions, names)


@contextmanager
def _serving(app: Any) -> Iterator[str]:
    # Named TCP, or asyncio leaves Nagle's algorithm on and answers wait 40 ms for an acknowledgement.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        give_up = time.monotonic() + START_SECONDS
        while not server.started and thread.is_alive() and time.monotonic() < give_up:
            time.sleep(0.005)
        gc.collect()
        gc.freeze()  # as a server does before it serves; else a collection takes a third of a second at times
        try:
            assert server.started, "the application did not start"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


# --- the calls ---


def _get(path: str, **query: str) -> Call:
    return lambda scene: scene.client.get(path.format(**vars(scene)), params=query)


def _unchanged(path: str) -> Call:
    """Asked again by a client that has the answer already."""
    tags: dict[int, str] = {}

    def call(scene: Scene) -> httpx.Response:
        known = tags.get(id(scene))
        answer = scene.client.get(path.format(**vars(scene)), headers={"If-None-Match": known} if known else {})
        tags[id(scene)] = answer.headers["etag"]
        return answer

    return call


def _next_page(scene: Scene) -> httpx.Response:
    return scene.client.post("/processes/create_node", json=[{"product": "Node Nokia"}])


def _start(scene: Scene) -> httpx.Response:
    return scene.client.post("/processes/create_node", json=list(node_pages(next(scene.names))))


CALLS: tuple[tuple[str, Call], ...] = (
    ("processes: newest 15", _get("/processes/", range="0,15", sort="lastModifiedAt,desc")),
    ("processes: failed tasks", _get("/processes/", range="0,15", filter="isTask,true,lastStatus,failed")),
    ("processes: unchanged list", _unchanged("/processes/?range=0,15")),
    ("processes: one in full", _get("/processes/{process}")),
    ("processes: status counts", _get("/processes/status-counts")),
    ("subscriptions: newest 15", _get("/subscriptions/search", range="0,15", sort="startDate,desc")),
    ("subscriptions: words", _get("/subscriptions/search", query="university-017", range="0,15")),
    ("subscriptions: out of sync", _get("/subscriptions/search", query="insync:false", range="0,15")),
    ("subscriptions: an L2VPN of 31 blocks", _get("/subscriptions/domain-model/{service}")),
    ("subscriptions: the same, unchanged", _unchanged("/subscriptions/domain-model/{service}")),
    ("subscriptions: which workflows", _get("/subscriptions/workflows/{service}")),
    ("products", _get("/products/")),
    ("settings: status", _get("/settings/status")),
    ("translations", _get("/translations/en-GB")),
    ("health", _get("/health/")),
    ("form: next page of a node", _next_page),
    ("start: a node", _start),
)
