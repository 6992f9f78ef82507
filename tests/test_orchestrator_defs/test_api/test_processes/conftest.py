"""Fixtures for tests of the routes."""

import pytest

from tests.test_orchestrator_defs.test_api.test_processes.workflows import Outside, toy_tasks
from tests.toy_network import DEVICE, World, device_workflows


@pytest.fixture
def outside():
    """What is outside of the processes."""
    return Outside()


@pytest.fixture
def engine(engine_of, outside):
    """An engine with the device's workflows and some tasks."""
    return engine_of(*device_workflows(World()), *toy_tasks(outside), products=[DEVICE])
