"""Forms: pages that people or programs fill, checked before anything is written."""

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_forms.core import FormPage as _FormPage
from pydantic_forms.core.shared import Complete, NextPage, Rejected, get_form_meta, page_schema
from pydantic_forms.core.sync import walk_form
from pydantic_forms.exceptions import FormException, FormOverflowError
from pydantic_forms.types import FormMeta

from ops.context import Scope
from ops.state import arguments_of, shown
from resources.errors import FormError, FormIncomplete, FormInvalid
from resources.types import State

Page: TypeAlias = Mapping[str, Any]
"""What was filled in on one page: field to value."""

FormGenerator: TypeAlias = Generator[type[BaseModel], Any, State]
"""What a form function returns: it yields page classes and is sent filled pages; its return value goes to the state."""

SHOWN_CHOICES = 12
"""How many choices a message names; a list of ports can be long."""

Form: TypeAlias = type[BaseModel] | Callable[..., Any]
"""A page class (static: known without running code), a function that returns one, or a generator function."""


class FormPage(_FormPage):
    """A page after which another one follows."""

    meta__: ClassVar[FormMeta | None] = {"hasNext": True}


class SubmitFormPage(_FormPage):
    """The last page of a form."""

    meta__: ClassVar[FormMeta | None] = {"hasNext": False}


class EmptyPage(SubmitFormPage):
    """The page of a form without fields."""

    model_config = ConfigDict(title="Start")


def is_static(form: Form | None) -> bool:
    """Whether the form is one page that is known without running code."""
    return form is None or isinstance(form, type)


def pages_of(form: Form, state: State, scope: Scope) -> FormGenerator:
    """Run a form of any kind as a generator of pages, its parameters injected from the state."""
    if isinstance(form, type):
        page = yield form
        return answers(page)
    arguments = arguments_of(form).values(state, scope, f"Form {form.__name__}")
    if inspect.isgeneratorfunction(form):
        result = yield from form(**arguments)
        return dict(result or {})
    found = form(**arguments)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise FormError(
            f"Form {form.__name__} returned {type(found).__name__}; it returns a page class or yields pages."
        )
    page = yield found
    return answers(page)


def answers(page: BaseModel) -> State:
    """A filled page as a mapping; its values stay Python values, so secrets stay secret."""
    return {name: getattr(page, name) for name in type(page).model_fields}


def as_pages(inputs: Any) -> list[Page]:
    """Take what a door was given: a list of pages, or one mapping for a one-page form. Raises FormInvalid."""
    if inputs is None:
        return []
    if isinstance(inputs, Mapping):
        return [inputs]
    if isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes):
        for number, page in enumerate(inputs, 1):
            if not isinstance(page, Mapping):
                raise FormInvalid(
                    f"Page {number} of the inputs is {shown(page)}; a page is a mapping of field to value.", page=number
                )
        return list(inputs)
    raise FormInvalid(f"The inputs are {shown(inputs)}; they are a list of pages, each a mapping of field to value.")


def fill(form: Callable[[State], FormGenerator], state: State, pages: Sequence[Page], *, name: str) -> State:
    """Feed pages to a form and return what it makes of them.

    Needs a transaction if the form reads the database; writes nothing. `name` names the form in errors.
    Raises FormInvalid (which page, field, what was given, what is allowed) and FormIncomplete (the next page).
    """
    try:
        outcome = walk_form(form, state, [dict(page) for page in pages])
    except FormOverflowError:
        raise FormInvalid(f"{name} was given {len(pages)} pages of input, which is more than its form has.") from None
    except FormException as error:
        raise FormError(f"The form of {name} cannot be used: {error}") from error
    match outcome:
        case Complete(state=result):
            return dict(result)
        case Rejected(model=page, index=index, error=verdict):
            errors = [dict(error) for error in verdict.errors]
            raise FormInvalid(_rejection(name, index, page, errors), page=index + 1, errors=errors)
        case NextPage(model=page, index=index):
            raise FormIncomplete(_missing_page(name, index, page), schema=page_schema(page), meta=get_form_meta(page))
    raise AssertionError("walk_form has no other outcome")


def _rejection(name: str, index: int, page: type[BaseModel], errors: Sequence[Mapping[str, Any]]) -> str:
    faults = "; ".join(_fault(error, page) for error in errors)
    return f"Page {index + 1} of {name} is not valid: {faults}."


def _fault(error: Mapping[str, Any], page: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "__root__") or "the page"
    message = str(error["msg"]).rstrip(".")
    match error["type"]:
        case "missing":
            return f"{where}: is required and was not given"
        case "extra_forbidden":
            return f"{where}: is not a field of this page, which has {', '.join(page.model_fields) or 'none'}"
    if _is_secret(page, error["loc"]):
        return f"{where}: {message}"
    return f"{where}: {message}; given: {shown(error.get('input'))}"


def _is_secret(page: type[BaseModel], loc: Sequence[Any]) -> bool:
    field = page.model_fields.get(str(loc[0])) if loc else None
    return loc[:1] == ("__root__",) or (field is not None and SecretStr in _parts(field.annotation))


def _parts(annotation: Any) -> tuple[Any, ...]:
    return (annotation, *getattr(annotation, "__args__", ()))


def _missing_page(name: str, index: int, page: type[BaseModel]) -> str:
    schema = page_schema(page)
    required: list[str] = []
    optional: list[str] = []
    for field, shape in schema.get("properties", {}).items():
        (required if field in schema.get("required", ()) else optional).append(_described(field, shape, schema))
    wanted = f", with {', '.join(required)}" if required else ""
    free = f"; optional: {', '.join(optional)}" if optional else ""
    return f"{name} needs page {index + 1} of its input{wanted}{free}."


def _described(name: str, shape: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A field with its choices by the labels that people see, or else its type."""
    if "$ref" in shape:
        shape = schema["$defs"][shape["$ref"].rpartition("/")[2]]
    if values := shape.get("enum"):
        labels = [str(shape.get("options", {}).get(value, value)) for value in values]
        more = ", …" if len(labels) > SHOWN_CHOICES else ""
        return f"{name} (one of {', '.join(labels[:SHOWN_CHOICES])}{more})"
    return f"{name} ({shape['type']})" if "type" in shape else name
