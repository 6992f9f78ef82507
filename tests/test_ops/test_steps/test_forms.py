"""Forms refuse what is wrong, say where, and repeat no secret."""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypedDict

import pytest
from pydantic import BaseModel, Field, Secret, SecretBytes, SecretStr, ValidationInfo, field_validator, model_validator

from ops.steps.context import Scope
from ops.steps.forms import Form, SubmitFormPage, as_pages, fill, holds_secret, pages_of
from resources.errors import FormError, FormInvalid
from resources.types import State


class Login(BaseModel):
    """A form in a form."""

    user: str
    password: SecretStr = Field(min_length=8)


def page_of(annotation: Any) -> type[SubmitFormPage]:
    """A page with one field, and one without a secret."""

    class Page(SubmitFormPage):
        field: annotation
        other: int = 1

    return Page


def filled(form: Form, *pages: dict[str, Any]) -> State:
    """Fill a form."""
    return fill(lambda state: pages_of(form, state, Scope()), {}, pages, name="the form")


def refusal(form: Form, *pages: dict[str, Any]) -> FormInvalid:
    """Why a form is not valid."""
    with pytest.raises(FormInvalid) as refused:
        filled(form, *pages)
    return refused.value


# --- secrets ---

SECRET_FIELDS = [
    pytest.param(SecretStr, 1234567, id="plain"),
    pytest.param(Login, {"user": "noc", "password": "1234567"}, id="nested model"),
    pytest.param(Login | None, {"user": "noc", "password": "1234567"}, id="optional nested model"),
    pytest.param(Annotated[SecretStr, Field(min_length=8)] | None, "1234567", id="annotated in a union"),
    pytest.param(dict[str, list[SecretStr]], {"a": ["x", 1234567]}, id="deep in containers"),
    pytest.param(SecretBytes, 1234567, id="bytes"),
    pytest.param(Secret[int], "1234567x", id="secret of any type"),
    pytest.param(list[Login], [{"password": "1234567 long enough"}], id="something beside it is missing"),
]


@pytest.mark.parametrize(("annotation", "given"), SECRET_FIELDS)
def test_a_refused_secret_is_not_in_the_message(annotation: Any, given: Any) -> None:
    assert "1234567" not in str(refusal(page_of(annotation), {"field": given}))


@pytest.mark.parametrize(("annotation", "given"), SECRET_FIELDS)
def test_a_refused_secret_is_not_in_the_errors(annotation: Any, given: Any) -> None:
    assert "1234567" not in repr(refusal(page_of(annotation), {"field": given}).errors)


def test_a_field_without_a_secret_says_what_was_given() -> None:
    error = refusal(page_of(SecretStr), {"field": "sesame", "other": "many"})
    assert "given: 'many'" in str(error)
    assert error.errors[0]["input"] == "many"


def test_a_missing_field_does_not_tell_the_rest_of_the_page() -> None:
    class Page(SubmitFormPage):
        password: SecretStr
        other: int

    assert "sesame" not in repr(refusal(Page, {"password": "sesame"}).errors)


def test_a_misspelt_secret_is_not_repeated() -> None:
    assert "sesame" not in repr(refusal(page_of(SecretStr), {"field": "x", "feild": "sesame"}).errors)


def test_a_rule_about_the_page_does_not_tell_its_secrets() -> None:
    class Page(SubmitFormPage):
        password: SecretStr

        @model_validator(mode="after")
        def refuse(self) -> "Page":
            raise ValueError("no")

    assert "sesame" not in repr(refusal(Page, {"password": "sesame"}).errors)


def test_a_secret_by_an_alias_is_a_secret() -> None:
    class Page(SubmitFormPage):
        password: SecretStr = Field(alias="pw", min_length=8)

    assert "sesame" not in repr(refusal(Page, {"pw": "sesame"}).errors)


