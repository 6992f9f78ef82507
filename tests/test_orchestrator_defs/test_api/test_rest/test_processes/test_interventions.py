"""Hands on processes over REST: answer, retry, abort, skip, send back, note, delete."""

import json
from uuid import UUID, uuid4

import pytest

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.types import Assignee, ProcessStatus


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


# --- resume ---


def test_the_form_of_an_input_step_is_filled_by_the_protocol_of_a_start(api, engine):
    process_id = engine.run("ask")
    path = f"/processes/{process_id}/resume"
    missing = api.put(path, json=[])
    assert (missing.status_code, missing.json()["title"]) == (510, "Form not complete")
    assert list(missing.json()["form"]["properties"]) == ["approved"]
    wrong = api.put(path, json=[{"approved": "perhaps"}])
    assert (wrong.status_code, wrong.json()["validation_errors"][0]["loc"]) == (400, ["approved"])
    assert engine.process(process_id).last_status == ProcessStatus.SUSPENDED
    answer = api.put(path, json=[{"approved": True}])
    assert (answer.status_code, answer.content) == (204, b"")
    assert engine.process(process_id).last_status == ProcessStatus.RESUMED
    assert engine.process(process_id).state["approved"] is True


def test_an_answer_keeps_who_gave_it(api, engine):
    process_id = engine.run("ask")
    api.put(f"/processes/{process_id}/resume", json=[{"approved": True}])
    assert engine.ledger(process_id)["approve"].created_by == "SYSTEM"


def test_nothing_is_no_answer(api, engine):
    process_id = engine.run("ask")
    for body in ({}, None, []):
        assert api.put(f"/processes/{process_id}/resume", json=body).status_code == 510, body


@pytest.mark.parametrize("body", [{}, None, []])
def test_a_failed_process_is_tried_again(api, engine, outside, body):
    process_id = engine.run("fail")
    outside.is_broken = False
    assert api.put(f"/processes/{process_id}/resume", json=body).status_code == 204
    assert engine.process(process_id).last_status == ProcessStatus.RESUMED
    assert engine.resume(process_id) is ProcessStatus.COMPLETED


def test_a_process_that_waits_for_better_times_tries_now(api, engine):
    process_id = engine.run("try_it")
    assert engine.process(process_id).last_status == ProcessStatus.WAITING
    assert api.put(f"/processes/{process_id}/resume", json={}).status_code == 204


def test_a_process_that_waits_for_a_callback_is_not_resumed_by_hand(api, engine):
    process_id = engine.run("order_cable")
    answer = api.put(f"/processes/{process_id}/resume", json={})
    assert answer.status_code == 409
    assert "call back" in answer.json()["detail"]
    assert engine.process(process_id).last_status == ProcessStatus.AWAITING_CALLBACK


def test_a_process_that_has_ended_is_a_conflict(api, engine):
    process_id = engine.run("look_around")
    for hand in ("resume", "abort"):
        answer = api.put(f"/processes/{process_id}/{hand}", json={})
        assert answer.status_code == 409, hand
        assert "completed" in answer.json()["detail"], hand


def test_a_process_that_is_not_there_is_not_found(api):
    unknown, reason = f"/processes/{uuid4()}", {"reason": "why"}
    answers = [
        api.put(f"{unknown}/resume", json={}),
        api.put(f"{unknown}/abort"),
        api.put(f"{unknown}/skip", json=reason),
        api.put(f"{unknown}/back", json={**reason, "step": "look"}),
        api.patch(unknown, json={"note": "x"}),
        api.delete(unknown),
        api.get(unknown),
    ]
    assert [answer.status_code for answer in answers] == [404] * 7


def test_an_id_that_is_none_is_not_understood(api):
    assert api.put("/processes/look/resume", json={}).status_code == 422


def test_while_the_engine_is_paused_nothing_goes_on(api, engine):
    failed, asking = engine.run("fail"), engine.run("ask")
    engine.service.engine.pause(user="tester")
    answers = [
        api.put(f"/processes/{failed}/resume", json={}),
        api.put(f"/processes/{asking}/resume", json=[{"approved": True}]),
        api.put("/processes/resume-all"),
        api.put(f"/processes/{failed}/skip", json={"reason": "why"}),
    ]
    assert [answer.status_code for answer in answers] == [503] * 4


# --- resume all ---


def test_all_tasks_that_stand_still_are_tried_again(api, engine):
    for workflow in ("fail", "fail", "try_it", "look_around", "ask"):
        engine.run(workflow)
    answer = api.put("/processes/resume-all")
    assert (answer.status_code, answer.json()) == (200, {"count": 3})


# --- the others ---


def test_an_abort_ends_a_process_also_while_the_engine_is_paused(api, engine):
    process_id = engine.run("fail")
    engine.service.engine.pause(user="tester")
    answer = api.put(f"/processes/{process_id}/abort")
    assert (answer.status_code, answer.content) == (204, b"")
    assert engine.process(process_id).last_status == ProcessStatus.ABORTED


def test_a_step_is_spared_with_what_it_would_have_given(api, engine):
    process_id = engine.run("fail")
    answer = api.put(f"/processes/{process_id}/skip", json={"reason": "done by hand", "changes": {"mended": True}})
    assert (answer.status_code, answer.json()) == (200, {"step": "break_down"})
    assert engine.process(process_id).state["mended"] is True
    assert engine.ledger(process_id)["break_down"].error["reason"] == "done by hand"


