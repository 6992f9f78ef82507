"""Says in words what a value of a block is: its type, and where a block from before it gets it from."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo

from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import PlainField
from resources.domain.models.formerly import Formerly, fits, past_of

NO_LIMITS = frozenset({"title", "description", "default", "examples", "deprecated", "type", "format", "writeOnly"})
LONGEST = 2000


def type_of(info: FieldInfo) -> str:
    """The type of a field with its limits, in short: `integer (maximum 100)`, `string (ipv4) or null`."""
    annotation: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    try:
        schema = TypeAdapter(annotation).json_schema()
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return str(info.annotation)[:LONGEST]
    return _described(schema, schema.get("$defs", {}))[:LONGEST]


def _described(schema: Any, known: Mapping[str, Any]) -> str:
    if not isinstance(schema, dict):
        return "anything"
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return (
            _described(known[name], {key: one for key, one in known.items() if key != name}) if name in known else name
        )
    parts = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if parts:
        return " or ".join(dict.fromkeys(_described(part, known) for part in parts))
    if "enum" in schema or "const" in schema:
        return f"one of {', '.join(map(str, schema.get('enum', [schema.get('const')])))}"
    kind = schema.get("type", "anything")
    if kind == "array" and "items" in schema:
        kind = f"list of {_described(schema['items'], known)}"
    limits = [schema[key] for key in ("format",) if key in schema]
    limits += [f"{key} {schema[key]}" for key in sorted(schema.keys() - NO_LIMITS) if _is_limit(schema[key])]
    return f"{kind} ({', '.join(limits)})" if limits else str(kind)


def _is_limit(value: Any) -> bool:
    return isinstance(value, str | int | float)


def origin_of(cls: type[DomainModel], field: PlainField) -> str:
    """Where a block from before the field gets its value, in words; empty when nowhere."""
    marks = past_of(cls).get(field.name, ())
    named = [replace(one, name=one.name or field.name) if isinstance(one, Formerly) else one for one in reversed(marks)]
    sources = [str(one) for one in named if not (isinstance(one, Formerly) and _is_of_itself(one, field))]
    if sources:
        return " or ".join(sources)
    if field.has_default and field.absent not in (None, []):
        return "the default" if field.absent is ... else f"the default {field.absent!r}"
    return ""


def sources_of(cls: type[DomainModel], name: str) -> tuple[tuple[str, str], ...]:
    """The (block, value) that the field takes over, if they no longer are; without a block it is its own."""
    marks = (one for one in past_of(cls).get(name, ()) if isinstance(one, Formerly) and not one.is_name_only)
    return tuple((one.block, one.name or name) for one in marks if one.block or one.name not in ("", name))


def _is_of_itself(marker: Formerly, field: PlainField) -> bool:
    return marker.is_name_only or (marker.name == field.name and not marker.block)


def reader_of(cls: type[DomainModel], name: str) -> Callable[[Any], Any]:
    """A function of a stored value that says whether it is converted; it raises ValueError for one that cannot be."""
    convert = next(
        (one.convert for one in reversed(past_of(cls).get(name, ())) if isinstance(one, Formerly) and one.convert), None
    )

    def read(value: Any) -> bool:
        if convert is None or fits(cls, name, value):
            _check(cls, name, value)
            return False
        try:
            converted = convert(value)
        except Exception as error:  # a function of an organisation raises what it likes
            raise ValueError(f"{type(error).__name__}: {error}") from error
        _check(cls, name, converted)
        return True

    return read


def _check(cls: type[DomainModel], name: str, value: Any) -> None:
    info = cls.model_fields[name]
    annotation: Any = Annotated[info.annotation, info]
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from error
