"""The metadata of a step: what a person reads in Dagster."""

import json
from typing import Any
from uuid import UUID

import pytest

from ops.running.report import LARGEST, MOST_ROWS, failure_metadata, step_metadata
from ops.steps.state import Delta
from ops.steps.step import step
from resources.errors import DriftFound
from resources.systems.netbox import NetBox

PROCESS = UUID(int=4)
LARGE = ["x" * 100] * 50_000  # 5 MB


def size(metadata: dict[str, Any]) -> int:
    return len(json.dumps({key: str(value.value) for key, value in metadata.items()}))


@pytest.mark.parametrize("values", [{"log": LARGE, "name": "ams1"}, {f"key{n}": "x" * 100 for n in range(50_000)}])
def test_large_state_is_cut(values: dict[str, Any]) -> None:
    """One large value, or very many small ones."""
    assert size(step_metadata(PROCESS, Delta(values, []))) < 2 * LARGEST


def test_what_is_cut_is_named_with_where_it_is() -> None:
    found = step_metadata(PROCESS, Delta({"log": LARGE, "name": "ams1"}, []))
    assert found["state set"].value == {"name": "ams1"}
    assert found["state set, too large for this page"].value == (
        f"log (5,200,003 bytes); `orchestrator process show {PROCESS} --json` has everything"
    )


def test_start_says_what_it_is_about() -> None:
    found = step_metadata(PROCESS, Delta({}, []), about={"workflow": "create_node", "customer": None})
    assert (found["workflow"].value, "customer" in found) == ("create_node", False)


def test_long_table_of_differences_is_cut() -> None:
    rows = [{"path": f"port {n}", "expected": "up", "actual": "down"} for n in range(3000)]
    found = failure_metadata(DriftFound("drift", details=rows))["differences"].value
    assert (len(found.records), found.records[-1].data["system"]) == (MOST_ROWS + 1, f"and {3000 - MOST_ROWS} more")


def test_large_details_of_a_failure_are_cut() -> None:
    assert size(failure_metadata(DriftFound("drift", details={"log": LARGE}))) < LARGEST


def test_differences_name_the_system_that_their_step_asks() -> None:
    @step("Compare")
    def compare(netbox: NetBox) -> None:
        """Nothing."""

    found = failure_metadata(DriftFound("drift", details=[{"path": "site"}]), compare)["differences"].value
    assert found.records[0].data["system"] == "netbox"
