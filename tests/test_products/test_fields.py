"""A choice is given by its value or its label, and comes out as its value."""

from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from ops.steps.forms import SubmitFormPage
from orchestrator_defs.products.fields import SHOWN_CHOICES, OneOf


def page(options: Any) -> type[SubmitFormPage]:
    """A form with one choice."""

    class Page(SubmitFormPage):
        port: Annotated[str, OneOf("Port", options, otherwise="none")]

    return Page


@pytest.mark.parametrize("given", ["p1", "ams1 1/1/1"])
def test_value_and_label_are_both_understood(given: str) -> None:
    filled = page({"p1": "ams1 1/1/1", "p2": "ams1 1/1/2"}).model_validate({"port": given})
    assert filled.model_dump() == {"port": "p1"}


def test_a_label_that_two_have_is_no_answer() -> None:
    with pytest.raises(ValidationError, match="Input should be one of 'twin', 'twin'"):
        page({"p1": "twin", "p2": "twin"}).model_validate({"port": "twin"})


def test_a_value_goes_before_a_label() -> None:
    assert page({"a": "b", "b": "a"}).model_validate({"port": "a"}).model_dump() == {"port": "a"}


@pytest.mark.parametrize("given", [None, 1, ["p1"], {"p1": 1}])
def test_what_is_no_text_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match="Input should be one of"):
        page(["p1"]).model_validate({"port": given})


def test_a_long_list_is_told_in_part() -> None:
    with pytest.raises(ValidationError, match=rf"'p{SHOWN_CHOICES - 1}', …"):
        page([f"p{number}" for number in range(SHOWN_CHOICES + 5)]).model_validate({"port": "x"})


def test_the_schema_has_values_and_labels_for_a_client() -> None:
    schema = page({"p1": "ams1 1/1/1"}).model_json_schema()
    assert schema["$defs"]["Port"]["enum"] == ["p1"]
    assert schema["$defs"]["Port"]["options"] == {"p1": "ams1 1/1/1"}


def test_a_number_is_compared_as_text() -> None:
    assert page(["8201", "8812"]).model_validate({"port": 8201}).model_dump() == {"port": "8201"}


def test_a_truth_is_no_number() -> None:
    with pytest.raises(ValidationError, match="Input should be one of"):
        page(["1", "True"]).model_validate({"port": True})


def test_why_a_value_is_no_choice_is_said_before_the_choices() -> None:
    class Page(SubmitFormPage):
        port: Annotated[str, OneOf("Port", ["p1"], otherwise="none", why_not=lambda given: f"{given} is broken")]

    with pytest.raises(ValidationError, match="p2 is broken; choose one of 'p1'"):
        Page.model_validate({"port": "p2"})
