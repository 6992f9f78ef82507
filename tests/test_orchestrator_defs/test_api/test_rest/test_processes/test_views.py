"""Looking at one process over REST: its shape, what it changed of its subscription, its form."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import Field

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.types import Assignee

LIST_KEYS = [
    "process_id",
    "workflow_id",
    "workflow_name",
    "workflow_target",
    "is_task",
    "last_status",
    "last_step",
    "assignee",
    "failed_reason",
    "created_by",
    "started_at",
    "last_modified_at",
    "note",
    "run_id",
    "parent_process_id",
    "product_id",
    "customer_id",
    "subscriptions",
]
DETAIL_KEYS = [
    *LIST_KEYS,
    *[
        "current_state",
        "steps",
        "form",
        "form_meta",
        "form_error",
        "traceback",
        "waits",
        "children",
        "runs",
        "user_permissions",
    ],
]
STEP_KEYS = [
    "step_id",
    "key",
    "name",
    "status",
    "state_delta",
    "removed",
    "attempts",
    "created_by",
    "started",
    "completed",
    "executed",
    "run_id",
    "commit_hash",
]


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


@pytest.fixture
def renamed(engine):
    """A process that has renamed a device, and the device."""
    created = engine.of(engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}]))
    subscription_id = str(created.subscription_id)
    return engine.run("modify_device", [{"subscription_id": subscription_id}, {"hostname": "ams2"}]), subscription_id


def test_a_process_has_these_fields(api, engine):
    detail = api.get(f"/processes/{engine.run('fail')}").json()
    assert list(detail) == DETAIL_KEYS
    assert detail["workflow_name"] == "fail"
    assert detail["workflow_target"] == "SYSTEM"
    assert detail["is_task"] is True
    assert detail["last_status"] == "failed"
    assert detail["last_step"] == "Break"
    assert detail["failed_reason"] == "RuntimeError: the cable is cut"
    assert "the cable is cut" in detail["traceback"]
    assert detail["created_by"] == "tester"


def test_moments_are_seconds(api, engine):
    before = datetime.now(UTC).timestamp()
    detail = api.get(f"/processes/{engine.run('fail')}").json()
    moments = [detail["started_at"], detail["last_modified_at"], *(detail["steps"][0][k] for k in ("started",))]
    assert all(isinstance(moment, float) and before - 1 < moment < before + 60 for moment in moments)


def test_steps_are_the_done_ones_and_then_those_to_come(api, engine):
    steps = api.get(f"/processes/{engine.run('fail')}").json()["steps"]
    assert [list(step) for step in steps] == [STEP_KEYS] * 4
    assert [(step["name"], step["status"]) for step in steps] == [
        ("Start", "success"),
        ("Look", "success"),
        ("Break", "failed"),
        ("Done", "pending"),
    ]
    assert steps[1]["state_delta"] == {"looked": True}
    assert steps[1]["executed"] == steps[1]["completed"] >= steps[1]["started"]
    assert steps[2]["state_delta"]["error"] == "RuntimeError: the cable is cut"
    assert steps[3] == dict.fromkeys(STEP_KEYS) | {
        "key": "done",
        "name": "Done",
        "status": "pending",
        "removed": [],
        "attempts": 0,
    }


def test_secrets_are_masked(api, engine):
    process_id = engine.run("build_rack", [{"site": "ams"}, {"rack": 1, "password": "s3cr3t"}])
    answer = api.get(f"/processes/{process_id}")
    assert "s3cr3t" not in answer.text
    assert answer.json()["current_state"]["password"] == "**********"


def test_a_form_that_waits_comes_with_the_process(api, engine):
    detail = api.get(f"/processes/{engine.run('ask')}").json()
    assert detail["last_status"] == "suspended"
    assert list(detail["form"]["properties"]) == ["approved"]
    assert (detail["form_meta"], detail["form_error"]) == ({"hasNext": False}, None)
    assert [step["status"] for step in detail["steps"]] == ["success", "success", "suspend", "pending", "pending"]
    assert detail["assignee"] == "NOC"


def test_a_form_may_have_any_default(engine_of, api_of):
    class Odd(SubmitFormPage):
        site: UUID = Field(default_factory=lambda: UUID(int=1))
        size: Decimal = Decimal("1.5")
        ratio: float = float("inf")

    @inputstep("Ask", Assignee.NOC)
    def question():
        return Odd

    @task("Odd")
    def odd():
        return begin >> question

    engine = engine_of(odd)
    detail = api_of(engine).get(f"/processes/{engine.run('odd')}").json()
    assert detail["form_error"] is None
    assert list(detail["form"]["properties"]) == ["site", "size", "ratio"]


def test_who_waits_for_no_input_has_no_form(api, engine):
    assert api.get(f"/processes/{engine.run('fail')}").json()["form"] is None


def test_the_subscription_is_shown_as_it_was_and_as_it_is(api, renamed):
    process_id, subscription_id = renamed
    state = api.get(f"/processes/{process_id}").json()["current_state"]
    old, new = state["__old_subscriptions__"][subscription_id], state["subscription"]
    assert (old["device"]["hostname"], new["device"]["hostname"]) == ("ams1", "ams2")
    assert (old["description"], new["description"]) == ("Device ams1", "Device ams2")
    assert old.keys() == new.keys()


def test_what_a_process_made_had_nothing_before(api, engine):
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    state = api.get(f"/processes/{process_id}").json()["current_state"]
    assert state["__old_subscriptions__"] == {}
    assert state["subscription"]["device"]["hostname"] == "ams1"


def test_what_others_changed_later_is_not_shown(api, engine, renamed):
    process_id, subscription_id = renamed
    engine.run("modify_device", [{"subscription_id": subscription_id}, {"hostname": "ams3"}])
    state = api.get(f"/processes/{process_id}").json()["current_state"]
    assert state["subscription"]["device"]["hostname"] == "ams2"


def test_a_process_that_only_looks_changes_nothing(api, engine, renamed):
    _, subscription_id = renamed
    process_id = engine.run("validate_device", [{"subscription_id": subscription_id}])
    state = api.get(f"/processes/{process_id}").json()["current_state"]
    assert state["subscription"] == state["__old_subscriptions__"][subscription_id]


def test_the_stored_state_is_left_alone(api, engine, renamed):
    process_id, _ = renamed
    api.get(f"/processes/{process_id}")
    assert "__old_subscriptions__" not in engine.process(process_id).state


def test_subscriptions_come_with_their_product(api, renamed):
    process_id, subscription_id = renamed
    detail = api.get(f"/processes/{process_id}").json()
    (subscription,) = detail["subscriptions"]
    assert subscription["subscription_id"] == subscription_id
    assert subscription["product"] == {
        "product_id": detail["product_id"],
        "name": "Test Device",
        "tag": "DEV",
        "product_type": "Device",
    }
    assert (detail["customer_id"], subscription["status"], subscription["insync"]) == ("customer", "active", True)


def test_its_runs_are_linked(api, engine, outside):
    process_id = engine.run("fail")
    outside.is_broken = False
    api.put(f"/processes/{process_id}/resume", json={})
    engine.resume(process_id)
    detail = api.get(f"/processes/{process_id}").json()
    first, second = detail["runs"]
    assert first == {"run_id": str(process_id), "url": f"/runs/{process_id}"}
    assert second["run_id"] == detail["run_id"]


def test_counts_are_by_kind_and_status(api, engine):
    for workflow in ("fail", "fail", "look_around"):
        engine.run(workflow)
    engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    answer = api.get("/processes/status-counts")
    assert answer.json() == {"process_counts": {"completed": 1}, "task_counts": {"failed": 2, "completed": 1}}


def test_a_look_takes_so_many_statements(api, renamed, statements):
    process_id, _ = renamed
    path = f"/processes/{process_id}"
    api.get(path)
    statements.clear()
    api.get(path)
    assert statements.count == 8
