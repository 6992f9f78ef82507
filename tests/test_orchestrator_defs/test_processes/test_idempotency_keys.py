"""A start that is asked for again with the same key."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from resources.errors import KeyUsed
from tests.test_orchestrator_defs.test_processes.toys import asking
from tests.toy_network import add_device


def test_same_key_gives_the_same_process_back(engine_of, three):
    engine = engine_of(three)
    one, other = (engine.service.starts.start("three", None, user="ada", idempotency_key="k") for _ in range(2))
    assert one == other
    assert engine.count_processes() == 1


@pytest.mark.parametrize("other", [{"user": "bob"}, {"workflow_name": "asking"}, {"inputs": [{"x": 1}]}])
def test_same_key_for_another_start_is_refused(engine_of, three, other):
    engine = engine_of(three, asking)
    same = {"workflow_name": "three", "inputs": None, "user": "ada", "idempotency_key": "k"}
    engine.service.starts.start(**same)
    with pytest.raises(KeyUsed, match="'k' was used for another start"):
        engine.service.starts.start(**(same | other))
    assert engine.count_processes() == 1


def test_two_starts_with_one_key_at_once_make_one_process(network):
    """Also when the subscription that they ask for can be had once only."""
    engine, _ = network
    subscription_id = str(add_device(engine.bed))
    barrier = threading.Barrier(4)

    def start(_):
        barrier.wait()
        pages = [{"subscription_id": subscription_id}, {"hostname": "utr1"}]
        return engine.service.starts.start("modify_device", pages, user="ada", idempotency_key="k")

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(start, range(4)))) == 1
    assert engine.count_processes() == 1
