"""Starting workflows over REST: the form page by page, what is refused and how, and what is started."""

import asyncio
from uuid import UUID

import pytest

from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from resources.subscriptions.queries import find_product
from resources.types import ProcessStatus

PROBLEM = "application/problem+json"


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


def device(engine, name="ams1"):
    """A device that exists."""
    run = engine.of(engine.run("create_device", [{"product": "Test Device"}, {"hostname": name}]))
    return run.subscription_id


# --- the form ---


def test_a_page_that_is_missing_is_asked_for(api):
    answer = api.post("/processes/build_rack", json=[])
    assert answer.status_code == 510
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert sorted(problem) == ["detail", "form", "meta", "status", "title", "type"]
    assert (problem["title"], problem["status"], problem["type"]) == ("Form not complete", 510, "FormIncomplete")
    assert problem["meta"] == {"hasNext": True}
    assert list(problem["form"]["properties"]) == ["site"]


def test_the_last_page_says_that_it_is_the_last(api):
    problem = api.post("/processes/build_rack", json=[{"site": "ams"}]).json()
    assert problem["meta"] == {"hasNext": False}
    assert list(problem["form"]["properties"]) == ["rack", "password"]


def test_a_page_that_is_not_valid_names_its_fields(api):
    answer = api.post("/processes/build_rack", json=[{"site": "a"}])
    assert answer.status_code == 400
    problem = answer.json()
    assert sorted(problem) == ["detail", "status", "title", "type", "validation_errors"]
    assert (problem["title"], problem["status"]) == ("Form not valid", 400)
    (error,) = problem["validation_errors"]
    assert error["type"] == "string_too_short"
    assert error["loc"] == ["site"]
    assert error["input"] == "a"
    assert error["ctx"] == {"min_length": 2}


def test_what_a_validator_says_is_said_as_it_is(api):
    problem = api.post("/processes/build_rack", json=[{"site": "moon"}]).json()
    assert [error["msg"] for error in problem["validation_errors"]] == ["we have no site there"]


def test_a_page_too_many_is_a_form_that_is_not_valid(api):
    answer = api.post("/processes/build_rack", json=[{"site": "ams"}, {"rack": 1}, {"more": 1}])
    assert answer.status_code == 400
    assert "3 pages" in answer.json()["validation_errors"][0]["msg"]


def test_when_all_pages_are_there_the_process_is(api, engine):
    answer = api.post("/processes/build_rack", json=[{"site": "ams"}, {"rack": 7}])
    assert answer.status_code == 201
    assert list(answer.json()) == ["id"]
    row = engine.process(answer.json()["id"])
    assert (row.last_status, row.state["rack"]) == (ProcessStatus.CREATED, 7)


def test_what_was_started_runs(api, engine):
    process_id = api.post("/processes/build_rack", json=[{"site": "ams"}, {"rack": 7}]).json()["id"]
    assert engine.service.runs.execute(UUID(process_id), user="tester") is ProcessStatus.COMPLETED


def test_a_task_without_fields_asks_its_empty_page(api):
    for body in ([], None):
        answer = api.post("/processes/look_around", json=body)
        assert answer.status_code == 510, body
        assert answer.json()["form"]["properties"] == {}, body
        assert answer.json()["meta"] == {"hasNext": False}, body


def test_no_body_at_all_is_no_page(api):
    assert api.post("/processes/look_around").status_code == 510


def test_the_empty_page_starts_a_task_without_fields(api):
    assert api.post("/processes/look_around", json=[{}]).status_code == 201


def test_a_workflow_without_fields_starts_when_it_knows_its_subscription(api, engine):
    for workflow in ("validate_device", "reconcile_device", "terminate_device"):
        answer = api.post(f"/processes/{workflow}", json=[{"subscription_id": str(device(engine))}])
        assert answer.status_code == 201, workflow


def test_a_create_workflow_asks_for_its_page_when_it_knows_its_product(api, engine):
    with engine.database.transaction(read_only=True):
        product_id = find_product("Test Device").product_id
    answer = api.post("/processes/create_device", json=[{"product": str(product_id)}])
    assert answer.status_code == 510
    assert "hostname" in answer.json()["form"]["properties"]


def test_a_modify_workflow_shows_what_the_subscription_has(api, engine):
    answer = api.post("/processes/modify_device", json=[{"subscription_id": str(device(engine))}])
    assert answer.json()["form"]["properties"]["hostname"]["default"] == "ams1"


