"""The kinds of fields of a domain model, read from annotations: a plain value, a block, or a list of blocks."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import BaseMetadata, Len, MaxLen, MinLen
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from resources.domain.models.lifecycle import Specialised
from resources.errors import ModelDeclarationError


class Block(Specialised):
    """Marks the classes that are blocks, so that annotations can be read without importing them."""


@dataclass(frozen=True, slots=True)
class PlainField:
    """A value: a resource type on a block, a fixed input on a subscription."""

    name: str
    is_unordered: bool
    """A set: its JSON must be sorted, or an unchanged value would look changed."""
    is_secret: bool
    """Contains a SecretStr: stored in the block's row only, and masked wherever it is shown."""
    has_default: bool
    absent: Any
    """The meaning of a missing value: the class default, else None or [] where allowed, else `...` for none."""


@dataclass(frozen=True, slots=True)
class BlockField:
    """One block, perhaps optional, or a list of blocks; of one class or of several."""

    name: str
    types: tuple[type[Block], ...]
    is_list: bool
    is_optional: bool
    min_length: int
    max_length: int | None
    has_default: bool

    @property
    def expected(self) -> str:
        """The declared classes, for messages."""
        return " or ".join(block.__name__ for block in self.types)


Field = PlainField | BlockField


def classify(owner: type[BaseModel], name: str, info: FieldInfo) -> Field:
    """Classify a field. Raises ModelDeclarationError with class and field when it cannot hold blocks so."""
    annotation, metadata = stripped(info.annotation, info.metadata)
    if not _mentions_block(annotation):
        return _plain_field(name, annotation, info)
    members = [member for member in alternatives(annotation) if member is not NoneType]
    is_optional = len(members) < len(alternatives(annotation))
    is_list = len(members) == 1 and get_origin(members[0]) is list
    where = f"{owner.__name__}.{name}"
    if is_list:
        if is_optional:
            raise ModelDeclarationError(f"{where}: a list of blocks is empty rather than None; leave out `| None`.")
        item, inner = stripped(get_args(members[0])[0], ())
        members = list(alternatives(item))
        metadata = [*metadata, *inner]
    minimum, maximum = length_limits(metadata) if is_list else (0, None)
    return BlockField(
        name, _block_types(where, members), is_list, is_optional, minimum, maximum, not info.is_required()
    )


def is_unresolved(annotation: Any) -> bool:
    """Whether the annotation names a class that does not exist yet."""
    if isinstance(annotation, str | ForwardRef):
        return True
    return any(is_unresolved(part) for part in _parts(annotation))


def length_limits(metadata: Iterable[Any]) -> tuple[int, int | None]:
    """The lengths that `Len`, `MinLen` and `MaxLen` allow; the strictest of each."""
    minimum, maximum = 0, None
    for constraint in metadata:
        if isinstance(constraint, Len | MinLen):
            minimum = max(minimum, constraint.min_length)
        if isinstance(constraint, Len | MaxLen) and constraint.max_length is not None:
            maximum = constraint.max_length if maximum is None else min(maximum, constraint.max_length)
    return minimum, maximum


def _plain_field(name: str, annotation: Any, info: FieldInfo) -> PlainField:
    members = alternatives(annotation)
    origins = [get_origin(member) or member for member in members]
    return PlainField(
        name=name,
        is_unordered=any(isinstance(origin, type) and issubclass(origin, AbstractSet) for origin in origins),
        is_secret=any(_is_class(leaf, SecretStr | SecretBytes) for leaf in leaves(annotation)),
        has_default=not info.is_required(),
        absent=_absent(info, members, origins),
    )


def _absent(info: FieldInfo, members: Iterable[Any], origins: Iterable[Any]) -> Any:
    if not info.is_required():
        return ... if info.default_factory else info.default
    if NoneType in members:
        return None
    return [] if list in origins else ...


def _block_types(where: str, members: Iterable[Any]) -> tuple[type[Block], ...]:
    members = [stripped(member, ())[0] for member in members]
    if NoneType in members:
        raise ModelDeclarationError(f"{where}: a list of blocks cannot have gaps; leave out `| None` inside the list.")
    others = [member for member in members if not _is_class(member, Block)]
    if others:
        names = ", ".join(getattr(other, "__name__", str(other)) for other in others)
        raise ModelDeclarationError(
            f"{where} mixes blocks with {names}; a field of blocks holds one block, perhaps None, one of several "
            "kinds, or a list of these."
        )
    return tuple(members)


def stripped(annotation: Any, metadata: Iterable[Any]) -> tuple[Any, list[Any]]:
    """The annotation without `Annotated` and type aliases, and the metadata found on the way."""
    found: list[Any] = [one for one in metadata if isinstance(one, BaseMetadata | Len)]
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            for one in more:
                found += one.metadata if isinstance(one, FieldInfo) else [one]
        elif not isinstance(annotation, type) and hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation, found


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union, flat; the annotation itself when it is none."""
    annotation, _ = stripped(annotation, ())
    if get_origin(annotation) in (Union, UnionType):
        return tuple(member for part in get_args(annotation) for member in alternatives(part))
    return (annotation,)


def _mentions_block(annotation: Any) -> bool:
    return any(_is_class(leaf, Block) for leaf in leaves(annotation))


def leaves(annotation: Any) -> Iterator[Any]:
    """The types that an annotation mentions, without unions, lists and aliases around them."""
    annotation, _ = stripped(annotation, ())
    parts = _parts(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from leaves(part)


def _parts(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return ()
    parts: list[Any] = []
    for part in get_args(annotation):
        parts += part if isinstance(part, list) else [part]
    return tuple(part for part in parts if not isinstance(part, TypeVar))


def _is_class(annotation: Any, base: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, base)
