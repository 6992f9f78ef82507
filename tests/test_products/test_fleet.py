"""A fleet in the lab, of which some are changed by hand: just those are found, answered, and clean afterwards."""

from itertools import count
from typing import Any
from uuid import UUID

import pytest
from dagster import DagsterRunStatus, RunsFilter
from sqlalchemy import text

from ops.products.port import interface_description, port_variables
from ops.starting.drift_answer import Answer
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.testing import Testbed
from resources.lab.devices import rendered
from resources.lab.inventory import Inventory
from resources.lab.runner import read_configs, write_config
from resources.products.port import PortMode
from resources.types import ProcessStatus
from tests.scale import Scaled
from tests.test_products.conftest import OPERATOR, Network
from tests.ticks import daemon_context, execute, sensor_of

SPEEDS = ("10G", "100G", "400G")
PORTS_PER_SPEED = 12


class Fleet:
    """A network with many ports, and the sensor that has it validated."""

    def __init__(self, network: Network) -> None:
        self.network, self.instance = network, network.processes.instance
        self.bed = Testbed(network.orchestrator, self.instance)
        self.defs = complete_definitions(network.orchestrator)
        self.ports: dict[UUID, tuple[str, str]] = {}

    def grow(self, size: int) -> None:
        """Add nodes with ports until there are so many subscriptions."""
        left = size - int(self.rows("SELECT count(*) FROM subscriptions")[0][0])
        for number in count():
            if left <= 0:
                return
            name = f"fleet{number}"
            node = self.network.subscription(self.network.node(name))
            ports = [(speed, place) for speed in SPEEDS for place in range(1, PORTS_PER_SPEED + 1)][: max(1, left - 1)]
            with self.network.database.transaction(), self.network.database.engine.begin() as lab:
                made = [self._port(node, speed, place, Inventory(lab)) for speed, place in ports]
                config = {name: read_configs(lab)[name]}
                for one in made:
                    config = rendered("configure_port", port_variables(one), config)
                write_config(lab, name, config[name])
            self.ports |= {one.subscription_id: (name, one.port.port_name) for one in made}
            left -= 1 + len(made)

    def _port(self, node: Any, speed: str, place: int, inventory: Inventory) -> Any:
        """A port in service, as its create workflow leaves it here and in NetBox."""
        name = f"1/{SPEEDS.index(speed) + 2}/{place}"
        (interface,) = inventory.with_values("dcim/interfaces", device=node.node.ims_id, name=name)
        values = {"node": node.node, "port_name": name, "port_mode": PortMode.TAGGED, "auto_negotiation": False}
        values |= {"lldp": False, "enabled": True, "ims_id": interface.id}
        port = self.bed.add(f"Port {speed}", description=f"{node.node.node_name} {name} {speed}", port=values)
        changes = {"description": interface_description(port), "enabled": True}
        inventory.update("dcim/interfaces", interface.id, changes, partial=True)
        return port

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
@pytest.mark.timeout(3600)
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
