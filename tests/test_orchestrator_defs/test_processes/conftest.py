"""Engines with tasks that fail, ask or call out, and one with a network."""

import pytest
from pydantic import SecretStr

from ops.steps.step import begin, step
from ops.waiting.wait_steps import callback_step
from orchestrator_defs.jobs.decorators import task
from tests.test_orchestrator_defs.test_processes.toys import Broken
from tests.toy_network import DEVICE, OTHER, World, device_workflows


@pytest.fixture
def broken():
    return Broken()


@pytest.fixture
def three(broken):
    """A task of three steps, of which the last takes what the second gives."""

    @step("First")
    def first():
        broken("first")
        return {"first": 1, "password": SecretStr("old")}

    @step("Second")
    def second(first: int):
        broken("second")
        return {"second": first + 1}

    @step("Third")
    def third(second: int, password: SecretStr):
        broken("third")
        return {"third": second + 1, "password_seen": password.get_secret_value() == "new"}

    @task("Three")
    def three():
        return begin >> first >> second >> third

    return three


@pytest.fixture
def failed(engine_of, three, broken):
    """An engine, and a process that failed at the second step; what broke it is gone."""
    engine = engine_of(three)
    broken.steps = {"second"}
    process_id = engine.run("three")
    assert engine.process(process_id).last_status == "failed"
    broken.steps = set()
    return engine, process_id


@pytest.fixture
def told():
    return []


@pytest.fixture
def calling_out(told, broken):
    @step("Tell")
    def tell(callback_route: str):
        told.append(callback_route)
        broken("tell")

    @step("Look")
    def look(callback_result: dict):
        broken("look")
        return {"looked": callback_result["n"]}

    @task("Calling out")
    def calling_out():
        return begin >> callback_step("Outside", tell, look)

    return calling_out


@pytest.fixture
def network(engine_of):
    world = World()
    engine = engine_of(*device_workflows(world), products=[DEVICE, OTHER])
    return engine, world
