"""What a step returns, as JSON in the state: merged, compared, and with its secrets marked."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from math import isfinite
from typing import Any

from pydantic import PydanticUserError, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic_core import to_jsonable_python

from resources import secrecy
from resources.database.storable import fault_of, fault_of_shape, path_of, storable
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import StateError
from resources.types import State

REMOVE_KEYS = "__remove_keys"
ENGINE_KEYS = frozenset({"process_id", "reporter", "workflow_name", "workflow_target"})
"""The engine's own keys; steps and forms may read but not set them."""
SECRET = "__secret__"
"""A secret in the state is `{"__secret__": text}`: later steps get a SecretStr, people see asterisks."""
MASK = "**********"
DEEPEST, LONGEST_NUMBER = 100, 4000
"""How many levels and digits are shown to people."""


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
    after = {key: value for key, value in state.items() if key not in keys_to_remove(result, function)}
    for key, value in result.items():
        if key == REMOVE_KEYS:
            continue
        after[_storable(str(key), f"A key of {function}")] = to_json(value, f"{function}: {key}")
        if key in ENGINE_KEYS and state.get(key) != after[key]:
            raise StateError(f"{function} sets {key!r}, which belongs to the engine; use another name.")
    return after


def keys_to_remove(result: Mapping[Any, Any], function: str) -> frozenset[str]:
    """The keys that a result removes. Raises StateError."""
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
    """Convert a value to JSON as its own pydantic schema says, else by its kind; secrets become marked mappings.

    Raises StateError naming `where` for values without a JSON form.
    """
    if value is None or type(value) in (bool, int):
        return value
    if isinstance(value, SecretStr):
        secrecy.remember(value.get_secret_value())
        return {SECRET: _storable(value.get_secret_value(), where)}
    if isinstance(value, SecretBytes | Secret):
        raise StateError(f"{where} is {type(value).__name__}; only a SecretStr stays secret in the state.")
    if isinstance(value, SubscriptionModel):
        return value.model_dump(mode="json")
    cls: Any = type(value)
    if (schema := _own_schema(cls)) is not None:
        return _by_schema(schema, value, where)
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: to_json(getattr(value, part.name), f"{where}.{part.name}") for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(key, where)): to_json(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted((to_json(item, where) for item in value), key=str)
    return _plain(value, where)


@cache
def _own_schema(cls: type[Any]) -> TypeAdapter[Any] | None:
    """The schema of a class that says itself how it is written; None for others."""
    if not (
        hasattr(cls, "__get_pydantic_core_schema__") or hasattr(cls, "__pydantic_serializer__") or is_dataclass(cls)
    ):
        return None
    try:
        return TypeAdapter(cls)
    except (PydanticUserError, NameError, TypeError):
        return None


def _by_schema(schema: TypeAdapter[Any], value: Any, where: str) -> Any:
    try:
        plain = schema.dump_python(value, mode="json", warnings=False)
        return _with_secrets(plain, schema.dump_python(value, warnings=False), where)
    except (TypeError, ValueError) as error:
        raise StateError(
            f"{where} is {type(value).__name__}, which has no JSON form: {error}; return an id or a mapping."
        ) from None


def _with_secrets(plain: Any, value: Any, where: str) -> Any:
    """JSON as the schema has written it, with the secrets that it masks, and without what it quietly drops."""
    if isinstance(value, SecretStr | SecretBytes | Secret):
        return to_json(value, where)
    if isinstance(value, float) and not isfinite(value) and not isinstance(plain, str):
        return _plain(value, where)
    if isinstance(value, Mapping) and isinstance(plain, dict) and len(value) == len(plain):
        pairs = zip(plain.items(), value.values(), strict=True)
        return {key: _with_secrets(one, item, f"{where}.{key}") for (key, one), item in pairs}
    if isinstance(value, list | tuple) and isinstance(plain, list) and len(value) == len(plain):
        pairs = zip(plain, value, strict=True)
        return [_with_secrets(one, item, f"{where}[{index}]") for index, (one, item) in enumerate(pairs)]
    if isinstance(value, set | frozenset):
        return to_json(value, where)
    return to_json(plain, where)


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, float) and not isfinite(value):
        raise StateError(f"{where} is {value}, which has no JSON form.")
    try:
        plain = to_jsonable_python(value)
    except (TypeError, ValueError):
        raise StateError(
            f"{where} is {type(value).__name__}, which has no JSON form; return an id or a mapping."
        ) from None
    return _storable(plain, where) if isinstance(plain, str) else plain


