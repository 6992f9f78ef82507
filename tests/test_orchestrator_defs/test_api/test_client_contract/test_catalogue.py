"""The pages of metadata: descriptions edited in place, and schedules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.toy_network import DEVICE
from tests.web_client import WebClient

OTHER = "00000000-0000-4000-8000-000000000000"
SCHEDULE_KEYS = [
    *("schedule_id", "name", "workflow_id", "workflow_name", "trigger", "trigger_kwargs", "user_inputs"),
    *("created_by", "created_at", "next_run_at", "missed", "grace_seconds", "last_run", "starts_as", "rights_at"),
]


def product(ui: WebClient) -> dict[str, Any]:
    """The device, as the list of products has it."""
    return next(one for one in ui.get("/products/").data if one["name"] == DEVICE.name)


def workflow_id(ui: WebClient, name: str = "look_around") -> str:
    """What the client knows a workflow by."""
    return next(str(one["workflow_id"]) for one in ui.get("/workflows/").data if one["name"] == name)


def soon() -> str:
    """A moment, as JavaScript writes it."""
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


# --- in place ---


def paths(ui: WebClient) -> dict[str, str]:
    """Where one thing of each kind is."""
    found = product(ui)
    block = found["product_blocks"][0]
    return {
        "product": f"/products/{found['product_id']}",
        "block": f"/product_blocks/{block['product_block_id']}",
        "resource type": f"/resource_types/{block['resource_types'][0]['resource_type_id']}",
        "workflow": f"/workflows/{workflow_id(ui)}",
    }


@pytest.mark.parametrize("kind", ["product", "block", "resource type", "workflow"])
def test_a_description_is_edited_in_place(ui: WebClient, kind: str) -> None:
    path = paths(ui)[kind]
    before = ui.get(path).data["description"]
    answer = ui.patch(path, {"description": "In other words"})
    assert (answer.status, answer.data["description"]) == (200, "In other words")
    assert ui.get(path).data["description"] == "In other words"
    ui.patch(path, {"description": before})


def test_what_is_not_there_is_not_edited(ui: WebClient) -> None:
    for kind in ("products", "product_blocks", "resource_types", "workflows"):
        assert ui.patch(f"/{kind}/{OTHER}", {"description": "x"}).status == 404, kind


@pytest.mark.parametrize("status", ["pre production", "phase out", "active"])
def test_the_status_of_a_product_is_edited_in_place(ui: WebClient, status: str) -> None:
    path = paths(ui)["product"]
    answer = ui.patch(path, {"status": status})
    assert (answer.status, answer.data["status"]) == (200, status)
    ui.patch(path, {"status": "active"})


def test_moments_of_the_catalogue_are_seconds(ui: WebClient) -> None:
    assert isinstance(product(ui)["created_at"], float)


# --- schedules ---


def test_a_schedule_is_made_by_a_form_and_removed(ui: WebClient) -> None:
    answers: list[dict[str, Any]] = [
        {"task": "look_around"},
        {"schedule_name": "Nightly", "frequency": "cron"},
        {"cron": "10 0 * * *", "timezone": "UTC"},
    ]
    asked = [ui.post("/forms/configure_schedule", answers[:number]) for number in range(3)]
    assert [answer.status for answer in asked] == [510] * 3
    assert [answer.data["meta"] for answer in asked] == [{"hasNext": True}, {"hasNext": True}, {"hasNext": False}]
    payload = ui.post("/forms/configure_schedule", answers)
    assert payload.status == 200
    assert payload.data["workflow_id"] == workflow_id(ui)  # without it the client takes the form for unfinished

    made = ui.post("/schedules/", payload.data)
    assert (made.status, list(made.data)) == (201, [*SCHEDULE_KEYS, "message", "status"])
    assert (made.data["name"], made.data["status"]) == ("Nightly", "CREATED")
    of_it = {"workflow_id": made.data["workflow_id"], "schedule_id": made.data["schedule_id"]}
    removed = ui.delete("/schedules/", {"scheduled_type": "delete", **of_it})
    assert (removed.status, removed.data["status"]) == (200, "DELETED")


def test_the_picker_of_cron_knows_its_field_by_the_title(ui: WebClient) -> None:
    pages = [{"task": "look_around"}, {"schedule_name": "Nightly", "frequency": "cron"}]
    field = ui.post("/forms/configure_schedule", pages).data["form"]["properties"]["cron"]
    assert (field["type"], field["title"]) == ("string", "Cron")


def test_a_form_of_a_schedule_says_what_is_wrong(ui: WebClient) -> None:
    answer = ui.post("/forms/configure_schedule", [{"task": "no_such_task"}])
    assert (answer.status, answer.data["validation_errors"][0]["loc"]) == (400, ["task"])


def test_an_unknown_form_is_not_found(ui: WebClient) -> None:
    assert ui.post("/forms/no_such_form", []).status == 404


@pytest.mark.parametrize(
    ("trigger", "arguments"),
    [
        ("date", {"run_date": soon()}),
        ("interval", {"start_date": soon(), "hours": 12}),
        # Not a number is null in JavaScript's JSON: so it writes the stars of `30 6 * * *`.
        ("cron", {"start_date": soon(), "minute": 30, "hour": 6, "day": None, "month": None, "day_of_week": None}),
    ],
)
def test_an_older_client_schedules_by_its_own_form(ui: WebClient, trigger: str, arguments: dict[str, Any]) -> None:
    """Version 7.5 has no form of ours, and writes no slash behind the path."""
    body = {
        "scheduled_type": "create",
        "name": "Look around",
        "workflow_name": "look_around",
        "workflow_id": workflow_id(ui),
        "trigger": trigger,
        "trigger_kwargs": arguments,
    }
    made = ui.post("/schedules", body)
    assert (made.status, made.data["trigger"], type(made.data["next_run_at"])) == (201, trigger, float)
    of_it = {"workflow_id": body["workflow_id"], "schedule_id": made.data["schedule_id"]}
    assert ui.delete("/schedules", {"scheduled_type": "delete", **of_it}).status == 200


def test_schedules_are_listed(ui: WebClient) -> None:
    body = {"workflow_name": "look_around", "trigger": "interval", "trigger_kwargs": {"hours": 1}}
    made = ui.post("/schedules/", body).data
    listed = ui.get("/schedules/").data
    assert [list(one) for one in listed] == [SCHEDULE_KEYS] * len(listed)
    assert made["schedule_id"] in [one["schedule_id"] for one in listed]


def test_a_schedule_that_is_not_there_is_not_removed(ui: WebClient) -> None:
    body = {"scheduled_type": "delete", "workflow_id": workflow_id(ui), "schedule_id": OTHER}
    assert ui.delete("/schedules/", body).status == 404
