"""Says what a field was before, so that what is stored under another name, place or type is read as it is now."""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from resources.errors import InvalidBlocks, ModelDeclarationError
from resources.types import SubscriptionLifecycle

KEPT: Mapping[str, bool] = {"kept": True}
"""The validation context of what the engine has kept since before a change of the code, perhaps."""
MASK = "**********"
"""What a document of the past has instead of a secret."""


@dataclass(frozen=True)
class StoredBlock:
    """A block as it is stored, with the values that its class no longer has, as JSON.

    One that the state of a process has kept knows no status, and no blocks but those that it holds.
    """

    name: str
    values: Mapping[str, Any]
    label: str | None
    subscription_id: UUID | str | None
    status: SubscriptionLifecycle | None
    nearest: Callable[[str], "list[StoredBlock]"] = field(repr=False, compare=False)
    """By their name: the blocks that the fewest steps lead to, from holder to held or back."""


@dataclass(frozen=True)
class Formerly:
    """What a field was: `speed: Annotated[int, Formerly("speed_mbit", convert=to_gigabit)]`.

    `name`: its former name. `block`: the block that had the value, by name. `convert`: makes the present value of the
    stored one, which is JSON. A value that fits the present type stays as it is.
    """

    name: str = ""
    _: KW_ONLY
    block: str = ""
    convert: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if not (self.name or self.block or self.convert):
            raise ModelDeclarationError("Formerly() says nothing: give the former name, `block=` or `convert=`.")
        texts: tuple[Any, ...] = (self.name, self.block)
        if not all(isinstance(one, str) for one in texts) or not callable(self.convert or str):
            raise ModelDeclarationError(f"{self!r}: the name and `block` are texts, `convert` is a function.")

    @property
    def is_name_only(self) -> bool:
        """Whether stored values can be renamed as they are."""
        return bool(self.name) and not self.block and self.convert is None

    def __str__(self) -> str:
        where = f"'{self.name}'" if self.name else "the stored value"
        of = f" of block '{self.block}'" if self.block else ""
        return f"{where}{of}{f', converted by {_named(self.convert)}' if self.convert else ''}"


@dataclass(frozen=True)
class FilledBy:
    """The function that gives the value to a block from before the field was: `Annotated[str, FilledBy(site_of)]`.

    It is called with the StoredBlock. For a field that holds a block it returns the values of the new block.
    """

    function: Callable[[StoredBlock], Any]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ModelDeclarationError(f"FilledBy({self.function!r}): give a function of the stored block.")

    def __str__(self) -> str:
        return f"what {_named(self.function)} returns"


Marker = Formerly | FilledBy


def former_names(names: Any) -> tuple[str, ...]:
    """`formerly` as a tuple: it may be nothing, one name, or several with the oldest first."""
    if not names:
        return ()
    return (names,) if isinstance(names, str) else tuple(map(str, names))


def markers_of(info: FieldInfo) -> list[Marker]:
    """What a field says about its past, oldest first; `json_schema_extra={"formerly": …}` has names only."""
    extra = info.json_schema_extra
    names = former_names(extra.get("formerly")) if isinstance(extra, dict) else ()
    return [*map(Formerly, names), *(one for one in info.metadata if isinstance(one, Formerly | FilledBy))]


@cache
def past_of(cls: type[BaseModel]) -> Mapping[str, tuple[Marker, ...]]:
    """The markers of each field that has some, also those of a class above that declares the field."""
    found: dict[str, tuple[Marker, ...]] = {}
    for above in reversed(cls.__mro__):
        if issubclass(above, BaseModel):
            found |= {name: tuple(marks) for name, info in above.model_fields.items() if (marks := markers_of(info))}
    return {name: marks for name, marks in found.items() if name in cls.model_fields}


