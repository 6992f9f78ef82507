"""Engines with tasks that fail, ask or call out, and one with a network."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from ops.steps.step import StepList, begin, step
from ops.waiting.wait_steps import callback_step
from orchestrator_defs.jobs.decorators import WorkflowJob, task
from resources.types import State
from tests.engine import Engine
from tests.test_orchestrator_defs.test_processes.toys import Broken
from tests.toy_network import DEVICE, OTHER, World, device_workflows


@pytest.fixture
def broken() -> Broken:
    return Broken()


@pytest.fixture
def three(broken: Broken) -> WorkflowJob:
    """A task of three steps, of which the last takes what the second gives."""

    @step("First")
    def first() -> State:
        broken("first")
        return {"first": 1, "password": SecretStr("old")}

    @step("Second")
    def second(first: int) -> State:
        broken("second")
        return {"second": first + 1}

    @step("Third")
    def third(second: int, password: SecretStr) -> State:
        broken("third")
        return {"third": second + 1, "password_seen": password.get_secret_value() == "new"}

    @task("Three")
    def three() -> StepList:
        return begin >> first >> second >> third

    return three


@pytest.fixture
def failed(engine_of: Callable[..., Engine], three: WorkflowJob, broken: Broken) -> tuple[Engine, UUID]:
    """An engine, and a process that failed at the second step; what broke it is gone."""
    engine = engine_of(three)
    broken.steps = {"second"}
    process_id = engine.run("three")
    assert engine.process(process_id).last_status == "failed"
    broken.steps = set()
    return engine, process_id


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def calling_out(told: list[str], broken: Broken) -> WorkflowJob:
    @step("Tell")
    def tell(callback_route: str) -> None:
        told.append(callback_route)
        broken("tell")

    @step("Look")
    def look(callback_result: dict[str, Any]) -> State:
        broken("look")
        return {"looked": callback_result["n"]}

    @task("Calling out")
    def calling_out() -> StepList:
        return begin >> callback_step("Outside", tell, look)

    return calling_out


@pytest.fixture
def network(engine_of: Callable[..., Engine]) -> tuple[Engine, World]:
    world = World()
    engine = engine_of(*device_workflows(world), products=[DEVICE, OTHER])
    return engine, world
