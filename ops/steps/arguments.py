"""The arguments of a step or form: found in the state by name and annotation, and checked where it is declared."""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from dagster import ConfigurableResource, ResourceParam
from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from ops.steps.context import Scope, StepContext, resource_key
from ops.steps.state import REMOVE_KEYS, is_same, reveal, shown, to_json
from resources.database.session import SubscriptionDatabase
from resources.domain.models.formerly import KEPT
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import InvalidLifecycle, StateError, WorkflowDeclarationError
from resources.types import State

RESOURCES = (ConfigurableResource, SubscriptionDatabase)
"""A parameter of such a type is not in the state: it is a resource of the step's op."""

RESOURCE_PARAM = get_args(ResourceParam[object])[1:]
"""How Dagster marks a parameter that takes the resource of its own name, of whatever class: `ResourceParam[Ipam]`."""

_MISSING = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter of a step or form, and the source of its value."""

    name: str
    annotation: Any
    default: Any

    @property
    def resource(self) -> str | None:
        """The key of the resource that the parameter takes; None for one from the state."""
        if _is_class(self.annotation, RESOURCES):
            return resource_key(self.annotation)
        return self.name if getattr(self.annotation, "__metadata__", None) == RESOURCE_PARAM else None

    def value(self, state: State, scope: Scope, function: str) -> Any:
        """Find the value. Raises StateError naming the function, the key and the expected type."""
        if self.annotation is StepContext:
            return scope.context
        if (key := self.resource) is not None:
            return scope.resource(key, function)
        if self.name in scope.passing:
            return scope.passing[self.name]
        if self.name == "state":
            return reveal(state) | dict(scope.passing)
        if models := _model_classes(self.annotation):
            return self._model(models, state, function)
        if self.name not in state:
            return self._absent(state, function)
        return self._validated(state[self.name], function)

    def change(self, given: Any, state: State, scope: Scope, function: str) -> State:
        """What a function has changed in place in this argument: a step's result that sets and removes keys."""
        if self.name == "state":
            left = {key: value for key, value in given.items() if key not in scope.passing}
            changed = {key: value for key, value in left.items() if not self._is_kept(key, value, state, function)}
            removed = [key for key in state if key not in given]
            return changed | ({REMOVE_KEYS: removed} if removed else {})
        if self.name not in state or self.name in scope.passing or not isinstance(given, list | dict | set | BaseModel):
            return {}
        if _model_classes(self.annotation) or self.resource is not None or self.annotation is StepContext:
            return {}
        before = to_json(self._validated(state[self.name], function), f"{function}: {self.name}")
        return {} if is_same(before, to_json(given, f"{function}: {self.name}")) else {self.name: given}

    def _is_kept(self, key: str, value: Any, state: State, function: str) -> bool:
        return key in state and is_same(state[key], to_json(value, f"{function}: {key}"))

    def check(self, function: str) -> None:
        """Check that values of this annotation can come out of a state. Raises WorkflowDeclarationError."""
        if self.name == "state" or self.annotation is _MISSING:
            return
        if self.annotation is StepContext or self.resource is not None:
            return
        if _model_classes(self.annotation):
            _check_models(self, function)
            return
        try:
            _adapter(self.annotation)
        except PydanticUndefinedAnnotation:
            return
        except PydanticSchemaGenerationError:
            what = "which pydantic cannot read out of the state's JSON"
        except (PydanticUserError, TypeError) as error:
            what = f"which cannot be read out of the state: {str(error).partition(chr(10))[0].rstrip('.')}"
        else:
            return
        raise WorkflowDeclarationError(
            f"{function} takes {self.name!r} as {_named(self.annotation)}, {what}. A parameter is a value, a "
            "subscription, a StepContext, or a resource (a ConfigurableResource, or ResourceParam[…])."
        )

    def _absent(self, state: State, function: str) -> Any:
        if self.default is not _MISSING:
            return self.default
        keys = ", ".join(sorted(key for key in state if not key.startswith("__"))) or "nothing"
        raise StateError(f"{function} needs {self.name!r}, which the state does not have; it has {keys}.")

    def _validated(self, value: Any, function: str) -> Any:
        if self.annotation is _MISSING:
            return reveal(value)
        try:
            return _adapter(self.annotation).validate_python(reveal(value), context=KEPT)
        except ValidationError as error:
            first = error.errors()[0]
            fault = ": ".join([*map(str, first["loc"]), first["msg"]])
            wanted = _named(self.annotation)
            raise StateError(f"{function} takes {self.name!r} as {wanted}; {shown(value)} is not: {fault}.") from None

    def _model(self, models: tuple[type[SubscriptionModel], ...], state: State, function: str) -> Any:
        is_list = get_origin(_without_optional(self.annotation)) is list
        value = state.get(self.name)
        if value is None or (_is_optional(self.annotation) and value == {}):
            if self.name in state and _is_optional(self.annotation):
                return None
            if self.default is not _MISSING:
                return self.default
            if is_list:
                return []
            if _is_optional(self.annotation):
                return None
            return self._absent(state, function)
        if is_list:
            return [_load(models, item, self.name, function) for item in _items(value, self.name, function)]
        return _load(models, value, self.name, function)