def renames_of(cls: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """(former name, name) of the fields whose stored values can be renamed as they are."""
    for name, marks in past_of(cls).items():
        yield from ((one.name, name) for one in marks if isinstance(one, Formerly) and one.is_name_only)


def present_values(cls: type[BaseModel], plain: Container[str], block: StoredBlock) -> dict[str, Any]:
    """The stored values of the `plain` fields as the class names and types them now.

    Reading does this until the back-fill has stored the result, and always for what was stored in the past. Raises
    InvalidBlocks when a function of a field fails.
    """
    values = dict(block.values)
    for name, marks in past_of(cls).items():
        if name not in plain:
            continue
        try:
            if name in values:
                values[name] = _converted(cls, name, values[name], marks)
            elif found := next(_of_the_past(name, marks, block), None):
                values[name] = found[0]
        except InvalidBlocks:
            raise
        except Exception as error:  # a function of an organisation raises what it likes
            raise InvalidBlocks(
                f"Block {block.name} of subscription {block.subscription_id} gets no value for '{name}': "
                f"{type(error).__name__}: {error}."
            ) from error
    return values


def filler_of(cls: type[BaseModel], name: str) -> FilledBy | None:
    """The function that gives a field its first value, if it has one."""
    return next((one for one in past_of(cls).get(name, ()) if isinstance(one, FilledBy)), None)


def of_dump(cls: type[BaseModel], data: Mapping[str, Any], former_blocks: Container[str]) -> Mapping[str, Any]:
    """A dump that was kept over a change, as in the state of a process, read as stored values are.

    What the class no longer has is left out, and a block of a former name gets the present one. Of other blocks only
    those that the dump holds can be asked.
    """
    if past_of(cls):
        data = present_values(cls, cls.model_fields, _dumped_block(data))
    if data.get("name") in former_blocks:
        data = {key: value for key, value in data.items() if key != "name"}
    known = {*cls.model_fields, *(info.alias for info in cls.model_fields.values() if info.alias)}
    return {key: value for key, value in data.items() if key in known}


def _dumped_block(data: Mapping[str, Any]) -> StoredBlock:
    def nearest(name: str) -> list[StoredBlock]:
        level: list[Any] = list(data.values())
        while level:
            held = [
                each for one in level for each in (one if isinstance(one, list) else [one]) if isinstance(each, dict)
            ]
            if found := [_dumped_block(one) for one in held if one.get("name") == name]:
                return found
            level = [value for one in held for value in one.values()]
        return []

    owner = data.get("owner_subscription_id") or data.get("subscription_id")
    return StoredBlock(str(data.get("name")), data, data.get("label"), owner, data.get("status"), nearest)


def _converted(cls: type[BaseModel], name: str, value: Any, marks: tuple[Marker, ...]) -> Any:
    converts = [one.convert for one in marks if isinstance(one, Formerly) and one.convert and one.name in ("", name)]
    if not converts or value == MASK or fits(cls, name, value):
        return value
    return converts[-1](value)


def _of_the_past(name: str, marks: tuple[Marker, ...], block: StoredBlock) -> Iterator[tuple[Any]]:
    for one in reversed(marks):
        if isinstance(one, FilledBy):
            yield (one.function(block),)
            continue
        key = one.name or name
        for value in _sources(one, key, block):
            yield (one.convert(value) if one.convert else value,)


def _sources(marker: Formerly, key: str, block: StoredBlock) -> list[Any]:
    if not marker.block:
        return [block.values[key]] if key in block.values else []
    found = [other.values[key] for other in block.nearest(marker.block) if key in other.values]
    if any(value != found[0] for value in found):
        raise InvalidBlocks(
            f"Block {block.name} of subscription {block.subscription_id} is as near to several blocks "
            f"'{marker.block}' with different '{key}'; say with FilledBy which of them counts."
        )
    return found


def fits(cls: type[BaseModel], name: str, value: Any) -> bool:
    """Whether a stored value is one of the field's type as JSON has it, without any conversion."""
    try:
        _adapter(cls, name).validate_json(to_json(value), strict=True)
    except ValidationError:
        return False
    return True


@cache
def _adapter(cls: type[BaseModel], name: str) -> TypeAdapter[Any]:
    info = cls.model_fields[name]
    annotation: Any = Annotated[info.annotation, info]
    return TypeAdapter(annotation)


def _named(function: Any) -> str:
    return str(getattr(function, "__name__", None) or type(function).__name__)
