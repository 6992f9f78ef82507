"""Forms: pages that people or programs fill, validated before anything is written."""

import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, ClassVar, TypeAlias, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Secret, SecretBytes, SecretStr
from pydantic_forms.core import FormPage as _FormPage
from pydantic_forms.core.shared import Complete, NextPage, Rejected, get_form_meta, page_schema
from pydantic_forms.core.sync import walk_form
from pydantic_forms.exceptions import FormException, FormOverflowError
from pydantic_forms.types import FormMeta
from typing_extensions import TypeAliasType, is_typeddict

from ops.steps.arguments import arguments_of
from ops.steps.context import Scope
from ops.steps.state import SECRET, marks_in, shown, to_json
from resources.database.storable import fault_of_shape, faults_in, path_of
from resources.errors import FormError, FormIncomplete, FormInvalid, TransactionReadsOnly
from resources.types import State

Page: TypeAlias = Mapping[str, Any]
"""A filled page: field to value."""

FormGenerator: TypeAlias = Generator[type[BaseModel], Any, State]
"""The type of a form function: it yields page classes, receives filled pages, and returns values for the state."""

SECRETS = (Secret, SecretStr, SecretBytes)

MOST_FIELDS, SHOWN_FAULTS = 1000, 50
"""The most fields of a page, and the most of its faults that are named."""
SHOWN_CHOICES = 12
"""How many choices a message names; a list of ports can be long."""

Form: TypeAlias = type[BaseModel] | Callable[..., Any]
"""A page class (static: known without running code), a function that returns one, or a generator function."""


class FormPage(_FormPage):
    """A page that another one follows."""

    meta__: ClassVar[FormMeta | None] = {"hasNext": True}


class SubmitFormPage(_FormPage):
    """The last page of a form."""

    meta__: ClassVar[FormMeta | None] = {"hasNext": False}


class EmptyPage(SubmitFormPage):
    """The page of a form without fields."""

    model_config = ConfigDict(title="Start")


def wrap_create_initial_input_form(form: Form | None) -> Form | None:
    """The form as it is: the engine puts its page before every form. Carried-over workflows call it."""
    return form


wrap_modify_initial_input_form = wrap_create_initial_input_form


def is_static(form: Form | None) -> bool:
    """Whether the form is one static page."""
    return form is None or isinstance(form, type)


def pages_of(form: Form, state: State, scope: Scope) -> FormGenerator:
    """Run a form of any kind as a generator of pages, with its parameters from the state."""
    if isinstance(form, type):
        page = yield form
        return answers(page)
    arguments = arguments_of(form).values(state, scope, f"Form {form.__name__}")
    if inspect.isgeneratorfunction(form):
        result = yield from _telling(form(**arguments), arguments.get("state"))
        if result is not None and not isinstance(result, Mapping):
            raise FormError(
                f"Form {form.__name__} returned {type(result).__name__}; a form that yields pages returns a mapping, "
                "such as page.model_dump()."
            )
        return dict(result or {})
    found = form(**arguments)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise FormError(
            f"Form {form.__name__} returned {type(found).__name__}; it returns a page class or yields pages."
        )
    page = yield found
    return answers(page)


def _telling(pages: FormGenerator, state: Any) -> Generator[type[BaseModel], Any, Any]:
    """The pages of a form whose parameter `state`, if it has one, gets what each filled page holds."""
    filled = None
    while True:
        try:
            page = pages.send(filled)
        except StopIteration as end:
            return end.value
        filled = yield page
        if isinstance(state, dict) and isinstance(filled, BaseModel):
            state.update(filled.model_dump(warnings=False))


def answers(page: BaseModel) -> State:
    """A filled page as JSON, as its schema writes it; secrets stay secret."""
    found: State = to_json(page, type(page).__name__)
    return found


