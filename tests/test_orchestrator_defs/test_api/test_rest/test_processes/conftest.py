"""Fixtures for tests of the routes."""

from collections.abc import Callable

import pytest

from tests.engine import Engine
from tests.test_orchestrator_defs.test_api.test_rest.test_processes.workflows import Outside, toy_tasks
from tests.toy_network import DEVICE, World, device_workflows


@pytest.fixture
def outside() -> Outside:
    """What is outside of the processes."""
    return Outside()


@pytest.fixture
def engine(engine_of: Callable[..., Engine], outside: Outside) -> Engine:
    """An engine with the device's workflows and some tasks."""
    return engine_of(*device_workflows(World()), *toy_tasks(outside), products=[DEVICE])
