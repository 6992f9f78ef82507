"""What routes started is launched after their answer, whatever comes of that."""

import json
import logging

import pytest
from dagster import DagsterInstance

from orchestrator_defs.processes.process_runs import ProcessRuns
from resources import tags
from resources.runs.dispatch import Dispatch
from resources.runs.launched_by import launched_by
from resources.users import Role
from tests.waiting import eventually


@pytest.fixture
def instance(dagster_instance, tmp_path):
    """Dagster's storage in PostgreSQL, and our run launcher; nobody executes what it launches."""
    known = json.loads((tmp_path / "dagster.yaml").read_text())
    launcher = {
        "module": "resources.runs.launching.launcher",
        "class": "WarmRunLauncher",
        "config": {"start_workers": False, "module": "toys"},
    }
    (tmp_path / "dagster.yaml").write_text(json.dumps(known | {"run_launcher": launcher}))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


def queued(instance, run_id):
    """The run, once the workers can take it."""
    entry = eventually(lambda: Dispatch(instance).entry(str(run_id)), "the launch")
    assert entry.state == "queued"
    return instance.get_run_by_id(str(run_id))


def test_a_start_is_launched_in_the_name_of_its_user(api, instance):
    process_id = api.post("/processes/look_around", params={"reporter": "ada"}, json=[{}]).json()["id"]
    run = queued(instance, process_id)
    assert (run.tags[tags.PROCESS], run.tags[tags.USER]) == (process_id, "ada")
    assert launched_by(instance, run.tags).roles == {Role.ADMIN}


def test_an_answer_is_launched(api, engine, instance):
    process_id = engine.run("ask")
    api.put(f"/processes/{process_id}/resume", json=[{"approved": True}])
    assert queued(instance, engine.process(process_id).run_id).parent_run_id == str(process_id)


def test_a_callback_is_launched(api, engine, instance, outside):
    process_id = engine.run("order_cable")
    api.post(outside.route.removeprefix("/api"), json={})
    assert tags.read(queued(instance, engine.process(process_id).run_id).tags, tags.USER) == "SYSTEM"


def test_all_that_is_resumed_is_launched(api, engine, instance):
    ids = [engine.run("fail"), engine.run("fail")]
    api.put("/processes/resume-all")
    for process_id in ids:
        queued(instance, engine.process(process_id).run_id)


@pytest.fixture
def broken_launcher(monkeypatch):
    """A launcher that fails; the ids it was asked for."""
    asked = []

    def launch(_self, process_id, *, user):
        asked.append(process_id)
        raise RuntimeError("the launcher is on fire")

    monkeypatch.setattr(ProcessRuns, "launch", launch)
    return asked


def test_a_launch_that_fails_is_no_failure_of_the_start(api, engine, broken_launcher, caplog):
    with caplog.at_level(logging.ERROR):
        answer = api.post("/processes/look_around", json=[{}])
        assert answer.status_code == 201
        eventually(lambda: "could not be launched" in caplog.text)
    assert [str(one) for one in broken_launcher] == [answer.json()["id"]]
    assert engine.process(answer.json()["id"]).last_status == "created"
