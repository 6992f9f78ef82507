"""Processes: look at one, answer it, and intervene in it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from resources.types import ProcessStatus
from tests.engine import Engine
from tests.test_orchestrator_defs.test_api.test_rest.test_processes.workflows import Outside
from tests.web_client import WebClient

KEYS = [
    *("process_id", "workflow_id", "workflow_name", "workflow_target", "is_task", "last_status", "last_step"),
    *("assignee", "failed_reason", "created_by", "started_at", "last_modified_at", "note", "run_id"),
    *("parent_process_id", "product_id", "customer_id", "subscriptions", "current_state", "steps", "form"),
    *("form_meta", "form_error", "traceback", "waits", "children", "runs", "user_permissions"),
]


@pytest.fixture
def renamed(engine: Engine, device: Callable[[], str]) -> tuple[UUID, str]:
    """A process that has renamed a device, and the device."""
    subscription_id = device()
    inputs = [{"subscription_id": subscription_id}, {"hostname": "ams2"}]
    return engine.run("modify_device", inputs), subscription_id


def steps_of(ui: WebClient, process_id: UUID) -> list[tuple[str, str]]:
    """Name and status of each step, as the timeline has them."""
    return [(step["name"], step["status"]) for step in ui.get(f"/processes/{process_id}").data["steps"]]


# --- one ---


def test_a_process_is_told_whole(ui: WebClient, renamed: tuple[UUID, str]) -> None:
    process_id, subscription_id = renamed
    answer = ui.get(f"/processes/{process_id}")
    assert (answer.status, list(answer.data)) == (200, KEYS)
    assert answer.data["process_id"] == str(process_id)
    assert answer.data["workflow_name"] == "modify_device"
    assert answer.data["workflow_target"] == "MODIFY"
    assert answer.data["last_status"] == "completed"
    assert answer.data["is_task"] is False
    assert answer.data["user_permissions"] == {"retryAllowed": True, "resumeAllowed": True}
    assert [one["subscription_id"] for one in answer.data["subscriptions"]] == [subscription_id]


def test_the_delta_has_the_subscription_before_and_after(ui: WebClient, renamed: tuple[UUID, str]) -> None:
    process_id, subscription_id = renamed
    state = ui.get(f"/processes/{process_id}").data["current_state"]
    assert state["subscription"]["subscription_id"] == subscription_id
    assert state["subscription"]["device"]["hostname"] == "ams2"
    assert list(state["__old_subscriptions__"]) == [subscription_id]
    assert state["__old_subscriptions__"][subscription_id]["device"]["hostname"].startswith("d")


def test_moments_are_seconds_with_a_fraction(ui: WebClient, renamed: tuple[UUID, str]) -> None:
    process = ui.get(f"/processes/{renamed[0]}").data
    (subscription,) = process["subscriptions"]
    moments = [process["started_at"], process["last_modified_at"], subscription["start_date"]]
    moments += [step[name] for step in process["steps"] for name in ("started", "completed", "executed")]
    assert all(isinstance(moment, float) for moment in moments)


def test_steps_that_are_done_come_before_those_to_come(ui: WebClient, engine: Engine, outside: Outside) -> None:
    outside.is_broken = True
    assert steps_of(ui, engine.run("fail")) == [
        ("Start", "success"),
        ("Look", "success"),
        ("Break", "failed"),
        ("Done", "pending"),
    ]


@pytest.mark.parametrize(
    ("workflow", "status", "step"),
    [
        ("ask", "suspended", "suspend"),
        ("order_cable", "awaiting_callback", "awaiting_callback"),
        ("try_it", "waiting", "waiting"),
    ],
)
def test_what_a_process_waits_for_is_said_in_lower_case(
    ui: WebClient, engine: Engine, workflow: str, status: str, step: str
) -> None:
    process = ui.get(f"/processes/{engine.run(workflow)}").data
    assert process["last_status"] == status
    assert step in [one["status"] for one in process["steps"]]


def test_a_step_to_come_has_no_id_and_no_times(ui: WebClient, engine: Engine) -> None:
    last = ui.get(f"/processes/{engine.run('ask')}").data["steps"][-1]
    assert last["status"] == "pending"
    assert [last[name] for name in ("step_id", "state_delta", "started", "completed")] == [None] * 4


def test_a_form_is_there_when_somebody_is_asked(ui: WebClient, engine: Engine) -> None:
    asked = ui.get(f"/processes/{engine.run('ask')}").data
    assert (asked["form"]["type"], list(asked["form"]["properties"])) == ("object", ["approved"])
    assert asked["form_meta"] == {"hasNext": False}
    assert ui.get(f"/processes/{engine.run('look_around', [{}])}").data["form"] is None


def test_an_unknown_process_is_not_found(ui: WebClient) -> None:
    assert ui.get("/processes/00000000-0000-4000-8000-000000000000").status == 404


# --- resume ---


def test_a_failed_process_is_tried_again(ui: WebClient, engine: Engine, outside: Outside) -> None:
    outside.is_broken = True
    process_id = engine.run("fail")
    outside.is_broken = False
    try:
        assert ui.put(f"/processes/{process_id}/resume", {}).status == 204
        assert engine.resume(process_id) is ProcessStatus.COMPLETED
    finally:
        outside.is_broken = True


def test_a_process_is_answered_page_by_page(ui: WebClient, engine: Engine) -> None:
    process_id = engine.run("ask_pages")
    path = f"/processes/{process_id}/resume"

    def put(*pages: dict[str, Any]) -> Any:
        return ui.put(path, list(pages))

    refused = put({"site": "a"})
    assert (refused.status, refused.data["status"]) == (400, 400)
    assert [error["loc"] for error in refused.data["validation_errors"]] == [["site"]]
    asked = put({"site": "ams"})
    assert (asked.status, asked.data["status"], asked.data["meta"]) == (510, 510, {"hasNext": False})
    assert list(asked.data["form"]["properties"]) == ["day"]
    assert put({"site": "ams"}, {"day": 1}).status == 204
    assert engine.resume(process_id) is ProcessStatus.COMPLETED


def test_a_process_that_has_ended_is_not_tried_again(ui: WebClient, engine: Engine) -> None:
    answer = ui.put(f"/processes/{engine.run('look_around', [{}])}/resume", {})
    assert (answer.status, type(answer.data["detail"])) == (409, str)


def test_all_tasks_are_tried_again(ui: WebClient, engine: Engine, outside: Outside) -> None:
    outside.is_broken = True
    process_id = engine.run("fail")
    answer = ui.put("/processes/resume-all")
    assert (answer.status, list(answer.data)) == (200, ["count"])
    assert answer.data["count"] >= 1
    assert engine.process(process_id).last_status == ProcessStatus.RESUMED


# --- abort, delete, note ---


def test_a_process_is_aborted_once(ui: WebClient, engine: Engine) -> None:
    process_id = engine.run("ask")
    assert ui.put(f"/processes/{process_id}/abort").status == 204
    assert ui.get(f"/processes/{process_id}").data["last_status"] == "aborted"
    assert ui.put(f"/processes/{process_id}/abort").status == 409


def test_a_task_that_has_ended_is_deleted(ui: WebClient, engine: Engine) -> None:
    process_id = engine.run("look_around", [{}])
    assert ui.delete(f"/processes/{process_id}").status == 204
    assert ui.get(f"/processes/{process_id}").status == 404


def test_what_is_no_task_is_not_deleted(ui: WebClient, renamed: tuple[UUID, str]) -> None:
    assert ui.delete(f"/processes/{renamed[0]}").status == 400


@pytest.mark.parametrize("note", ["Waits for the fibre", "", None])
def test_a_note_is_written_on_a_process(ui: WebClient, engine: Engine, note: str | None) -> None:
    process_id = engine.run("look_around", [{}])
    answer = ui.patch(f"/processes/{process_id}", {"note": note})
    assert (answer.status, answer.data["note"]) == (200, note)
    assert ui.get(f"/processes/{process_id}").data["note"] == note


# --- many ---


def test_a_list_says_which_of_how_many_it_has(ui: WebClient, engine: Engine) -> None:
    wanted = {str(engine.run("look_around", [{}])) for _ in range(3)}
    query = "range=0,2&sort=startedAt,desc&filter=processId," + "|".join(sorted(wanted))
    answer = ui.get(f"/processes/?{query}")
    assert answer.status == 200
    assert answer.headers["content-range"] == "processes 0-2/3"
    assert {"Content-Range", "ETag"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    assert len({one["process_id"] for one in answer.data} & wanted) == 2
    assert all(list(one) == KEYS[: KEYS.index("current_state")] for one in answer.data)


def test_a_list_that_is_known_is_not_sent_again(ui: WebClient, engine: Engine) -> None:
    path = f"/processes/?filter=processId,{engine.run('look_around', [{}])}"
    tag = ui.get(path).headers["etag"]
    assert tag.startswith('W/"')
    again = ui.get(path, **{"If-None-Match": tag})
    assert (again.status, again.headers["etag"]) == (304, tag)


def test_a_list_that_cannot_be_is_refused_with_a_reason(ui: WebClient) -> None:
    for query in ("filter=colour,red", "filter=lastStatus", "range=2,1", "sort=colour,asc"):
        answer = ui.get(f"/processes/?{query}")
        assert (answer.status, type(answer.data["detail"])) == (400, str), query
