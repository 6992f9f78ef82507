"""Starts on two subscriptions of which one uses the other, at the same moment."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from ops.starting import admission
from resources.errors import StartRefused
from resources.types import ProcessId
from tests.test_products.conftest import Network

MEETING_SECONDS = 1.0


def test_second_of_two_starts_on_neighbours_sees_the_first(
    network: Network, port: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would be allowed if each were judged before the other is written."""
    meeting, judge = threading.Barrier(2), admission.check_usable

    def judge_together(*arguments: object) -> None:
        judge(*arguments)  # type: ignore[arg-type]
        with suppress(threading.BrokenBarrierError):
            meeting.wait(MEETING_SECONDS)

    def start(workflow: str, subscription_id: UUID, *pages: Any) -> ProcessId | StartRefused:
        try:
            asked = [{"subscription_id": subscription_id}, *pages]
            return network.processes.starts.start(workflow, asked, user="a")
        except StartRefused as refusal:
            return refusal

    monkeypatch.setattr(admission, "check_usable", judge_together)
    change = {"port_description": "Library", "enabled": False}
    with ThreadPoolExecutor(2) as threads:
        both = [
            threads.submit(start, "modify_port", port, change),
            threads.submit(start, "redeploy_node", network.subscription(port).port.node.owner_subscription_id),
        ]
    outcomes = [one.result() for one in both]
    refusals = [one for one in outcomes if isinstance(one, StartRefused)]
    assert len(refusals) == 1, outcomes
    assert refusals[0].reason == "subscription.relations_not_in_sync"
