"""Whether the server is well: the database answers or not, soon in any case, and what is missing is named."""

import asyncio
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from orchestrator_defs.api.rest.shared_question import Question
from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.database.session import SubscriptionDatabase
from tests.api import application, calling
from tests.toy_network import DEVICE, World, device_workflows

THREADS = 40
"""So many requests are worked on at once."""


@pytest.fixture
def engine(engine_of):
    return engine_of(*device_workflows(World()), products=[DEVICE])


@pytest.fixture
def api_on(engine, api_of):
    """Serves the same orchestrator on another database."""

    def serve(uri, **settings):
        database = SubscriptionDatabase(uri=uri)
        orchestrator = Orchestrator([DEVICE], device_workflows(World()), database=database)
        return api_of(SimpleNamespace(orchestrator=orchestrator, instance=engine.instance), **settings)

    return serve


@pytest.fixture
def silent():
    """The address of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://a:b@127.0.0.1:{listener.getsockname()[1]}/c?connect_timeout=60"


def closed():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"postgresql://a:b@127.0.0.1:{listener.getsockname()[1]}/c"


def test_health_is_ok_in_one_statement(engine, api_of, database, statements):
    answer = api_of(engine).get("/health/")
    assert (answer.status_code, answer.json()) == (200, "OK")
    assert statements.statements == ["SELECT 1"]


def test_health_needs_a_database_that_answers(api_on):
    answer = api_on(closed()).get("/health/")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "does not answer" in answer.json()["detail"]


def test_health_does_not_wait_for_a_database_that_hangs(api_on, silent):
    api = api_on(silent, health_timeout_seconds=0.2)
    begin = time.monotonic()
    answer = api.get("/health/")
    assert time.monotonic() - begin < 30  # it would hang for ever
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The database has not answered in 0.2 s."


def test_health_needs_none_of_the_threads_that_requests_run_in(engine):
    app = application(engine)
    begun, end = threading.Semaphore(0), threading.Event()

    @app.get("/api/hang")
    def hang() -> None:
        begun.release()
        end.wait(120)

    with calling(app) as client:
        waiting = [threading.Thread(target=client.get, args=("/api/hang",)) for _ in range(THREADS)]
        for one in waiting:
            one.start()
        try:
            assert all(begun.acquire(timeout=60) for _ in waiting)
            for path in ("live", "", "ready"):
                assert client.get(f"/api/health/{path}").status_code == 200
        finally:
            end.set()
            for one in waiting:
                one.join()


def test_the_server_lives_whatever_its_database_does(api_on):
    answer = api_on(closed()).get("/health/live")
    assert (answer.status_code, answer.json()) == (200, "OK")


def test_ready_when_all_is_there_in_three_statements(engine, api_of, database, statements):
    answer = api_of(engine).get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"database": "ok", "schema": "ok", "catalogue": "ok", "sensors": "ok"}
    assert statements.count == 3


def test_not_ready_without_a_database(api_on):
    answer = api_on(closed()).get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["schema"] == "not asked"
    assert "does not answer" in answer.json()["detail"]


def test_not_ready_with_the_schema_of_another_version(engine, api_of):
    api = api_of(engine)
    with engine.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE schema_version SET version_num = '0001'")
    answer = api.get("/health/ready")
    assert answer.status_code == 503
    assert "orchestrator db upgrade" in answer.json()["detail"]
    assert answer.json()["checks"]["database"] == "ok"
    assert answer.json()["checks"]["catalogue"] == "not asked"


def test_not_ready_with_another_catalogue(engine, api_of):
    api = api_of(engine)
    with engine.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE engine_settings SET catalogue_hash = NULL")
    assert api.get("/health/ready").status_code == 200  # other code was applied, and took nothing from ours
    with engine.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE products SET tag = 'X'")
    answer = api.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["schema"] == "ok"
    assert "orchestrator catalogue apply" in answer.json()["detail"]


def test_ready_again_when_the_database_is():
    """One that was asked and never answered is not asked for ever."""
    hanging, told = threading.Event(), []

    def put():
        told.append(len(told))
        if len(told) == 1:
            hanging.wait(100)
        return "well"

    async def run():
        question = Question(put)
        with pytest.raises(TimeoutError):
            await question.answer(0.02)
        with pytest.raises(TimeoutError):
            await question.answer(0.02)
        assert len(told) == 1
        await asyncio.sleep(0.2)
        assert await question.answer(0.02) == "well"
        hanging.set()

    asyncio.run(run())
    assert len(told) == 2