def as_pages(inputs: Any) -> list[Page]:
    """Normalise the inputs: a list of pages, or one mapping for a one-page form. Raises FormInvalid."""
    if inputs is None:
        return []
    if (fault := fault_of_shape(inputs)) is not None:  # first: whatever else looks at them is recursive
        raise FormInvalid(f"The inputs cannot be used: {fault}.")
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
    """Feed pages to a form and return its result.

    Needs a transaction if the form reads the database; writes nothing. `name` names the form in errors. Raises
    FormInvalid (which page, field, value, and what is allowed) and FormIncomplete (the next page). Secret values are in
    no message, nor in `FormInvalid.errors`.
    """
    for number, given in enumerate(pages, 1):
        _refuse_unkeepable(name, number, given)
    try:
        outcome = walk_form(form, state, [dict(page) for page in pages])
    except FormOverflowError:
        raise FormInvalid(f"{name} was given {len(pages)} pages of input, which is more than its form has.") from None
    except FormException as error:
        raise FormError(f"The form of {name} cannot be used: {error}") from error
    except TransactionReadsOnly as error:
        raise FormError(
            f"The form of {name} writes to the database; a form must only read, since it runs whenever it is shown. "
            "Write in a step."
        ) from error
    match outcome:
        case Complete(state=result):
            return dict(result)
        case Rejected(model=page, index=index, error=verdict):
            errors = [_without_secrets(dict(error), page) for error in verdict.errors[:SHOWN_FAULTS]]
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
    if error["loc"][:1] == ("__root__",) or _may_hold_secret(page, error):
        return f"{where}: {message}"
    return f"{where}: {message}; given: {shown(error.get('input'))}"


def _without_secrets(error: dict[str, Any], page: type[BaseModel]) -> dict[str, Any]:
    return error | {"input": None, "ctx": {}} if _may_hold_secret(page, error) else error


def _may_hold_secret(page: type[BaseModel], error: Mapping[str, Any]) -> bool:
    """Whether the `input` of an error may contain a secret; for some errors it is the whole page."""
    fields = {
        key: info for name, info in page.model_fields.items() for key in (name, info.alias, info.validation_alias)
    }
    field = fields.get(error["loc"][0]) if error["loc"] else None
    if field is None or error["type"] == "missing":
        return holds_secret(page)
    return holds_secret(field.annotation)


def holds_secret(annotation: Any, seen: frozenset[type] = frozenset()) -> bool:
    """Whether a value of this type may hold a secret at any depth."""
    if isinstance(annotation, TypeAliasType):
        return holds_secret(annotation.__value__, seen)
    cls = get_origin(annotation) or annotation
    if any(holds_secret(part, seen) for part in get_args(annotation)):
        return True
    if not isinstance(cls, type) or cls in seen:
        return False
    if issubclass(cls, SECRETS):
        return True
    return any(holds_secret(part, seen | {cls}) for part in _field_types(cls))


def _field_types(cls: type[Any]) -> Iterable[Any]:
    if issubclass(cls, BaseModel):
        return [info.annotation for info in cls.model_fields.values()]
    if is_dataclass(cls) or is_typeddict(cls) or hasattr(cls, "_fields"):
        return get_type_hints(cls, include_extras=True).values()
    return ()


def _refuse_unkeepable(name: str, number: int, page: Page) -> None:
    """Refuse what is no value of any field, above all text that JSON or the database cannot store."""
    for loc, message in _unkeepable(page):
        kind = "string_unicode" if message.startswith("Text") else "value_error"
        error = {"loc": loc, "msg": message, "type": kind, "input": None}
        where = path_of(loc) or "the page"
        raise FormInvalid(f"Page {number} of {name} is not valid: {where}: {message}.", page=number, errors=[error])


def _unkeepable(page: Page) -> Iterator[tuple[tuple[Any, ...], str]]:
    if len(page) > MOST_FIELDS:
        yield (), f"A page has at most {MOST_FIELDS} fields, and this one {len(page)}"
    if (fault := fault_of_shape(page)) is not None:
        yield (), f"Its values cannot be used: {fault}"
    keys: Iterable[Any] = page  # from YAML they may be anything
    for key in keys:
        if not isinstance(key, str) or key == "self":  # fields are keyword arguments of the page
            yield (key,), "No field can have this name"
    for loc in marks_in(page):
        yield (*loc, SECRET), "This key is a mark of the engine"
    for loc, fault in faults_in(page):
        yield loc, f"Text cannot hold {fault}"


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
    """A field with the labels of its choices, or else its type."""
    if "$ref" in shape:
        shape = schema["$defs"][shape["$ref"].rpartition("/")[2]]
    if values := shape.get("enum"):
        labels = [str(shape.get("options", {}).get(value, value)) for value in values]
        more = ", …" if len(labels) > SHOWN_CHOICES else ""
        return f"{name} (one of {', '.join(labels[:SHOWN_CHOICES])}{more})"
    return f"{name} ({shape['type']})" if "type" in shape else name
