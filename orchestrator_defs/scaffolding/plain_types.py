"""The types of single values: what a file may name, how code spells it, and values that fit it."""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pydantic import Field, ImportString, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

PLAIN = {"str": str, "int": int, "bool": bool, "float": float}
KNOWN = {
    "UUID": "uuid.UUID",
    "datetime": "datetime.datetime",
    "date": "datetime.date",
    **{f"IPv{n}{kind}": f"ipaddress.IPv{n}{kind}" for n in (4, 6) for kind in ("Address", "Network", "Interface")},
}
"""Types that need no module in front of them."""
CANDIDATES: Sequence[Any] = (
    *("abc", "xyz", "10.1.0.1", "10.1.0.2", "10.1.0.0/24", "10.2.0.0/24", "10.1.0.1/24", "10.2.0.1/24"),
    *("2001:db8::1", "2001:db8::2", "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8::1/64", "2001:db8::2/64"),
    *("10000000-0000-4000-8000-000000000001", "10000000-0000-4000-8000-000000000002"),
    *("2030-01-31T12:00:00Z", "2030-02-28T12:00:00Z", "2030-01-31T12:00:00", "2030-02-28T12:00:00"),
    *("2030-01-31", "2030-02-28", "12:30:00", "13:30:00", "PT1H", "PT2H", "2-5", "7-9"),
    *("1.5", "2.5", 10, 20, 1, 2, 0, True, False, 1.5, 2.5, "https://example.org/a", "https://example.org/b"),
    *("noc@example.org", "desk@example.org", "10.1.0.1", "00:00:5e:00:53:01", "00:00:5e:00:53:02", "a", "b"),
)
"""JSON values of which some fit any type that people use; a type's own values are tried first."""


class Unfit(Exception):
    """A type or a value that cannot be used; the message goes on from its place: `is 5, …`"""


@dataclass(frozen=True)
class ValueType:
    """A type of single values: how code spells it, whence it is imported, and its limits as arguments of `Field`."""

    spelling: str
    module: str = ""
    python: Any = None
    limits: tuple[tuple[str, int], ...] = ()

    @property
    def adapter(self) -> TypeAdapter[Any]:
        """Checks values."""
        return TypeAdapter(Annotated[self.python, Field(**dict(self.limits))] if self.limits else self.python)  # type: ignore[arg-type, call-overload]

    def value(self, given: Any) -> Any:
        """The value that JSON or YAML has for this type. Raises Unfit."""
        try:
            return self.adapter.validate_python(_text(given) if self.python is str else given)
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise Unfit(f"is {given!r}, which is no {self.spelling} here: {message[0].lower()}{message[1:]}.") from None

    def as_json(self, value: Any) -> Any:
        """The value as JSON."""
        return self.adapter.dump_python(value, mode="json")

    def spelt(self, given: Any) -> str:
        """The value as Python code; `given` is as JSON or YAML has it."""
        value = self.value(given)
        if isinstance(value, Enum):
            return f"{self.spelling}.{value.name}"
        if self.python in PLAIN.values():
            return quoted(value) if isinstance(value, str) else repr(value)
        text = quoted(self.as_json(value))
        with suppress(Exception):  # a type of an organisation's own may raise anything
            if self.python(self.as_json(value)) == value:
                return f"{self.spelling}({text})"
        return f"TypeAdapter({self.spelling}).validate_python({text})"

    def examples(self, given: Sequence[Any] = ()) -> tuple[Any, Any]:
        """Two values as JSON, different if possible; `given` are used first. Raises Unfit if none is known."""
        found = [self.as_json(self.value(one)) for one in given]
        bounds = [value for _, value in self.limits]
        lengths = [value for name, value in self.limits if name.endswith("length")]
        own = [member.value for member in self.python] if _is_enum(self.python) else []
        sized = [letter * length for length in lengths for letter in "ab"] if self.python is str else []
        for candidate in (*own, *sized, *CANDIDATES, *bounds, *(bound + 1 for bound in bounds)):
            if len(found) > 1:
                break
            if self._is_kept(candidate) and candidate not in found:
                found.append(candidate)
        if not found:
            raise Unfit(f"is {self.spelling}, of which no value is known; give the field `examples: [ONE, ANOTHER]`.")
        return found[0], found[1] if len(found) > 1 else found[0]

    def _is_kept(self, candidate: Any) -> bool:
        """Whether it fits and comes back as it is."""
        if self.python is int and isinstance(candidate, bool):
            return False
        try:
            kept = self.as_json(self.adapter.validate_python(candidate))
        except Exception:  # noqa: BLE001  # a type of an organisation's own may raise anything
            return False
        return bool(kept == candidate) and type(kept) is type(candidate)


def value_type(name: str, limits: Iterable[tuple[str, int | None]] = ()) -> ValueType:
    """The type that a file names. Raises Unfit."""
    given = tuple((key, value) for key, value in limits if value is not None)
    if name in PLAIN:
        return ValueType(name, "", PLAIN[name], given)
    module, _, spelling = KNOWN.get(name, name).rpartition(".")
    if not module:
        raise Unfit(f"is {name!r}, and there is no such type")
    if not re.fullmatch(r"[A-Za-z_][\w.]*", KNOWN.get(name, name), re.ASCII):
        raise Unfit(f"is {name!r}, which is no name of a type to import, such as ipaddress.IPv4Address.")
    try:
        found = TypeAdapter(ImportString).validate_python(f"{module}.{spelling}")
    except ValidationError as error:
        raise Unfit(f"is {name!r}, which cannot be imported: {error.errors()[0]['msg']}.") from None
    made = ValueType(spelling, module, found, given)
    try:
        _ = made.adapter
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        raise Unfit(f"is {name!r}, which pydantic cannot check; name a type such as ipaddress.IPv4Address.") from None
    return made


def enum_type(name: str, base: str, values: Sequence[Any]) -> tuple[ValueType, dict[str, Any]]:
    """An enum of these values, and its members by name. Raises Unfit."""
    kind = PLAIN[base]
    members: dict[str, Any] = {}
    for value in values:
        given = _text(value) if kind is str else value
        if isinstance(given, bool) or not isinstance(given, kind):
            raise Unfit(f"has {value!r}, which is no {base}; an enum has values of its enum_type.")
        if given in members.values():
            raise Unfit(f"has {value!r} twice; leave one out.")
        member = re.sub(r"\W+", "_", str(given).replace("-", " minus " if kind is int else " "), flags=re.ASCII)
        member = member.strip("_").upper()
        member = member if member[:1].isalpha() else f"VALUE_{member}".rstrip("_")
        while member in members:
            member += "_X"
        members[member] = given
    return ValueType(name, "", Enum(name, members, type=kind)), members


def quoted(text: Any) -> str:
    """A text, or JSON of texts, as ruff writes it in code: in double quotes, unless it has such itself."""
    if isinstance(text, list):
        return f"[{', '.join(map(quoted, text))}]"
    if not isinstance(text, str):
        return repr(text)
    return json.dumps(text, ensure_ascii=False) if text.isprintable() and '"' not in text else repr(text)


def _text(given: Any) -> Any:
    """YAML reads 10 as a number and yes as a truth, where a text is meant."""
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else given


def _is_enum(python: Any) -> bool:
    return isinstance(python, type) and issubclass(python, Enum)