# --- refusals ---


def test_an_unknown_workflow_is_not_found(api):
    answer = api.post("/processes/look_arond", json=[])
    assert answer.status_code == 404
    assert "look_around" in answer.json()["detail"]


def test_a_predicate_that_fails_is_a_failed_precondition(api):
    assert api.post("/processes/one_at_a_time", json=[{}]).status_code == 201
    answer = api.post("/processes/one_at_a_time", json=[{}])
    assert answer.status_code == 412
    assert "not finished yet" in answer.json()["detail"]


def test_a_subscription_that_another_process_has_is_a_failed_precondition(api, engine):
    subscription_id = str(device(engine))
    pages = [{"subscription_id": subscription_id}, {"hostname": "ams2"}]
    first = api.post("/processes/modify_device", json=pages).json()["id"]
    answer = api.post("/processes/modify_device", json=pages)
    assert answer.status_code == 412
    assert first in answer.json()["detail"]
    assert answer.json()["reason"] == "subscription.locked_by_process"


def test_a_paused_engine_is_unavailable(api, engine):
    engine.service.engine.pause(user="tester")
    answer = api.post("/processes/look_around", json=[{}])
    assert answer.status_code == 503
    assert engine.count_processes() == 0


def test_who_may_not_start_is_forbidden(engine_of, api_of):
    @step("Look")
    def look():
        return None

    async def nobody(context):
        await asyncio.sleep(0)
        return False

    @task("Secret", authorize_callback=nobody)
    def secret():
        return begin >> look

    answer = api_of(engine_of(secret)).post("/processes/secret", json=[{}])
    assert answer.status_code == 403
    assert answer.json()["detail"] == "SYSTEM may not start secret."


def test_strange_input_is_the_clients_fault(api):
    for body, status in (
        (b"{}", 422),
        (b'"text"', 422),
        (b"[1]", 422),
        (b"[", 422),
        (b'[{"site": "a\\u0000b"}]', 400),
        (b'[{"site": "\\ud800x"}]', 400),
        (b'[{"site\\ud800": "ams"}]', 400),
        (b'[{"site": NaN}]', 400),
        (b'[{"site": 1e999}]', 400),
        (b'[{"site": "ams"}, {"rack": 99999999999999999999999999}]', 201),
        (b'[{"site": ' + b"[" * 900 + b"]" * 900 + b"}]", 422),
        (b"[" * 100_000, 400),
        (b'[{"site": ' + b"9" * 5000 + b"}]", 400),
        (b"\xff\xfe", 422),
    ):
        answer = api.post("/processes/build_rack", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == status, (body[:30], answer.text)
        if status != 201:
            assert answer.headers["content-type"] == PROBLEM, body[:30]


# --- who ---


def test_without_login_a_reporter_may_be_named(api, engine):
    process_id = api.post("/processes/look_around", params={"reporter": "ada"}, json=[{}]).json()["id"]
    assert engine.process(process_id).created_by == "ada"
    assert engine.process(process_id).state["reporter"] == "ada"


def test_a_reporter_is_a_short_text(api):
    for reporter in ("x" * 101, "a\0b"):
        assert api.post("/processes/look_around", params={"reporter": reporter}, json=[{}]).status_code == 422, reporter


# --- once ---


def test_the_same_start_with_the_same_key_is_the_same_process(api, engine):
    answers = [api.post("/processes/look_around", json=[{}], headers={"Idempotency-Key": "k1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert engine.count_processes() == 1


def test_another_start_with_the_same_key_is_a_conflict(api):
    api.post("/processes/look_around", json=[{}], headers={"Idempotency-Key": "k1"})
    assert api.post("/processes/fail", json=[{}], headers={"Idempotency-Key": "k1"}).status_code == 409


def test_a_key_that_cannot_be_kept_is_refused(api):
    for key, status in (("", 400), ("a\tb", 400), ("k" * 256, 422)):
        answer = api.post("/processes/look_around", json=[{}], headers={"Idempotency-Key": key})
        assert answer.status_code == status, key


def test_a_body_of_many_faults_is_answered_with_the_first(engine, api_of):
    answer = api_of(engine).post("/processes/build_rack", json=[1] * 10_000)
    assert (answer.status_code, len(answer.json()["detail"])) == (422, 1)
