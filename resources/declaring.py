"""Checks the arguments of declarations: a wrong one is a sentence where it is written, and not an error in a run."""

from collections.abc import Callable, Collection, Mapping
from enum import Enum
from functools import cache, wraps
from inspect import Parameter, isroutine, signature
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from resources.errors import OrchestratorError, WorkflowDeclarationError

F = TypeVar("F", bound=Callable[..., Any])

LONGEST_LABEL = 120
"""Characters; the ledger stores the labels of a group and of its step in 255."""

WORDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
}
STEPS = {"Step": "a step", "StepGroup": "a step", "Fork": "a step", "StepList": "a list of steps"}
WORKFLOWS = {"Workflow": "a workflow", "WorkflowJob": "a workflow", "HasWorkflow": "a workflow"}
CLASSES: Mapping[str, str] = {**STEPS, **WORKFLOWS}


def declares(function: F, options: Mapping[str, Any] | None = None) -> F:
    """Make a declaring function refuse unknown, missing and wrong arguments with WorkflowDeclarationError.

    `options` are the keywords of its `**options`, with their types: they stand in the signature, for `help()` and
    editors.
    """
    called = f"@{function.__name__}" if options else function.__name__
    options = options or {}
    more = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in options.items()]
    own = [one for one in signature(function).parameters.values() if not (more and one.kind is Parameter.VAR_KEYWORD)]
    whole = signature(function).replace(parameters=[*own, *more])

    @cache
    def kinds() -> Mapping[str, Any]:
        return get_type_hints(function, include_extras=True) | dict(options)

    @wraps(function)
    def checked(*args: Any, **given: Any) -> Any:
        if "name" in given and "label" in whole.parameters and "name" not in whole.parameters:
            given["label"] = given.pop("name")  # as orchestrator-core calls it
        try:
            bound = whole.bind(*args, **given)
        except TypeError as error:
            known = ", ".join(whole.parameters)
            raise WorkflowDeclarationError(f"{called}: {error}; it takes {known}.") from None
        values = bound.arguments
        many = [name for name in values if whole.parameters[name].kind is Parameter.VAR_POSITIONAL]
        check_kinds(called, kinds(), {name: one for name, one in values.items() if name not in many})
        for name in many:
            for one in values[name]:
                check_kinds(called, kinds(), {name: one})
        if len(label := values.get("label", "")) > LONGEST_LABEL:
            raise WorkflowDeclarationError(
                f"The label {label[:40]!r}… has {len(label)} characters; {LONGEST_LABEL} fit."
            )
        return function(*args, **given)

    checked.__signature__ = whole  # type: ignore[attr-defined]
    return cast(F, checked)


def check_kinds(
    declaration: str,
    kinds: Mapping[str, Any],
    values: Mapping[str, Any],
    error: type[OrchestratorError] = WorkflowDeclarationError,
) -> None:
    """Check values against their annotated kinds. Raises the error, with the name of what is wrong."""
    for name, value in values.items():
        if is_a(value, kinds[name]):
            continue
        wanted, is_function = words_for(kinds[name]), isroutine(value)
        found = f"the function {value.__name__}" if is_function else repr(value)[:60]
        hint = "."
        if is_function and len(values) == 1 and kinds[name] is str:
            hint = f"; write @{declaration.lstrip('@')}(…), with parentheses."
        elif is_function and "step" in wanted:
            hint = "; is it decorated with @step(…)?"
        raise error(f"{declaration}: `{name}` is {wanted}, not {found}{hint}")


def is_a(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated kind; what cannot be told is."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return is_a(value, parts[0])
    if origin in (Union, UnionType):
        return any(is_a(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is type:
        return isinstance(value, type) and (not isinstance(parts[0], type) or issubclass(value, parts[0]))
    if isinstance(origin, type):
        return _is_collection_of(value, origin, parts)
    if kind is None:
        return value is None
    return not isinstance(kind, type) or _is_instance(value, kind)


def _is_collection_of(value: Any, origin: type[Any], parts: tuple[Any, ...]) -> bool:
    """A list and the like, with its elements; a mapping or a function without them."""
    if isinstance(value, str | bytes) or not isinstance(value, origin):
        return False
    if len(parts) != 1 or not isinstance(value, Collection):
        return True
    return all(is_a(one, parts[0]) for one in value)


def _is_instance(value: Any, kind: type[Any]) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind in (bool, object)
    if issubclass(kind, Enum):
        return value in [*kind, *(one.value for one in kind)]
    return isinstance(value, int | float if kind is float else kind)


def words_for(kind: Any) -> str:
    """A kind in words, for messages."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return words_for(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(words_for(part) for part in parts))
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is type:
        return f"a class of {getattr(parts[0], '__name__', parts[0])}"
    if origin is not None and issubclass(origin, Callable):  # type: ignore[arg-type]
        return "a function"
    if isinstance(origin, type):
        return (
            f"a list of {words_for(parts[0]).removeprefix('a ')}" if len(parts) == 1 else f"a {origin.__name__.lower()}"
        )
    if kind in WORDS:
        return WORDS[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(str(one.value) for one in kind)}"
    name = getattr(kind, "__name__", str(kind))
    return CLASSES.get(name, f"a {name}")
