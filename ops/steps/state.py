"""The arguments of a step from the state, and its result back into it."""

import inspect
import json
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from dagster import ConfigurableResource
from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from ops.steps.context import Scope, StepContext
from resources.database.session import SubscriptionDatabase
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import InvalidLifecycle, StateError, WorkflowDeclarationError
from resources.types import State

REMOVE_KEYS = "__remove_keys"
ENGINE_KEYS = frozenset({"process_id", "reporter", "workflow_name", "workflow_target"})
"""The engine's own keys; steps and forms may read but not set them."""
SECRET = "__secret__"
"""A secret in the state is `{"__secret__": text}`: later steps get a SecretStr, people see asterisks."""
MASK = "**********"
RESOURCES = (ConfigurableResource, SubscriptionDatabase)
"""A parameter of such a type is not in the state: it is a resource of the step's op."""

_MISSING = inspect.Parameter.empty


# --- arguments ---


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter of a step or form, and the source of its value."""

    name: str
    annotation: Any
    default: Any

    def value(self, state: State, scope: Scope, function: str) -> Any:
        """Find the value. Raises StateError naming the function, the key and the expected type."""
        if self.annotation is StepContext:
            return scope.context
        if _is_class(self.annotation, RESOURCES):
            return scope.resource(self.annotation)
        if self.name in scope.passing:
            return scope.passing[self.name]
        if self.name == "state":
            return reveal(state) | dict(scope.passing)  # a copy: changes count only when the step returns it
        if models := _model_classes(self.annotation):
            return self._model(models, state, function)
        if self.name not in state:
            return self._absent(state, function)
        return self._validated(state[self.name], function)

    def _absent(self, state: State, function: str) -> Any:
        if self.default is not _MISSING:
            return self.default
        keys = ", ".join(sorted(key for key in state if not key.startswith("__"))) or "nothing"
        raise StateError(f"{function} needs {self.name!r}, which the state does not have; it has {keys}.")

    def _validated(self, value: Any, function: str) -> Any:
        if self.annotation is _MISSING:
            return reveal(value)
        try:
            return _adapter(self.annotation).validate_python(reveal(value))
        except ValidationError as error:
            fault = error.errors()[0]["msg"]
            wanted = getattr(self.annotation, "__name__", str(self.annotation))
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
    def resource_types(self) -> Iterator[type[Any]]:
        """The external resources among them, which the op requires."""
        return (a.annotation for a in self if _is_class(a.annotation, RESOURCES))

    def values(self, state: State, scope: Scope, function: str) -> dict[str, Any]:
        """Find every value. Needs a transaction when a model is among them."""
        return {argument.name: argument.value(state, scope, function) for argument in self}


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
    subscription = SubscriptionModel.from_subscription(subscription_id)
    if not isinstance(subscription, models):
        _mismatch(subscription, models, name, function)
    return subscription


def _mismatch(subscription: SubscriptionModel, models: tuple[type[Any], ...], name: str, function: str) -> None:
    wanted = " or ".join(model.__name__ for model in models)
    message = (
        f"{function} takes {name!r} as {wanted}; subscription {subscription.subscription_id} is {subscription.status}: "
        f"a {type(subscription).__name__}."
    )
    raise InvalidLifecycle(message)


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


# --- results ---


@dataclass(frozen=True, slots=True)
class Delta:
    """A change of state: the keys set, with their new values, and the keys removed."""

    set: State
    removed: list[str]

    def __bool__(self) -> bool:
        return bool(self.set or self.removed)

    def applied_to(self, state: State) -> State:
        """The state after the change."""
        kept = {key: value for key, value in state.items() if key not in self.removed}
        return {**kept, **self.set}

    @classmethod
    def between(cls, before: State, after: State) -> "Delta":
        """What has to be set and removed to get from one state to the other."""
        changed = {key: value for key, value in after.items() if key not in before or not is_same(before[key], value)}
        return cls(changed, [key for key in before if key not in after])


def is_same(before: Any, after: Any) -> bool:
    """Equal as JSON: Python treats 1 and True as equal, JSON does not."""
    if before is after:  # unchanged values, however large
        return True
    return bool(before == after) and json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)


def merged(state: State, result: Any, function: str) -> State:
    """Merge a step's result into the state, as JSON. `__remove_keys` lists keys to drop.

    Raises StateError if the result is neither None nor a mapping, or has no JSON form.
    """
    if result is None:
        return state
    if not isinstance(result, Mapping):
        raise StateError(f"{function} returned {type(result).__name__}; a step returns a mapping or None.")
    after = {key: value for key, value in state.items() if key not in _keys_to_remove(result, function)}
    for key, value in result.items():
        if key == REMOVE_KEYS:
            continue
        after[str(key)] = to_json(value, f"{function}: {key}")
        if key in ENGINE_KEYS and state.get(key) != after[key]:
            raise StateError(f"{function} sets {key!r}, which belongs to the engine; use another name.")
    return after


def _keys_to_remove(result: Mapping[Any, Any], function: str) -> frozenset[str]:
    keys = result.get(REMOVE_KEYS, ())
    if not isinstance(keys, list | tuple | set | frozenset) or not all(isinstance(key, str) for key in keys):
        raise StateError(f"{function} returned {shown(keys)} as {REMOVE_KEYS}; it is a list of keys.")
    return frozenset(keys) - ENGINE_KEYS


def models_in(value: Any) -> Iterator[SubscriptionModel]:
    """The subscription models anywhere in a result, depth first, each once."""
    seen: set[int] = set()
    yield from _models_in(value, seen)


def _models_in(value: Any, seen: set[int]) -> Iterator[SubscriptionModel]:
    if isinstance(value, SubscriptionModel):
        if id(value) not in seen:
            seen.add(id(value))
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _models_in(item, seen)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _models_in(item, seen)


def to_json(value: Any, where: str) -> Any:
    """Convert a value to JSON: models become mappings, enums their values, secrets marked mappings.

    Raises StateError naming `where` for values without a JSON form.
    """
    if value is None or (isinstance(value, bool | int) and not isinstance(value, Enum)):
        return value
    if isinstance(value, SecretStr):
        return {SECRET: _storable(value.get_secret_value(), where)}
    if isinstance(value, SecretBytes | Secret):
        raise StateError(f"{where} is {type(value).__name__}; only a SecretStr stays secret in the state.")
    if isinstance(value, SubscriptionModel):
        return value.model_dump(mode="json")
    if isinstance(value, BaseModel):
        return {key: to_json(item, f"{where}.{key}") for key, item in value.model_dump().items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: to_json(getattr(value, part.name), f"{where}.{part.name}") for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(key, where)): to_json(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted((to_json(item, where) for item in value), key=str)
    return _plain(value, where)


def _plain(value: Any, where: str) -> Any:
    try:
        plain = to_jsonable_python(value)
    except (TypeError, ValueError):
        raise StateError(
            f"{where} is {type(value).__name__}, which has no JSON form; return an id or a mapping."
        ) from None
    if isinstance(plain, str):
        return _storable(plain, where)
    if (isinstance(plain, float) and plain != plain) or plain in (float("inf"), float("-inf")):
        raise StateError(f"{where} is {plain}, which has no JSON form.")
    return plain


def _storable(text: str, where: str) -> str:
    """The text, if PostgreSQL can store it."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise StateError(f"{where} holds a NUL character or half a surrogate pair, which PostgreSQL cannot store.")
    return text


def readable(value: Any) -> Any:
    """JSON of any value, for people: values without a JSON form are described, secrets are masked. Never raises."""
    plain = to_jsonable_python(masked(value), fallback=repr, inf_nan_mode="strings", serialize_unknown=True)
    text = json.dumps(plain, ensure_ascii=False).encode(errors="replace").decode()
    return json.loads(text.replace("\\u0000", ""), parse_constant=str)


# --- secrets ---


def reveal(value: Any) -> Any:
    """Convert marked secrets back into SecretStr; a deep copy."""
    if isinstance(value, Mapping):
        if set(value) == {SECRET}:
            return SecretStr(value[SECRET])
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def masked(value: Any) -> Any:
    """Replace marked secrets by asterisks."""
    if isinstance(value, Mapping):
        if set(value) == {SECRET}:
            return MASK
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def shown(value: Any) -> str:
    """A value in an error message: masked, and short."""
    text = repr(masked(value))
    return text if len(text) <= 80 else f"{text[:77]}…"
