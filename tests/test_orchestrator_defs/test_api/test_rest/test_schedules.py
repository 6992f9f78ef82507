"""Schedules over HTTP: checked before they are kept, listed, changed and removed."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID, uuid4

import pytest
from pydantic import AfterValidator, SecretStr

from ops.starting.schedule_form import KEY
from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from resources.processes import schedules
from tests.toy_network import DEVICE, World, device_workflows


@step("Do it")
def do_it():
    return None


class Colour(SubmitFormPage):
    colour: Annotated[str, AfterValidator(lambda text: text.lower())]
    password: SecretStr = SecretStr("default")


@task("Paint", Colour)
def paint():
    return begin >> do_it


@task("Rest")
def rest():
    return begin >> do_it


@task("Nobody", authorize_callback=lambda context: False)
def nobody():
    return begin >> do_it


@pytest.fixture
def engine(engine_of):
    return engine_of(paint, rest, nobody, *device_workflows(World()), products=[DEVICE])


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


def create(api, **changes):
    body = {"scheduled_type": "create", "workflow_name": "rest", "trigger": "interval", "trigger_kwargs": {"hours": 4}}
    return api.post("/schedules/", json={**body, **changes})


@pytest.mark.parametrize("levels", [65, 500, 900])
def test_inputs_that_are_nested_too_deeply_are_refused(api, levels):
    content = json.dumps({"workflow_name": "rest", "trigger": "interval", "trigger_kwargs": {"hours": 4}})
    deep = f'{content[:-1]}, "user_inputs": [{{"a": {"[" * levels}{"]" * levels}}}]}}'
    answer = api.post("/schedules/", content=deep, headers={"Content-Type": "application/json"})
    assert (answer.status_code, "nested deeper than 64 levels" in answer.text) == (422, True)


def remove(api, **body):
    return api.request("DELETE", "/schedules/", json={"scheduled_type": "delete", **body})


@pytest.fixture
def made(api):
    answer = create(api)
    assert answer.status_code == 201
    return answer.json()


def workflow_id(api, name):
    return next(one["workflow_id"] for one in api.get("/workflows/").json() if one["name"] == name)


# --- making ---


def test_a_schedule_is_made_with_an_id_and_the_time_of_its_first_start(made):
    assert list(made) == [
        "schedule_id",
        "name",
        "workflow_id",
        "workflow_name",
        "trigger",
        "trigger_kwargs",
        "user_inputs",
        "created_by",
        "created_at",
        "next_run_at",
        "missed",
        "grace_seconds",
        "last_run",
        "starts_as",
        "rights_at",
        "message",
        "status",
    ]
    assert (made["status"], made["workflow_name"], made["trigger"]) == ("CREATED", "rest", "interval")
    assert made["trigger_kwargs"] == {"hours": 4}
    assert (made["missed"], made["grace_seconds"], made["last_run"]) == ("last", None, None)
    assert made["created_by"] == "SYSTEM"
    expected = datetime.now(UTC) + timedelta(hours=4)
    assert abs(made["next_run_at"] - expected.timestamp()) < 60


def test_a_schedule_is_called_as_its_workflow_unless_it_has_a_name(api, made):
    assert made["name"] == "Rest"
    assert create(api, name="Every four hours").json()["name"] == "Every four hours"


def test_a_workflow_is_named_by_its_id_as_well(api):
    found = workflow_id(api, "paint")
    answer = create(api, workflow_name=None, workflow_id=found, user_inputs=[{"colour": "Red"}])
    assert (answer.status_code, answer.json()["workflow_name"], answer.json()["workflow_id"]) == (201, "paint", found)


def test_the_inputs_are_kept_as_they_were_given(api):
    answer = create(api, workflow_name="paint", user_inputs=[{"colour": "Red"}])
    assert answer.json()["user_inputs"] == [{"colour": "Red"}]


def test_a_workflow_on_a_subscription_is_scheduled_with_its_page(engine, api):
    process_id = engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "ams1"}])
    subscription_id = engine.of(process_id).row.state["subscription_id"]
    answer = create(api, workflow_name="validate_device", user_inputs=[{"subscription_id": subscription_id}])
    assert answer.status_code == 201


def test_an_unknown_workflow_is_404(api):
    for named in ({"workflow_name": "no_such"}, {"workflow_name": None, "workflow_id": str(uuid4())}):
        assert create(api, **named).status_code == 404, named


def test_a_workflow_is_named_once_or_alike(api):
    answer = create(api, workflow_id=workflow_id(api, "paint"))
    assert answer.status_code == 422
    assert "is paint, not 'rest'" in answer.json()["detail"]
    assert create(api, workflow_name=None).status_code == 422


def test_a_workflow_that_one_may_not_start_is_403(api):
    assert create(api, workflow_name="nobody").status_code == 403


def test_a_trigger_that_cannot_be_used_is_422_and_says_why(api):
    for trigger, kwargs, said in (
        ("interval", {}, "length"),
        ("interval", {"hours": "x"}, "hours"),
        ("interval", {"weeks": 10**300}, "out of range"),
        ("cron", {"hour": 25}, "hour: "),
        ("cron", {"hour": 1, "timezone": "Mars"}, "Mars"),
        ("cron", {"month": 2, "day": 30}, "never fires"),
        ("cron", {"\x00": 1}, "Extra"),
        ("date", {"run_date": "2020-01-01T00:00:00"}, "never fires"),
    ):
        answer = create(api, trigger=trigger, trigger_kwargs=kwargs)
        assert answer.status_code == 422, kwargs
        assert said in answer.json()["detail"], kwargs
        assert api.get("/schedules/").json() == [], kwargs


def test_a_request_that_is_none_is_422(api):
    for changes in (
        {"trigger": "yearly"},
        {"scheduled_type": "delete"},
        {"name": ""},
        {"name": "a\0b"},
        {"priority": 1},
        {"user_inputs": ["red"]},
        {"workflow_name": "a\0"},
        {"missed": "some"},
        {"grace_seconds": -1},
    ):
        assert create(api, **changes).status_code == 422, changes


def test_inputs_that_are_wrong_are_400_as_at_a_start(api):
    answer = create(api, workflow_name="paint", user_inputs=[{"colour": 7}])
    assert answer.status_code == 400
    assert [error["loc"] for error in answer.json()["validation_errors"]] == [["colour"]]


def test_inputs_that_are_not_whole_are_422(api):
    answer = create(api, workflow_name="paint")
    assert answer.status_code == 422
    assert "colour" in answer.json()["detail"]


def test_a_secret_is_not_kept(api):
    answer = create(api, workflow_name="paint", user_inputs=[{"colour": "red", "password": "hush"}])
    assert answer.status_code == 422
    assert "secret" in answer.json()["detail"]
    assert "hush" not in answer.text


def test_a_form_that_takes_too_long_is_given_up(engine_of, api_of):
    end = threading.Event()

    def slow():
        end.wait(100)
        return Colour

    @task("Slow", slow)
    def slowly():
        return begin >> do_it

    api = api_of(engine_of(slowly), form_timeout_seconds=0.3)
    answer = create(api, workflow_name="slowly", user_inputs=[{"colour": "red"}])
    end.set()
    assert answer.status_code == 504
    assert api.get("/schedules/").json() == []


# --- looking ---


def test_schedules_are_listed_by_name_a_page_at_a_time(api):
    for name in ("b", "c", "a"):
        create(api, name=name)
    assert [one["name"] for one in api.get("/schedules/").json()] == ["a", "b", "c"]
    assert [one["name"] for one in api.get("/schedules/", params={"limit": 1, "offset": 1}).json()] == ["b"]


def test_a_listed_schedule_is_as_it_was_made(api, made):
    assert api.get("/schedules/").json() == [{k: v for k, v in made.items() if k not in ("message", "status")}]


def test_a_list_takes_one_statement(api, made, database, statements):
    statements.clear()
    api.get("/schedules/")
    assert statements.count == 1


def test_its_last_run_is_shown_with_its_process_or_its_refusal(engine, api, made):
    due_at, process_id = datetime(2026, 3, 2, 9, tzinfo=UTC), uuid4()
    with engine.database.transaction():
        schedules.add_firing(UUID(made["schedule_id"]), due_at - timedelta(hours=4), None, "No.", 0)
        schedules.add_firing(UUID(made["schedule_id"]), due_at, process_id, None, 3)
    found = api.get("/schedules/").json()[0]["last_run"]
    assert found == {
        "due_at": due_at.timestamp(),
        "fired_at": found["fired_at"],
        "process_id": str(process_id),
        "refusal": None,
        "left_out": 3,
    }
    firings = api.get(f"/schedules/{made['schedule_id']}/firings").json()
    assert [(one["due_at"], one["refusal"]) for one in firings] == [
        (due_at.timestamp(), None),
        (due_at.timestamp() - 4 * 3600, "No."),
    ]
    assert api.get(f"/schedules/{uuid4()}/firings").status_code == 404


# --- changing ---


def update(api, **body):
    return api.put("/schedules/", json={"scheduled_type": "update", **body})


def test_a_schedule_gets_another_name_and_keeps_its_time(api, made):
    answer = update(api, schedule_id=made["schedule_id"], name="Other")
    assert answer.status_code == 200
    changed = {"name": "Other", "rights_at": answer.json()["rights_at"]}
    assert answer.json() == made | changed | {"message": "The schedule was changed.", "status": "UPDATED"}


def test_a_schedule_gets_another_trigger_and_so_another_time(api, made):
    answer = update(api, schedule_id=made["schedule_id"], trigger="cron", trigger_kwargs={"year": 2099})
    assert answer.json()["trigger_kwargs"] == {"year": 2099}
    assert answer.json()["next_run_at"] == datetime(2099, 1, 1, tzinfo=UTC).timestamp()


def test_a_schedule_gets_other_arguments_of_its_trigger(api, made):
    answer = update(api, schedule_id=made["schedule_id"], trigger_kwargs={"hours": 8})
    assert (answer.json()["trigger"], answer.json()["trigger_kwargs"]) == ("interval", {"hours": 8})
    assert answer.json()["next_run_at"] - made["next_run_at"] == pytest.approx(4 * 3600, abs=60)


def test_a_schedule_gets_other_inputs(api):
    schedule_id = create(api, workflow_name="paint", user_inputs=[{"colour": "red"}]).json()["schedule_id"]
    answer = update(api, schedule_id=schedule_id, user_inputs=[{"colour": "blue"}])
    assert answer.json()["user_inputs"] == [{"colour": "blue"}]
    assert update(api, schedule_id=schedule_id, user_inputs=[{}]).status_code == 400


def test_what_becomes_of_missed_times_is_changed_and_stays_otherwise(api, made):
    ask = {"schedule_id": made["schedule_id"]}
    answer = update(api, **ask, missed="none", grace_seconds=3600).json()
    assert (answer["missed"], answer["grace_seconds"]) == ("none", 3600)
    answer = update(api, **ask, name="Other", missed=None).json()
    assert (answer["missed"], answer["grace_seconds"]) == ("none", 3600)
    assert update(api, **ask, grace_seconds=None).json()["grace_seconds"] is None


def test_a_change_that_cannot_be_changes_nothing(api, made):
    for change in ({"trigger": "cron"}, {"trigger_kwargs": {"hours": 0}}):
        assert update(api, schedule_id=made["schedule_id"], **change).status_code == 422, change
        assert api.get("/schedules/").json()[0]["trigger_kwargs"] == {"hours": 4}, change


# --- removing ---


def test_a_schedule_is_removed_once(api, made):
    answer = remove(api, schedule_id=made["schedule_id"], workflow_id=made["workflow_id"])
    assert (answer.status_code, answer.json()["status"]) == (200, "DELETED")
    assert api.get("/schedules/").json() == []
    assert remove(api, schedule_id=made["schedule_id"]).status_code == 404


def test_a_schedule_of_another_workflow_is_not_removed(api, made):
    answer = remove(api, schedule_id=made["schedule_id"], workflow_id=workflow_id(api, "paint"))
    assert answer.status_code == 422
    assert len(api.get("/schedules/").json()) == 1


def test_a_schedule_without_id_is_not_removed(api, made):
    assert remove(api, workflow_id=made["workflow_id"]).status_code == 422


def test_an_unknown_schedule_is_404(api):
    unknown = str(uuid4())
    assert update(api, schedule_id=unknown, name="x").status_code == 404
    assert remove(api, schedule_id=unknown).status_code == 404


def test_a_schedule_of_a_workflow_that_the_code_has_no_more_is_removed(engine, api, made):
    del engine.orchestrator.workflows["rest"]
    assert update(api, schedule_id=made["schedule_id"], name="x").status_code == 404
    assert remove(api, schedule_id=made["schedule_id"]).status_code == 200


# --- the form ---


def test_the_form_asks_page_by_page_and_makes_a_schedule(api):
    pages = [
        {"task": "task_validate_product_type"},
        {"product_type": "Device"},
        {"frequency": "cron", "schedule_name": "Nightly"},
        {"cron": "10 0 * * *", "timezone": "Europe/Amsterdam"},
    ]
    asked = [api.post(f"/forms/{KEY}", json=pages[:number]) for number in range(len(pages))]
    assert [answer.status_code for answer in asked] == [510] * 4
    assert [next(iter(answer.json()["form"]["properties"])) for answer in asked] == [
        "task",
        "product_type",
        "schedule_name",
        "cron",
    ]
    assert [answer.json()["meta"]["hasNext"] for answer in asked] == [True, True, True, False]
    made = api.post(f"/forms/{KEY}", json=pages)
    assert made.status_code == 200
    answer = api.post("/schedules/", json=made.json())
    assert answer.status_code == 201
    assert answer.json()["workflow_name"] == "task_validate_product_type"
    assert answer.json()["user_inputs"] == [{"product_type": "Device"}]
    assert answer.json()["name"] == "Nightly"


def test_the_form_offers_what_one_may_start(api):
    schema = api.post(f"/forms/{KEY}", json=[]).json()["form"]
    (offered,) = [one["enum"] for one in schema["$defs"].values() if "enum" in one]
    assert "rest" in offered
    assert "nobody" not in offered
