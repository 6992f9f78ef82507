"""Putting a subscription in sync over REST: who may stand in the way."""

import json
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from resources.database.tables import ProcessTable
from resources.processes.process_rows import get_process
from resources.settings import settings
from tests.test_orchestrator_defs.test_api.test_rest.test_subscriptions.network import NOBODY, change, put_in_sync


def test_a_subscription_is_put_in_sync_and_its_history_says_by_whom(engine, api, device):
    change(engine, device, insync=False)
    answer = put_in_sync(api, device)
    assert (answer.status_code, answer.json()) == (
        200,
        {"subscription_id": device, "insync": True, "changed": True},
    )
    newest = api.get(f"/subscriptions/{device}/versions").json()[0]
    assert api.get(f"/subscriptions/{device}").json()["insync"] is True
    assert {key: newest[key] for key in ("version", "created_by", "process_id", "step_key", "difference")} == {
        "version": 3,
        "created_by": "SYSTEM",
        "process_id": None,
        "step_key": "set_in_sync",
        "difference": [],
    }


def test_the_history_keeps_the_reason(engine, api, device):
    change(engine, device, insync=False)
    assert put_in_sync(api, device, json={"reason": "The site was closed."}).json()["changed"] is True
    assert [one["reason"] for one in api.get(f"/subscriptions/{device}/versions").json()[:2]] == [
        "The site was closed.",
        None,
    ]


@pytest.mark.parametrize("reason", ["", "\0", "\ud800", "x" * 10_001, 7])
def test_a_reason_that_cannot_be_kept_is_refused(engine, api, device, reason):
    change(engine, device, insync=False)
    content = json.dumps({"reason": reason})
    answer = put_in_sync(api, device, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert api.get(f"/subscriptions/{device}").json()["insync"] is False


def test_the_validation_that_found_it_out_of_sync_ends_and_says_why(engine, api, world, device):
    world.hostnames[device] = "other"
    validation = engine.run("validate_device", [{"subscription_id": device}])
    assert engine.process(validation).last_status == "inconsistent_data"
    put_in_sync(api, device, json={"reason": "It is a spare."})
    assert engine.process(validation).last_status == "aborted"
    (line,) = [one for one in api.get(f"/processes/{validation}").json()["steps"] if one["status"] == "abort"]
    assert "SYSTEM has put the subscription in sync: It is a spare." in str(line)


def test_what_is_in_sync_stays_as_it_is(api, device):
    answer = put_in_sync(api, device)
    assert (answer.status_code, answer.json()["changed"]) == (200, False)
    assert api.get(f"/subscriptions/{device}").json()["version"] == 2


def test_an_unknown_one_is_not_put_in_sync(api):
    assert put_in_sync(api, NOBODY).status_code == 404


@pytest.fixture
def failed(engine, world, device):
    """The id of a process that failed and holds the device."""
    world.broken.add("rename")
    process_id = engine.run("modify_device", [{"subscription_id": device}, {"hostname": "ams2"}])
    assert engine.process(process_id).last_status == "failed"
    return str(process_id)


def test_an_unfinished_process_stands_in_the_way_and_is_named_last(api, device, failed):
    answer = put_in_sync(api, device)
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        f"Subscription {device} cannot be put in sync while processes that changed it are unfinished; "
        f"resume or abort these first: [{failed}]"
    )
    assert api.get(f"/subscriptions/{device}").json()["insync"] is False


def test_an_aborted_process_does_not_stand_in_the_way(engine, api, device, failed):
    engine.service.interventions.abort(UUID(failed), user="tester")
    assert put_in_sync(api, device).status_code == 200


def test_an_unfinished_task_does_not_stand_in_the_way(engine, api, world, device):
    world.broken.add("compare")
    task = engine.run("validate_device", [{"subscription_id": device}])
    assert engine.process(task).last_status == "failed"
    change(engine, device, insync=False)
    assert put_in_sync(api, device).status_code == 200


def test_who_holds_it_stands_in_the_way_even_if_it_only_changed_it_on_its_way(engine, api, circuit, device, failed):
    change(engine, circuit, insync=False, locked_by=UUID(failed))
    answer = put_in_sync(api, circuit)
    assert (answer.status_code, f"[{failed}]" in answer.json()["detail"]) == (422, True)


def test_the_check_can_be_disabled_and_still_nothing_is_let_go_of(engine, api, device, failed, monkeypatch):
    monkeypatch.setattr(settings(), "disable_insync_check", True)
    assert put_in_sync(api, device).status_code == 200
    found = api.get(f"/subscriptions/{device}").json()
    assert (found["insync"], found["locked_by"]) == (True, failed)


def test_two_unfinished_processes_are_named_in_the_order_of_their_start(engine, api, device, failed):
    with engine.database.transaction() as session:
        first = get_process(UUID(failed))
        other = ProcessTable(
            process_id=uuid4(), workflow_id=first.workflow_id, last_status="suspended", step_keys=[],
        )  # fmt: skip
        session.add(other)
        session.flush()
        session.execute(
            sa.text("INSERT INTO processes_subscriptions (process_id, subscription_id) VALUES (:p, :s)"),
            {"p": other.process_id, "s": UUID(device)},
        )
        second = str(other.process_id)
    assert put_in_sync(api, device).json()["detail"].endswith(f": [{failed}, {second}]")