def _storable(text: str, where: str) -> str:
    """The text, if PostgreSQL can store it."""
    if (fault := fault_of(text)) is not None:
        raise StateError(f"{where} holds {fault}, which PostgreSQL cannot store; leave it out.")
    return text


def readable(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """JSON of any value, for people: secrets are masked, and what has no JSON form or cannot be stored is described.

    Never raises, whatever an object does: failures are written with it. `inside`: the objects that hold the value.
    """
    if id(value) in inside or len(inside) > DEEPEST:
        return "…"
    try:
        return _readable(value, (*inside, id(value)))
    except BaseException:  # noqa: BLE001
        return f"<{type(value).__name__}>"


def _readable(value: Any, inside: tuple[int, ...]) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return storable(value)
        case int() if abs(value) >= 10**LONGEST_NUMBER:
            return "a number of too many digits"
        case int():
            return int(value)
        case float():
            return float(value) if isfinite(value) else json.dumps(float(value))
        case Mapping():
            if set(value) == {SECRET}:
                return MASK
            return {str(readable(key, inside)): readable(item, inside) for key, item in value.items()}
        case list() | tuple():
            return [readable(item, inside) for item in value]
    try:
        plain = to_jsonable_python(value, fallback=_described, serialize_unknown=True)
    except BaseException:  # noqa: BLE001
        plain = repr(value)
    return readable(plain, inside)


def _described(value: Any) -> Any:
    try:
        return masked(to_json(value, ""))
    except StateError:
        return repr(value)


def json_dumps(value: Any, indent: bool = False, sort_keys: bool = False) -> str:
    """JSON text of any value that the state can keep, with secrets masked. Raises StateError for others."""
    spaces, separators = (2, None) if indent else (None, (",", ":"))
    plain = masked(to_json(value, "The value"))
    return json.dumps(plain, ensure_ascii=False, indent=spaces, separators=separators, sort_keys=sort_keys)


# --- secrets ---


def from_outside(value: Any, where: str) -> Any:
    """JSON of what another system or a person sends. Raises StateError also for a mark of the engine's."""
    if (fault := fault_of_shape(value)) is not None:
        raise StateError(f"{where} cannot be used: {fault}.")
    for loc in marks_in(value):
        raise StateError(f"{where}: {path_of((*loc, SECRET))} is a mark of the engine; use another key.")
    return to_json(value, where)


def marks_in(value: Any, loc: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value has the mark of a secret: from outside it would hide a text, or make a secret of it."""
    if isinstance(value, Mapping):
        if SECRET in value:
            yield loc
        for key, item in value.items():
            yield from marks_in(item, (*loc, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from marks_in(item, (*loc, index))


PLAIN = (str, int, float, type(None))
"""Most of what JSON has. It is asked for first: to ask whether a text is a mapping costs several times as much."""


def reveal(value: Any) -> Any:
    """Convert marked secrets back into SecretStr; a deep copy."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Mapping):
        if len(value) == 1 and SECRET in value:
            secrecy.remember(str(value[SECRET]))
            return SecretStr(value[SECRET])
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def masked(value: Any) -> Any:
    """Replace marked secrets by asterisks."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Mapping):
        if len(value) == 1 and SECRET in value:
            return MASK
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def shown(value: Any) -> str:
    """A value in an error message: masked, and short."""
    text = repr(masked(value))
    return text if len(text) <= 80 else f"{text[:77]}…"
