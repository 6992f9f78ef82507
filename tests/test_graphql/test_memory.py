"""The server's memory is flat, however many requests it has answered."""

import gc
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine import Engine
from tests.test_graphql import test_documents as documents
from tests.test_graphql.conftest import Asker, Network
from tests.test_graphql.test_statements import LIST, RELATED, TYPED, WITH_BLOCKS

REQUESTS = 10_000
MOST_KILOBYTES = 24_000
"""What the heap may grow by: its fragments, and caches that are not full yet."""


def kilobytes() -> float:
    """What this process has in memory now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024


@pytest.mark.scale
@pytest.mark.timeout(3600)
def test_memory_is_flat_over_mixed_requests(
    ask: Asker, engine: Engine, network: Network, scaled: Callable[[int], int]
) -> None:
    router = network.node("memory1")
    service = network.l2vpn(*(network.port(router, f"ge-{number}") for number in range(6)))
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "memory1"}])
    path = f"/subscriptions/domain-model/{service.subscription_id}"

    def mixed(number: int) -> None:
        ask.data(documents.SUBSCRIPTIONS, first=100, **{**LIST, "query": f"memory{number % 7}"})
        ask.data(f"query Q{number} {{ subscriptions {{ page {{ description }} }} }}")  # a document of its own
        ask(f"{{ unknown{number} }}")
        ask.data(WITH_BLOCKS, first=50)
        ask.data(TYPED, first=50)
        ask.data(RELATED, first=10)
        ask.data(documents.DETAIL, subscriptionId=str(service.subscription_id))
        ask.data(documents.PROCESS, processId=str(process_id))
        ask.client.post("/search/subscriptions", json={"query": f"memory1 -x{number}"}).raise_for_status()
        ask.client.get(path).raise_for_status()

    rounds = scaled(REQUESTS) // 10
    for number in range(max(rounds // 5, 5)):
        mixed(number)
    before = kilobytes()
    for number in range(rounds // 5, rounds):
        mixed(number)
    grown = kilobytes() - before
    print(f"memory: {before:,.0f} kB after {rounds // 5 * 10:,} requests, {grown:+,.0f} kB after {rounds * 10:,}")  # noqa: T201
    assert grown < MOST_KILOBYTES
