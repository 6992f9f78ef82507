"""A fleet in the lab, of which some are changed by hand: just those are found, answered, and clean afterwards."""

from typing import Any
from uuid import UUID

import pytest
from dagster import DagsterRunStatus, RunsFilter
from sqlalchemy import text

from ops.starting.drift_answer import Answer
from orchestrator_defs.location import complete_definitions
from resources.types import ProcessStatus
from tests.scale import Scaled
from tests.test_products.conftest import OPERATOR, Network
from tests.ticks import daemon_context, execute, sensor_of

PORTS_OF_NODE = 12


class Fleet:
    """A network with many ports, and the sensor that has it validated."""

    def __init__(self, network: Network) -> None:
        self.network, self.instance = network, network.processes.instance
        self.defs = complete_definitions(network.orchestrator)
        self.ports: dict[UUID, tuple[str, str]] = {}

    def grow(self, size: int) -> None:
        """Add nodes with ports until there are so many subscriptions."""
        number = 0
        while self.rows("SELECT count(*) FROM subscriptions")[0][0] < size:
            name = f"fleet{number}"
            self.network.node(name)
            for place in range(1, PORTS_OF_NODE + 1):
                self.ports[self.network.port(name, f"1/2/{place}")] = (name, f"1/2/{place}")
            number += 1

    def rows(self, query: str) -> list[Any]:
        with self.network.database.transaction(read_only=True) as session:
            return list(session.execute(text(query)))

    def round(self) -> None:
        """What the daemon does until nothing is due: ticks, and the runs that they request."""
        sensor = sensor_of(self.defs.sensors, "validation_sensor")
        requested = True
        while requested:
            requested = sensor.evaluate_tick(daemon_context(self.instance, sensor.name)).run_requests or []
            for request in requested:
                assert execute(self.defs, request, self.instance).success

    def drifted(self) -> dict[UUID, list[Any]]:
        """The subscriptions that are marked, with the paths and values that differ."""
        query = "SELECT subscription_id, differences FROM subscriptions JOIN validations USING (subscription_id)"
        return {
            row.subscription_id: [(one["path"].rpartition(".")[2], one["expected"], one["found"]) for one in row[1]]
            for row in self.rows(f"{query} WHERE NOT insync AND out_of_sync_by = 'validation'")
        }

    def answer(self, answer: Answer, subscription_id: UUID) -> None:
        start = self.network.processes.starts.answer_drift
        process = self.network.execute(start(answer, subscription_id, reason="As agreed.", user=OPERATOR))
        assert process.last_status == ProcessStatus.COMPLETED, process.failed_reason


@pytest.mark.slow
def test_what_was_changed_by_hand_is_found_answered_and_clean(network: Network, scaled: Scaled) -> None:
    """One round of the daemon marks these and no others, with their differences and no red run."""
    fleet = Fleet(network)
    fleet.grow(scaled(2000, least=20))
    chosen = list(fleet.ports)[:: max(1, len(fleet.ports) // scaled(25, least=4))][: scaled(25, least=4)]
    for one in chosen:
        device, interface = fleet.ports[one]
        network.lab.control.drift(device, interface=interface, values={"lldp": True})

    fleet.round()

    assert fleet.drifted() == {one: [("lldp", False, True)] for one in chosen}
    assert fleet.rows("SELECT count(*) FROM validations WHERE result IS NULL")[0][0] == 0
    assert fleet.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE])) == []

    pushed = chosen[: (len(chosen) + 1) // 2]
    for one in chosen:
        fleet.answer(Answer.PUSH_INTENT if one in pushed else Answer.ACCEPT_REALITY, one)
    network.try_run("task_validate_subscriptions")

    assert fleet.drifted() == {}
    assert {row.result for row in fleet.rows("SELECT result FROM validations")} == {"passed"}
    assert [network.subscription(one).port.lldp for one in chosen] == [one not in pushed for one in chosen]
