"""Named forms, which belong to no workflow: of an organisation, or of the engine.

    register_form("choose_site", choose_site)

A form is written as that of a workflow: a page class, a function that returns one, or a generator of pages. Its
parameters come from a state with `form_key` and `user`.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ops.steps.arguments import arguments_of, check_arguments
from ops.steps.context import Scope
from ops.steps.forms import Form, FormGenerator, Page, fill, pages_of
from ops.steps.state import masked, to_json
from resources.errors import UnknownForm, WorkflowDeclarationError
from resources.types import State

_forms: dict[str, Form] = {}


def register_form(key: str, form: Form) -> None:
    """Register a form under a name. May run twice with the same form.

    Raises WorkflowDeclarationError for a name that another form has, for what is not a form, and for a form whose
    parameters cannot be read.
    """
    if not callable(form):
        raise WorkflowDeclarationError(
            f"Form {key!r} is {type(form).__name__}; give a page class, or the function itself without calling it."
        )
    if _forms.get(key, form) is not form:
        raise WorkflowDeclarationError(f"There is another form named {key!r}; names are unique.")
    if not isinstance(form, type):
        check_arguments(form)
    _forms[key] = form


def named_form(key: str) -> Form:
    """The form of a name. Raises UnknownForm with similar names."""
    if key in _forms:
        return _forms[key]
    near = get_close_matches(key, _forms, n=3) or sorted(_forms)
    hint = f"there is {', '.join(near)}" if near else "`register_form` makes one known"
    raise UnknownForm(f"There is no form {key!r}; {hint}.")


def form_names() -> list[str]:
    """The names of all forms."""
    return sorted(_forms)


def resource_keys(form: Form) -> Iterator[str]:
    """The external resources among a form's parameters."""
    if not isinstance(form, type):
        yield from arguments_of(form).resource_keys


def fill_named_form(
    key: str, form: Form, pages: Sequence[Page], *, user: str, resources: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The result of the form for these pages, as JSON with secrets masked. Needs a transaction; writes nothing. The
    form gets `user` with all its claims.

    Raises FormInvalid, FormIncomplete.
    """

    def generator(state: State) -> FormGenerator:
        return (yield from pages_of(form, state, Scope(resources=resources or {})))

    result = fill(generator, {"form_key": key, "user": user}, pages, name=key)
    found: dict[str, Any] = masked(to_json(result, f"The form {key}"))
    return found