class Arguments(tuple[Argument, ...]):
    """The parameters of a function; `*args` and `**kwargs` are not among them."""

    __slots__ = ()

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Arguments":
        """Read the signature; annotations may be forward references. Raises WorkflowDeclarationError."""
        name = getattr(function, "__name__", repr(function))
        hints = _hints(function, name)
        parameters = inspect.signature(function).parameters.values()
        if nameless := [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]:
            raise WorkflowDeclarationError(
                f"{name} takes {nameless[0]!r} by position only; arguments are found by name."
            )
        return cls(
            Argument(p.name, _without_annotated(hints.get(p.name, _MISSING)), p.default)
            for p in parameters
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        )

    @property
    def resource_keys(self) -> Iterator[str]:
        """The keys of the external resources among them, which the op requires."""
        return (key for argument in self if (key := argument.resource) is not None)

    def values(self, state: State, scope: Scope, function: str) -> dict[str, Any]:
        """Find every value. Needs a transaction when a model is among them."""
        return {argument.name: argument.value(state, scope, function) for argument in self}

    def changes(self, given: Mapping[str, Any], state: State, scope: Scope, function: str) -> State:
        """What a function has changed in place in values of the state, as if it had returned it."""
        found = [argument.change(given[argument.name], state, scope, function) for argument in self]
        return {key: value for change in found for key, value in change.items()}


def check_arguments(function: Callable[..., Any]) -> None:
    """Check the parameters of a step or form where it is declared. Raises WorkflowDeclarationError.

    Annotations that name what is defined further down are checked with the workflow.
    """
    name = getattr(function, "__name__", repr(function))
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise WorkflowDeclarationError(f"{name} is an async function; a step or form is a plain `def`.")
    try:
        arguments = arguments_of(function)
    except WorkflowDeclarationError as error:
        if isinstance(error.__context__, NameError):
            return
        raise
    for argument in arguments:
        argument.check(name)


@cache
def arguments_of(function: Callable[..., Any]) -> Arguments:
    """The arguments of a function, cached."""
    return Arguments.of(function)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """The annotations of the parameters as types; the return annotation is not needed."""
    annotations = {key: hint for key, hint in inspect.get_annotations(function).items() if key != "return"}
    shim = types.SimpleNamespace(__annotations__=annotations)
    try:
        return get_type_hints(shim, getattr(function, "__globals__", {}), include_extras=True)
    except (NameError, TypeError) as error:
        raise WorkflowDeclarationError(
            f"An annotation of {name} cannot be read: {error}; a type that is needed when it runs is imported "
            "for real, not under TYPE_CHECKING."
        ) from None


def _items(value: Any, name: str, function: str) -> list[Any]:
    if not isinstance(value, list):
        raise StateError(f"{function} takes {name!r} as a list of subscriptions; {shown(value)} is not a list.")
    return value


def _load(models: tuple[type[SubscriptionModel], ...], value: Any, name: str, function: str) -> SubscriptionModel:
    if isinstance(value, Mapping):
        value = value.get("subscription_id")
    try:
        subscription_id = UUID(str(value))
    except ValueError:
        raise StateError(f"{function} takes {name!r} as a subscription; {shown(value)} is not the id of one.") from None
    try:
        subscription = SubscriptionModel.from_subscription(subscription_id)
    except ValidationError as error:  # written past the models, or by older code
        raise StateError(
            f"{function} takes {name!r}, but what is stored of subscription {subscription_id} fits no model: "
            f"{_first_fault(error)}. Correct the stored value, or the class."
        ) from error
    if isinstance(subscription, models):
        return subscription
    wanted = " or ".join(model.__name__ for model in models)
    message = (
        f"{function} takes {name!r} as {wanted}; subscription {subscription_id} is {subscription.status}: "
        f"a {type(subscription).__name__}"
    )
    for narrower in models:
        if issubclass(narrower, type(subscription)):
            try:
                return narrower.from_subscription(subscription_id)
            except ValidationError as error:
                message += f", and its values do not make it a {narrower.__name__}: {_first_fault(error)}"
    raise InvalidLifecycle(f"{message}.")


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    return f"{'.'.join(map(str, (error.title, *fault['loc'])))}: {fault['msg']}"


def _check_models(argument: Argument, function: str) -> None:
    """A subscription, a list of them, or one of several kinds: nothing else may stand beside them."""
    inner = _without_optional(argument.annotation)
    if get_origin(inner) is list:
        inner = get_args(inner)[0]
    for kind in get_args(inner) if _is_union(inner) else (inner,):
        if kind is not type(None) and not _is_class(_without_annotated(kind), SubscriptionModel):
            raise WorkflowDeclarationError(
                f"{function} takes {argument.name!r} as {_named(argument.annotation)}; subscriptions are taken alone, "
                "as a list, or as one of several classes, each perhaps None."
            )


def _model_classes(annotation: Any) -> tuple[type[SubscriptionModel], ...]:
    """The subscription models in an annotation: the class itself, or the members of a list, optional or union."""
    if _is_class(annotation, SubscriptionModel):
        return (annotation,)
    if get_origin(annotation) in (list, Union, types.UnionType, Annotated):
        return tuple(model for part in get_args(annotation) for model in _model_classes(part))
    return ()


def _without_annotated(annotation: Any) -> Any:
    """The model behind `Annotated[Model, …]`; other annotations keep their constraints."""
    if get_origin(annotation) is Annotated and _model_classes(annotation):
        return get_args(annotation)[0]
    return annotation


def _named(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


def _is_class(annotation: Any, bases: type[Any] | tuple[type[Any], ...]) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, bases)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _is_optional(annotation: Any) -> bool:
    return _is_union(annotation) and type(None) in get_args(annotation)


def _without_optional(annotation: Any) -> Any:
    if not _is_optional(annotation):
        return annotation
    members = [part for part in get_args(annotation) if part is not type(None)]
    return members[0] if len(members) == 1 else annotation


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)