def test_a_process_is_sent_back(api, engine):
    process_id = engine.run("fail")
    answer = api.put(f"/processes/{process_id}/back", json={"step": "look", "reason": "look again"})
    assert (answer.status_code, answer.json()) == (200, {"step": "look"})
    assert "looked" not in engine.process(process_id).state


def test_who_does_a_steps_work_says_why(api, engine):
    process_id = engine.run("fail")
    for hand, body in (("skip", {}), ("skip", {"reason": ""}), ("back", {"step": "look"})):
        assert api.put(f"/processes/{process_id}/{hand}", json=body).status_code == 422, (hand, body)


def test_a_step_that_is_unknown_is_named(api, engine):
    answer = api.put(f"/processes/{engine.run('fail')}/back", json={"step": "lok", "reason": "why"})
    assert answer.status_code == 409
    assert "'lok'" in answer.json()["detail"]


def test_changes_that_cannot_be_kept_are_refused(api, engine):
    process_id, headers = engine.run("fail"), {"content-type": "application/json"}
    for changes in ({"a\0": 1}, {"a": "\ud800"}, {"process_id": "x"}):
        body = json.dumps({"reason": "why", "changes": changes})
        answer = api.put(f"/processes/{process_id}/skip", content=body, headers=headers)
        assert answer.status_code == 400, changes


def test_a_note_is_written_and_the_process_given_back(api, engine):
    process_id = engine.run("fail")
    answer = api.patch(f"/processes/{process_id}", json={"note": "waits for Bob"})
    assert answer.status_code == 200
    assert (answer.json()["process_id"], answer.json()["note"]) == (str(process_id), "waits for Bob")
    assert api.patch(f"/processes/{process_id}", json={"note": None}).json()["note"] is None


def test_a_note_is_a_text_that_fits(api, engine):
    process_id = engine.run("fail")
    for body in ({"note": "x" * 5001}, {}, {"note": 1}):
        assert api.patch(f"/processes/{process_id}", json=body).status_code == 422, body


def test_a_task_that_has_ended_is_deleted(api, engine):
    process_id = engine.run("look_around")
    answer = api.delete(f"/processes/{process_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get(f"/processes/{process_id}").status_code == 404


def test_what_is_no_task_or_has_not_ended_is_not_deleted(api, engine):
    failed = engine.run("fail")
    device = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    assert [api.delete(f"/processes/{one}").status_code for one in (failed, device)] == [400, 400]


# --- rights ---


@pytest.fixture
def guarded(engine_of, api_of):
    """A process of each kind whose workflow's callbacks let nobody intervene in it."""

    class Yes(SubmitFormPage):
        yes: bool

    @inputstep("Ask", Assignee.NOC, resume_auth_callback=lambda context: False)
    def question(state):
        return Yes

    @step("Break", retry_auth_callback=lambda context: False)
    def break_down():
        raise RuntimeError("no")

    @task("Asking")
    def asking():
        return begin >> question

    @task("Failing")
    def failing():
        return begin >> break_down

    engine = engine_of(asking, failing)
    return engine, api_of(engine)


def test_who_may_not_answer_is_forbidden(guarded):
    engine, api = guarded
    process_id = engine.run("asking")
    assert api.put(f"/processes/{process_id}/resume", json=[{"yes": True}]).status_code == 403


def test_who_may_not_retry_may_lay_no_other_hand_on_it(guarded):
    engine, api = guarded
    process_id = engine.run("failing")
    reason = {"reason": "why"}
    answers = [
        api.put(f"/processes/{process_id}/resume", json={}),
        api.put(f"/processes/{process_id}/abort"),
        api.put(f"/processes/{process_id}/skip", json=reason),
        api.put(f"/processes/{process_id}/back", json={**reason, "step": "start"}),
        api.delete(f"/processes/{process_id}"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert api.put("/processes/resume-all").json() == {"count": 0}
    assert engine.process(process_id).last_status == ProcessStatus.FAILED


def test_what_may_be_done_is_said_with_the_process(guarded):
    engine, api = guarded
    asking, failing = (api.get(f"/processes/{engine.run(name)}").json() for name in ("asking", "failing"))
    assert asking["user_permissions"] == {"retryAllowed": False, "resumeAllowed": False}
    assert failing["user_permissions"] == {"retryAllowed": False, "resumeAllowed": True}


def test_the_callbacks_are_told_what_is_wanted(engine_of, api_of):
    asked = []

    def note(context):
        asked.append((context.action, context.step.key))
        return True

    class Yes(SubmitFormPage):
        yes: bool

    @inputstep("Ask", Assignee.NOC, resume_auth_callback=note, retry_auth_callback=note)
    def question(state):
        return Yes

    @task("Asking")
    def asking():
        return begin >> question

    engine = engine_of(asking)
    api_of(engine).get(f"/processes/{engine.run('asking')}")
    assert asked == [("retry_workflow", "question"), ("resume_workflow", "question")]


def test_what_one_hand_has_set_going_runs(api, engine, outside):
    process_id = UUID(api.post("/processes/ask", json=[{}]).json()["id"])
    engine.service.runs.execute(process_id, user="worker")
    outside.is_broken = False
    api.put(f"/processes/{process_id}/resume", json=[{"approved": True}])
    assert engine.service.runs.execute(process_id, user="worker") is ProcessStatus.COMPLETED
