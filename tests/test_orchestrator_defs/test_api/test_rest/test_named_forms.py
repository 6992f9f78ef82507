"""Named forms over REST, and the registry behind them."""

from typing import Annotated

import pytest
from pydantic import Field, SecretStr

from ops.starting.named_forms import named_form, register_form
from ops.steps.forms import FormPage, SubmitFormPage
from resources.errors import UnknownForm, WorkflowDeclarationError


@pytest.fixture(autouse=True)
def forgotten_forms(monkeypatch):
    """What the test registers is gone after it."""
    monkeypatch.setattr("ops.starting.named_forms._forms", {})


class Site(FormPage):
    site: Annotated[str, Field(min_length=2)]


class Rack(SubmitFormPage):
    rack: int
    password: SecretStr = SecretStr("unset")


def place(user):
    site = yield Site
    rack = yield Rack
    return {**site.model_dump(), "rack": rack.rack, "password": rack.password, "by": user}


@pytest.fixture
def api(engine_of, api_of):
    register_form("place", place)
    return api_of(engine_of())


def test_pages_are_asked_for_one_after_the_other(api):
    answers = [api.post("/forms/place", json=pages) for pages in ([], [{"site": "ams"}])]
    assert [answer.status_code for answer in answers] == [510, 510]
    assert [list(answer.json()["form"]["properties"]) for answer in answers] == [["site"], ["rack", "password"]]
    assert [answer.json()["meta"]["hasNext"] for answer in answers] == [True, False]


def test_what_the_form_makes_of_its_pages_is_the_answer(api):
    answer = api.post("/forms/place", json=[{"site": "ams"}, {"rack": 1, "password": "s3cr3t"}])
    assert answer.status_code == 200
    assert answer.json() == {"site": "ams", "rack": 1, "password": "**********", "by": "SYSTEM"}


def test_a_page_that_is_not_valid_names_its_fields(api):
    answer = api.post("/forms/place", json=[{"site": "a"}])
    assert answer.status_code == 400
    assert answer.json()["validation_errors"][0]["loc"] == ["site"]


def test_a_form_that_is_not_there_is_not_found(api):
    for key in ("palce", "%ff"):
        answer = api.post(f"/forms/{key}", json=[])
        assert answer.status_code == 404, key
        assert "place" in answer.json()["detail"], key


def test_a_page_class_is_a_form():
    register_form("rack", Rack)
    assert named_form("rack") is Rack


def test_a_name_stands_for_one_form():
    register_form("place", place)
    register_form("place", place)
    with pytest.raises(WorkflowDeclarationError, match="another form named 'place'"):
        register_form("place", Rack)


def test_what_is_no_form_is_refused():
    with pytest.raises(WorkflowDeclarationError, match="is generator"):
        register_form("place", place("ada"))


def test_without_forms_the_way_to_one_is_told():
    with pytest.raises(UnknownForm, match="register_form"):
        named_form("place")