def test_the_reason_of_a_validator_stays_out_of_the_errors_of_a_secret() -> None:
    class Page(SubmitFormPage):
        password: SecretStr

        @field_validator("password")
        @classmethod
        def refuse(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
            raise ValueError("too simple")

    assert refusal(Page, {"password": "sesame"}).errors[0]["ctx"] == {}


class Typed(TypedDict):
    """As a TypedDict."""

    secret: SecretStr


class Named(NamedTuple):
    """As a named tuple."""

    secret: SecretStr


@dataclass
class Data:
    """As a dataclass."""

    secret: SecretStr


class Chain(BaseModel):
    """A type that holds itself."""

    rest: "list[Chain]" = Field(default_factory=list)


@pytest.mark.parametrize("annotation", [Typed, Named, Data, list[Data], type("Mine", (SecretStr,), {})])
def test_a_secret_is_found_in_every_kind_of_type(annotation: Any) -> None:
    assert holds_secret(annotation)


@pytest.mark.parametrize("annotation", [Chain, int | None, dict[str, list[int]], Annotated[str, Field(max_length=3)]])
def test_what_holds_no_secret_is_none(annotation: Any) -> None:
    assert not holds_secret(annotation)


# --- what a form returns ---


@pytest.mark.parametrize("result", [[], 0, "text", ["a"]])
def test_a_generator_form_that_returns_no_mapping_is_named(result: Any) -> None:
    def odd_form() -> Generator[Any, Any, Any]:
        yield page_of(int)
        return result

    with pytest.raises(FormError, match=f"odd_form returned {type(result).__name__}"):
        filled(odd_form, {"field": 1})


def test_a_generator_form_that_returns_its_page_is_named() -> None:
    def odd_form() -> Generator[Any, Any, Any]:
        page = yield page_of(int)
        return page

    with pytest.raises(FormError, match="odd_form returned Page"):
        filled(odd_form, {"field": 1})


def test_a_generator_form_may_return_nothing() -> None:
    def form() -> Generator[Any, Any, None]:
        yield page_of(int)

    assert filled(form, {"field": 1}) == {}


# --- text that cannot be kept ---


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\udfff tail"])
def test_text_that_cannot_be_kept_is_refused_and_its_field_named(text: str) -> None:
    error = refusal(page_of(str), {"field": text})
    assert "field: Text cannot hold" in str(error)
    assert (error.page, error.errors[0]["loc"]) == (1, ("field",))


def test_text_that_cannot_be_kept_is_found_at_any_depth() -> None:
    error = refusal(page_of(dict[str, list[str]]), {"field": {"a": ["fine", "b\0"]}})
    assert error.errors[0]["loc"] == ("field", "a", 1)


def test_nor_can_it_be_a_name() -> None:
    assert refusal(page_of(dict[str, int]), {"field": {"a\0": 1}}).page == 1


def test_the_message_itself_can_be_kept() -> None:
    message = str(refusal(page_of(dict[str, int]), {"field": {"a\0\ud800": 1}}))
    assert "\0" not in message
    assert message.encode()


def test_text_of_other_planes_is_fine() -> None:
    assert filled(page_of(str), {"field": "🦊 ünï"})["field"] == "🦊 ünï"


# --- what is no value of any field ---


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ({"self": 1}, "self: No field can have this name"),
        ({1: 2}, "1: No field can have this name"),
        ({"field": [{"__secret__": "x"}]}, r"field\.0\.__secret__: This key is a mark of the engine"),
        ({f"f{number}": 1 for number in range(1001)}, "the page: A page has at most 1000 fields, and this one 1001"),
    ],
    ids=["self", "number", "mark", "many"],
)
def test_what_cannot_be_a_field_is_refused_by_name(page: dict[Any, Any], complaint: str) -> None:
    """Keys become keyword arguments, and the state has marks of the engine."""
    error = refusal(page_of(list[dict[str, str]] | None), page)
    assert re.search(complaint, str(error)) and error.errors


def test_very_many_faults_are_cut() -> None:
    error = refusal(page_of(int), {f"f{number}": 1 for number in range(1000)})
    assert len(error.errors) == 50 and len(str(error)) < 5000


def test_inputs_that_are_too_deep_are_refused_before_anything_looks_at_them() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    for inputs in (deep, [{"a": deep}], {"a": deep}):
        with pytest.raises(FormInvalid, match="nested deeper than 64 levels"):
            as_pages(inputs)
