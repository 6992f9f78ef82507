"""The application as a whole."""

import pytest

from orchestrator_defs.orchestrator import orchestrator_of
from tests.toy_network import DEVICE, World, device_workflows


@pytest.fixture
def engine(engine_of):
    return engine_of(*device_workflows(World()), products=[DEVICE])


def test_the_description_of_the_api_is_served(engine, api_of):
    assert api_of(engine).get("/openapi.json").json()["info"]["title"] == "Service orchestrator"


def test_what_is_not_there_is_a_problem(engine, api_of):
    answer = api_of(engine).get("/nothing")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Not Found"}


def test_the_definitions_know_their_orchestrator(engine):
    assert orchestrator_of(engine.orchestrator.definitions) is engine.orchestrator
