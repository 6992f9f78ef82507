"""Results of validations over REST, and the two answers to drift."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ops.starting.answering_workflow import answering_workflow
from ops.starting.drift_answer import Answer
from resources.errors import StartRefused
from resources.secrecy import MASK, remember
from tests.drift import HOSTNAME, write_result
from tests.test_orchestrator_defs.test_api.test_rest.test_subscriptions.network import NOBODY, change

WHY = {"reason": "Renamed on purpose, ticket 7."}
ANSWERS = ("push_intent", "accept_reality")


def newest(api, subscription_id):
    return api.get(f"/subscriptions/{subscription_id}/validation").json()


def give(api, answer, subscription_id, **options):
    return api.post(f"/subscriptions/{subscription_id}/{answer}", **({"json": WHY} | options))


def finished(engine, given):
    """The run of the process that an answer started, at its end."""
    assert given.status_code == 201, given.text
    run = engine.of(given.json()["id"]).execute()
    run.assert_completed()
    return run


@pytest.fixture
def drifted(engine, world, device):
    """The id of a device whose newest validation has found another name."""
    world.hostnames[device] = "utr1"
    write_result(engine.database, device)
    return device


# --- reading ---


def test_a_subscription_that_was_never_validated_says_so(api, device):
    found = newest(api, device)
    assert (found["result"], found["age"]) == (None, None)
    assert "was never validated" in found["why_not_answerable"]


def test_the_newest_result_has_its_differences_and_its_age(engine, api, drifted):
    write_result(engine.database, drifted, finished_at=datetime.now(UTC) - timedelta(hours=2))
    found = newest(api, drifted)
    assert (found["result"], found["version"], found["differences"]) == ("drifted", 2, [HOSTNAME])
    assert 7200 <= found["age"] < 7300
    assert found["why_not_answerable"] == ""


def test_secrets_in_differences_are_masked(engine, api, device):
    remember("hunter2-of-ams1")
    write_result(engine.database, device, differences=[HOSTNAME | {"found": "key hunter2-of-ams1"}])
    for path in ("validation", "validations"):
        answer = api.get(f"/subscriptions/{device}/{path}")
        assert "hunter2" not in answer.text
        assert f"key {MASK}" in answer.text


def test_the_history_is_read_by_page(engine, api, device):
    for result in ("passed", "drifted", "unreachable"):
        write_result(engine.database, device, result)
    answer = api.get(f"/subscriptions/{device}/validations", params={"range": "0,2"})
    assert [one["result"] for one in answer.json()] == ["unreachable", "drifted"]
    assert answer.json()[0]["created_by"] == "ada"
    assert answer.headers["Content-Range"] == "validations 0-2/3"


@pytest.mark.parametrize("path", ["validation", "validations"])
def test_an_unknown_subscription_has_none(api, path):
    assert api.get(f"/subscriptions/{NOBODY}/{path}").status_code == 404


# --- the answers ---


def test_intent_is_pushed_with_its_reason(engine, api, world, drifted):
    run = finished(engine, give(api, "push_intent", drifted))
    assert world.hostnames[drifted] == "ams1"
    assert (run.row.note, run.row.created_by) == (f"Push intent: {WHY['reason']}", "SYSTEM")
    assert api.get(f"/subscriptions/{drifted}").json()["insync"] is True


def test_reality_is_accepted_with_its_reason(engine, api, drifted):
    run = finished(engine, give(api, "accept_reality", drifted))
    assert run.subscription.device.hostname == "utr1"
    assert run.row.note == f"Accept reality: {WHY['reason']}"
    assert api.get(f"/subscriptions/{drifted}").json()["insync"] is True


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_history_of_the_subscription_has_reason_and_process(engine, api, drifted, answer):
    run = finished(engine, give(api, answer, drifted))
    (entry,) = [one for one in api.get(f"/subscriptions/{drifted}/versions").json() if one["reason"]]
    assert (entry["reason"], entry["process_id"], entry["step_key"]) == (WHY["reason"], str(run.process_id), answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answered_result_stands_no_more_and_a_validation_is_due(engine, api, drifted, answer):
    write_result(engine.database, drifted, due_at=datetime.now(UTC) + timedelta(days=1))
    finished(engine, give(api, answer, drifted))
    found = newest(api, drifted)
    assert found["due_at"] <= datetime.now(UTC).timestamp()
    assert "has changed since" in found["why_not_answerable"]
    assert give(api, answer, drifted).status_code == 412


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_validation_that_found_the_drift_ends(engine, api, world, device, answer):
    world.hostnames[device] = "utr1"
    validation = engine.run("validate_device", [{"subscription_id": device}])
    write_result(engine.database, device)
    finished(engine, give(api, answer, device))
    assert engine.process(validation).last_status == "aborted"


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("result", ["passed", "unreachable", "failed"])
def test_what_is_no_drift_is_not_answered(engine, api, device, answer, result):
    write_result(engine.database, device, result)
    refused = give(api, answer, device)
    assert (refused.status_code, refused.json()["reason"]) == (412, "validation.not_answerable")
    assert refused.json()["detail"] == (
        f"Subscription {device} has {result} at its newest validation, so there is no drift to answer."
    )


@pytest.mark.parametrize("answer", ANSWERS)
def test_drift_of_an_earlier_version_is_not_answered(engine, api, drifted, answer):
    change(engine, drifted, version=7)
    detail = give(api, answer, drifted).json()["detail"]
    assert "which compared version 2: it is at version 7. Validate it again." in detail


@pytest.mark.parametrize("answer", ANSWERS)
def test_drift_of_what_is_in_sync_again_is_not_answered(engine, api, drifted, answer):
    change(engine, drifted, insync=True)
    assert "was put in sync after" in give(api, answer, drifted).json()["detail"]


def test_what_another_process_holds_is_not_answered(engine, api, world, drifted):
    world.broken.add("configure")
    given = give(api, "push_intent", drifted)
    engine.of(given.json()["id"]).execute()
    write_result(engine.database, drifted)
    assert "is being changed by reconcile_device" in give(api, "push_intent", drifted).json()["detail"]


def test_a_difference_that_no_field_takes_is_named(engine, api, drifted):
    write_result(engine.database, drifted, differences=[HOSTNAME, {"path": "world.serial", "found": "X1"}])
    refused = give(api, "accept_reality", drifted)
    assert (refused.status_code, refused.json()["reason"]) == (412, "validation.not_acceptable")
    assert "world.serial is 'X1': the form of modify_device has no such field" in refused.json()["detail"]
    assert engine.of(engine.run("validate_device", [{"subscription_id": drifted}])).row  # nothing holds it


def test_a_masked_value_is_not_accepted(engine, api, drifted):
    write_result(engine.database, drifted, differences=[HOSTNAME | {"found": MASK}])
    assert "it is a secret" in give(api, "accept_reality", drifted).json()["detail"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_may_be_repeated_with_its_key(engine, api, drifted, answer):
    first = give(api, answer, drifted, headers={"Idempotency-Key": "7"})
    finished(engine, first)
    again = give(api, answer, drifted, headers={"Idempotency-Key": "7"})
    assert (again.status_code, again.json()) == (201, first.json())
    other = give(api, answer, drifted, headers={"Idempotency-Key": "7"}, json={"reason": "another"})
    assert other.status_code == 409


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "x" * 2001}, {"reason": "\0"}, {"reason": "x", "y": 1}]
)
def test_an_answer_without_a_proper_reason_is_not_understood(api, drifted, body):
    assert give(api, "push_intent", drifted, json=body).status_code == 422


def test_a_blank_reason_is_refused(api, drifted):
    assert give(api, "push_intent", drifted, json={"reason": "  "}).status_code == 400


def test_a_workflow_that_does_not_give_the_answer_is_refused_with_those_that_do(api, drifted):
    refused = give(api, "push_intent", drifted, json=WHY | {"workflow": "reconcile_devise"})
    assert "did you mean reconcile_device?" in refused.json()["detail"]


def test_an_answer_to_a_result_that_has_been_replaced_writes_nothing(engine, drifted, monkeypatch):
    def validate_first(*asked):
        write_result(engine.database, drifted)
        return answering_workflow(*asked)

    monkeypatch.setattr("orchestrator_defs.processes.process_start.answering_workflow", validate_first)
    with pytest.raises(StartRefused, match="was validated again meanwhile"):
        engine.service.starts.answer_drift(Answer.PUSH_INTENT, UUID(drifted), reason="x", user="ada")
    assert engine.count_processes() == 0
