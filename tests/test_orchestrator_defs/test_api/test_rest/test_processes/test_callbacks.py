"""Callbacks over REST: what external systems send, once, twice, early, late, and with a wrong token."""

from uuid import uuid4

import pytest

from resources.types import ProcessStatus


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


@pytest.fixture
def ordered(api, engine, outside):
    """A process that waits for a callback, and where to."""
    process_id = engine.run("order_cable")
    return process_id, outside.route.removeprefix("/api")


def test_a_callback_sets_its_process_going(api, engine, ordered):
    process_id, route = ordered
    answer = api.post(route, json={"status": "laid"})
    assert (answer.status_code, answer.json()) == (200, {"verdict": "resumed"})
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["callback_result"] == {"status": "laid"}


def test_the_same_again_is_no_fault_and_changes_nothing(api, engine, ordered):
    _, route = ordered
    api.post(route, json={"status": "laid", "metres": 1e2})
    answer = api.post(route, json={"status": "laid", "metres": 100})
    assert (answer.status_code, answer.json()) == (200, {"verdict": "answered before"})


def test_a_different_second_answer_is_a_conflict_and_changes_nothing(api, engine, ordered):
    """Its sender would believe that it counts."""
    process_id, route = ordered
    api.post(route, json={"status": "laid"})
    answer = api.post(route, json={"status": "torn"})
    assert (answer.status_code, "another answer" in answer.text) == (409, True)
    engine.resume(process_id)
    assert engine.process(process_id).state["callback_result"] == {"status": "laid"}


def test_one_that_nobody_waits_for_any_more_is_a_conflict(api, ordered):
    process_id, route = ordered
    api.put(f"/processes/{process_id}/abort")
    assert api.post(route, json={}).status_code == 409


def test_while_the_engine_is_paused_it_is_kept(api, engine, ordered):
    process_id, route = ordered
    engine.service.engine.pause(user="tester")
    answer = api.post(route, json={"status": "laid"})
    assert (answer.status_code, answer.json()) == (200, {"verdict": "stored"})
    engine.service.engine.release(user="tester")
    assert engine.resume(process_id) is ProcessStatus.COMPLETED


def test_a_wrong_token_and_a_process_that_is_not_there_are_the_same(api, ordered):
    for end in ("", "/progress"):
        process_id, route = ordered
        token = route.rpartition("/")[2]
        answers = [
            api.post(f"/processes/{process_id}/callback/wrong{end}", json={}),
            api.post(f"/processes/{process_id}/callback/%ff{end}", json={}),
            api.post(f"/processes/{uuid4()}/callback/{token}{end}", json={}),
        ]
        assert [answer.status_code for answer in answers] == [404] * 3, end
        assert len({answer.text for answer in answers}) == 1, end


def test_a_result_is_a_json_object_that_can_be_kept(api, engine, ordered):
    for body in (b"[]", b"1", b"null", b"", b"[", b'{"a": NaN}', b'{"a": "\\u0000"}'):
        process_id, route = ordered
        answer = api.post(route, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), body
        assert engine.process(process_id).last_status == ProcessStatus.AWAITING_CALLBACK, body


def test_progress_is_shown_with_the_process(api, ordered):
    for told in ("half of it", {"percent": 50}):
        process_id, route = ordered
        assert api.post(f"{route}/progress", json=told).status_code == 200, told
        detail = api.get(f"/processes/{process_id}").json()
        assert detail["current_state"]["callback_progress"] == told, told
        assert [wait["progress"] for wait in detail["waits"]] == [told], told
        assert detail["last_status"] == "awaiting_callback", told


def test_progress_after_the_answer_is_a_conflict(api, ordered):
    _, route = ordered
    api.post(route, json={})
    assert api.post(f"{route}/progress", json="late").status_code == 409


def test_no_token_is_shown(api, engine, ordered):
    process_id, route = ordered
    token = route.rpartition("/")[2]
    api.post(f"{route}/progress", json="half of it")
    assert token not in api.get(f"/processes/{process_id}").text
    api.post(route, json={})
    engine.resume(process_id)
    assert token not in api.get(f"/processes/{process_id}").text


@pytest.mark.parametrize("end", ["", "/progress"])
def test_a_mark_of_the_engine_is_refused_from_outside(api, ordered, end):
    """It would hide a text from people, or give the step a secret where it takes a text."""
    _, route = ordered
    answer = api.post(f"{route}{end}", json={"deep": [{"__secret__": "x"}]})
    assert (answer.status_code, "deep.0.__secret__ is a mark of the engine" in answer.text) == (400, True)
