"""A process whose runs Dagster no longer has is shown, listed, resumed and refused as before."""

from uuid import UUID

import pytest


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


def without_runs(engine, process_id: UUID) -> str:
    for run in engine.instance.get_runs():
        engine.instance.delete_run(run.run_id)
    return str(process_id)


def test_its_detail_is_the_same(api, engine):
    process_id = engine.run("look_around")
    before = api.get(f"/processes/{process_id}").json()
    without_runs(engine, process_id)
    answer = api.get(f"/processes/{process_id}")
    assert answer.status_code == 200
    assert answer.json() == before


def test_it_is_listed(api, engine):
    process_id = without_runs(engine, engine.run("look_around"))
    assert [one["process_id"] for one in api.get("/processes/").json()] == [process_id]


def test_graphql_has_it(api, engine):
    process_id = without_runs(engine, engine.run("look_around"))
    answer = api.post("/graphql", json={"query": "{processes {page {processId lastStatus}}}"})
    (page,) = answer.json()["data"]["processes"]["page"]
    assert (page["processId"], page["lastStatus"]) == (process_id, "COMPLETED")


def test_a_completed_one_is_not_resumed(api, engine):
    process_id = without_runs(engine, engine.run("look_around"))
    answer = api.put(f"/processes/{process_id}/resume", json={})
    assert answer.status_code == 409
    assert "completed" in answer.json()["detail"]


def test_a_failed_one_is_resumed(api, engine):
    process_id = without_runs(engine, engine.run("fail"))
    assert api.put(f"/processes/{process_id}/resume", json={}).status_code == 204
    engine.resume(UUID(process_id))
    assert api.get(f"/processes/{process_id}").json()["last_status"] == "failed"


def test_a_failed_one_is_aborted(api, engine):
    process_id = without_runs(engine, engine.run("fail"))
    assert api.put(f"/processes/{process_id}/abort").status_code == 204
    assert api.get(f"/processes/{process_id}").json()["last_status"] == "aborted"
