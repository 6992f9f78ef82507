"""What is known of a form without running it."""

from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BeforeValidator, Field
from pydantic_forms.types import State

from ops.steps.forms import FormGenerator, FormPage, SubmitFormPage
from orchestrator_defs.jobs.form_sketch import UNKNOWN, sketch


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Address(FormPage):
    street: str
    number: int = 1


def ask_the_database(*_: object) -> list[str]:
    raise AssertionError("a form was run, or a function that it calls")


def one_page(subscription: object) -> type[SubmitFormPage]:
    choices = Literal[tuple(ask_the_database())]  # type: ignore[misc]

    class Page(Address):
        size: Size
        note: str | None = None
        port: choices  # type: ignore[valid-type]
        comment: Annotated[str, Field(description="why")] = Field(...)
        tags: Annotated[list[str], BeforeValidator(str.split)] = ["a"]  # noqa: RUF012
        speed: int = subscription.speed  # type: ignore[attr-defined]

    return Page


def two_pages(product_name: str) -> FormGenerator:
    """The second is a class of the module, and a third one is asked for sometimes."""

    class First(FormPage):
        name: str = "x"

    first = yield First
    second = yield Address
    if first.name == product_name:
        yield SubmitFormPage
    return {**first.model_dump(), **second.model_dump()}


def perhaps_none(state: State) -> FormGenerator:
    if not ask_the_database():
        return {}
    page = yield Address
    return page.model_dump()


def made_elsewhere(subscription: object) -> FormGenerator:
    page = yield one_page(subscription)
    return page.model_dump()


def of_a_loop(state: State) -> FormGenerator:
    for _ in ask_the_database():
        yield Address


def by_hand(subscription: object) -> type[SubmitFormPage]:
    class Point(SubmitFormPage):
        port: Size
        vlan: int = 0

    class Page(SubmitFormPage):
        points: Annotated[list[Point], ask_the_database()]

    return Page


def names(page):
    return {field.name: field.is_required for field in page.fields}


def test_page_of_a_function_has_its_fields_and_those_of_its_base():
    (page,) = sketch(one_page).pages
    known = {"street": True, "number": False, "size": True, "note": False, "port": True, "comment": True, "tags": False}
    assert names(page) == known | {"speed": False}


@pytest.mark.parametrize(
    ("name", "annotation"), [("size", Size), ("street", str), ("port", UNKNOWN), ("tags", UNKNOWN)]
)
def test_type_that_only_the_form_gives_is_unknown(name, annotation):
    (page,) = sketch(one_page).pages
    assert next(field for field in page.fields if field.name == name).annotation is annotation


def test_description_of_a_field_is_read():
    (page,) = sketch(one_page).pages
    assert next(field for field in page.fields if field.name == "comment").description == "why"


def test_pages_that_come_in_any_case_are_known():
    """And the one that is asked for sometimes is not counted."""
    found = sketch(two_pages)
    assert ([names(page) for page in found.pages], found.least) == (
        [{"name": False}, {"street": True, "number": False}],
        2,
    )


@pytest.mark.parametrize("form", [perhaps_none, of_a_loop])
def test_page_that_may_not_come_is_shown_and_not_demanded(form):
    found = sketch(form)
    assert (names(found.pages[0]), found.least) == ({"street": True, "number": False}, 0)


def test_page_that_another_function_makes_is_read_there():
    assert sketch(made_elsewhere).pages == sketch(one_page).pages


def test_class_inside_the_form_has_its_fields_as_a_part():
    (field,) = sketch(by_hand).pages[0].fields
    assert (field.is_list, names(field.part)) == (True, {"port": True, "vlan": False})


def test_form_without_source_is_known_to_have_a_page_at_most():
    made: dict[str, object] = {}
    exec("def form(state):\n    return None\n", made)
    assert (sketch(made["form"]).pages[0].fields, sketch(made["form"]).least) == ((), 1)  # type: ignore[arg-type]
