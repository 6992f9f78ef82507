"""The form that schedules a task: page by page, to what a schedule is made of."""

from datetime import timedelta
from typing import Annotated

import pytest
from pydantic import AfterValidator, SecretStr

from ops.starting.schedule_form import KEY, schedule_form
from ops.steps.context import Scope
from ops.steps.forms import FormPage, SubmitFormPage, fill, pages_of
from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from resources import clock
from resources.errors import FormError, FormIncomplete, FormInvalid
from resources.processes.triggers import check_trigger, next_run
from resources.users import Role, User


@step("Do it")
def do_it():
    return None


class Colour(FormPage):
    colour: str


class Size(SubmitFormPage):
    size: int = 1


def two_pages():
    colour = yield Colour
    size = yield Size
    return {"colour": colour.colour, "size": size.size}


@task("Paint", two_pages)
def paint():
    return begin >> do_it


@task("Rest")
def rest():
    return begin >> do_it


@task("Only for ada", authorize_callback=lambda context: context.user.has_role(Role.ENGINEER))
def guarded():
    return begin >> do_it


class Password(SubmitFormPage):
    password: Annotated[SecretStr, AfterValidator(lambda secret: secret)] = SecretStr("hush")


@task("Whisper", Password)
def whisper():
    return begin >> do_it


ADA = User("ada", roles=[Role.ENGINEER])
BOB = User("bob", roles=[Role.OPERATOR])


@pytest.fixture
def filled(engine_of):
    engine = engine_of(paint, rest, guarded, whisper)
    form = schedule_form(lambda: engine.orchestrator.workflows)

    def fill_in(*pages, user=ADA):
        with engine.database.transaction(read_only=True):
            return fill(lambda state: pages_of(form, state, Scope()), {"user": user}, pages, name=KEY)

    return fill_in


def asked(filled, *pages, **options):
    """The schema and the meta of the next page."""
    with pytest.raises(FormIncomplete) as found:
        filled(*pages, **options)
    return found.value.schema, found.value.meta


def later(**delta):
    return int((clock.now() + timedelta(**delta)).timestamp())


def test_the_first_page_offers_the_tasks_by_their_descriptions(filled):
    schema, meta = asked(filled)
    (choice,) = [one for one in schema["$defs"].values() if "enum" in one]
    assert choice["options"]["paint"] == "Paint"
    assert "guarded" in choice["enum"]
    assert "modify_note" not in choice["enum"]
    assert meta == {"hasNext": True}


def test_who_may_not_start_a_task_is_not_offered_it(filled):
    schema, _ = asked(filled, user=BOB)
    (choice,) = [one for one in schema["$defs"].values() if "enum" in one]
    assert "guarded" not in choice["enum"]
    assert "rest" in choice["enum"]


def test_the_pages_of_the_task_follow(filled):
    schema, _ = asked(filled, {"task": "paint"})
    assert list(schema["properties"]) == ["colour"]
    schema, meta = asked(filled, {"task": "paint"}, {"colour": "red"})
    assert list(schema["properties"]) == ["size"]
    assert meta == {"hasNext": True}


def test_a_task_without_fields_asks_for_none(filled):
    schema, _ = asked(filled, {"task": "rest"})
    assert list(schema["properties"]) == ["schedule_name", "frequency"]
    assert schema["properties"]["schedule_name"]["default"] == "Rest"


def test_the_last_page_is_the_last(filled):
    for frequency, fields in (("once", ["run_at"]), ("interval", ["first_run_at", "interval"])):
        schema, meta = asked(filled, {"task": "rest"}, {"frequency": frequency})
        assert list(schema["properties"]) == fields
        assert meta == {"hasNext": False}


def test_a_cron_expression_has_the_title_by_which_clients_know_it(filled):
    schema, _ = asked(filled, {"task": "rest"}, {"frequency": "cron"})
    assert schema["properties"]["cron"]["title"] == "Cron"


def test_once(filled):
    at = later(hours=1)
    made = filled(
        {"task": "paint"}, {"colour": "red"}, {}, {"schedule_name": "Soon", "frequency": "once"}, {"run_at": at}
    )
    workflow_id = made.pop("workflow_id")
    assert len(workflow_id) == 36
    run_date = made["trigger_kwargs"].pop("run_date")
    assert (
        made
        == {
            "reporter": ADA,
            "scheduled_type": "create",
            "name": "Soon",
            "workflow_name": "paint",
            "trigger": "date",
            "trigger_kwargs": {},
            "user_inputs": [{"colour": "red"}, {"size": 1}],
        }
        or "reporter" not in made
    )
    assert next_run("date", {"run_date": run_date}, after=clock.now()).timestamp() == at


def test_at_an_interval(filled):
    at = later(hours=1)
    made = filled({"task": "rest"}, {"frequency": "interval"}, {"first_run_at": at, "interval": "4w"})
    assert made["trigger"] == "interval"
    assert made["trigger_kwargs"]["weeks"] == 4
    assert made["user_inputs"] == [{}]
    assert next_run("interval", made["trigger_kwargs"], after=clock.now()).timestamp() == at


def test_by_cron(filled):
    made = filled({"task": "rest"}, {"frequency": "cron"}, {"cron": "10 0 * * 1-5", "timezone": "Europe/Amsterdam"})
    assert made["trigger"] == "cron"
    assert check_trigger("cron", made["trigger_kwargs"]) == {
        "minute": "10",
        "hour": "0",
        "day": "*",
        "month": "*",
        "day_of_week": "mon,tue,wed,thu,fri",
        "timezone": "Europe/Amsterdam",
    }


@pytest.mark.parametrize(
    ("frequency", "page", "field", "said"),
    [
        ("once", {"run_at": 1}, "run_at", "has passed"),
        ("once", {"run_at": 10**18}, "run_at", "no such date"),
        ("interval", {"first_run_at": 1, "interval": "1h"}, "first_run_at", "has passed"),
        ("cron", {"cron": "61 25 * * *"}, "cron", "minute.*hour"),
        ("cron", {"timezone": "Mars"}, "timezone", "no time zone 'Mars'"),
    ],
)
def test_what_cannot_be_is_said_at_its_field(filled, frequency, page, field, said):
    with pytest.raises(FormInvalid, match=said) as found:
        filled({"task": "rest"}, {"frequency": frequency}, page)
    assert [error["loc"] for error in found.value.errors] == [(field,)]


def test_a_page_of_the_task_is_checked(filled):
    with pytest.raises(FormInvalid, match="colour"):
        filled({"task": "paint"}, {})


def test_a_task_that_asks_a_secret_is_not_scheduled(filled):
    with pytest.raises(FormError, match="asks for a secret"):
        filled({"task": "whisper"})
