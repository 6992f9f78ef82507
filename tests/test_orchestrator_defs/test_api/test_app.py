"""The application as a whole."""

import pytest

from orchestrator_defs.jobs.orchestrator import orchestrator_of
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


def test_whoever_finds_no_connection_free_is_told_to_come_again(engine, api_of, monkeypatch):
    api, pool = api_of(engine), engine.database.engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.1)
    held = [pool.connect() for _ in range(pool.size() + pool._max_overflow - pool.checkedout())]
    try:
        assert api.get("/workflows/").status_code == 503
    finally:
        for one in held:
            one.close()
