"""Declares product blocks and subscriptions: what their classes have in common, and their checks at import."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

from resources.domain.models.fields import BlockField, Field, PlainField, classify, is_unresolved
from resources.domain.models.formerly import KEPT, former_names, of_dump
from resources.domain.models.lifecycle import Specialised, class_for, forget, register
from resources.errors import ModelDeclarationError
from resources.types import SubscriptionLifecycle


class DomainModel(BaseModel, Specialised):
    """A pydantic model with a lifecycle: validated on assignment, and equal to another with the same content."""

    model_config = ConfigDict(
        validate_assignment=True,
        validate_default=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        ser_json_inf_nan="strings",
    )

    __common__: ClassVar[frozenset[str]] = frozenset()
    """The fields that every block, or every subscription, has; they are no resource types and no fixed inputs."""
    __fields__by_kind__: ClassVar[tuple[Mapping[str, PlainField], Mapping[str, BlockField]] | None] = None

    @model_validator(mode="before")
    @classmethod
    def _from_dump(cls, data: Any, info: ValidationInfo) -> Any:
        """A dump has computed fields, and must be read again; one that was kept may be from before a change."""
        if not isinstance(data, Mapping):
            return data
        if info.context is KEPT:
            return of_dump(cls, data, former_names(getattr(cls, "formerly", None)))
        computed = cls.model_computed_fields
        if computed.keys().isdisjoint(data):
            return data
        return {name: value for name, value in data.items() if name not in computed}

    @classmethod
    def plain_fields(cls) -> Mapping[str, PlainField]:
        """The values: resource types of a block, fixed inputs of a subscription."""
        return _fields_by_kind(cls)[0]

    @classmethod
    def block_fields(cls) -> Mapping[str, BlockField]:
        """The fields that hold blocks."""
        return _fields_by_kind(cls)[1]

    def __eq__(self, other: object) -> bool:
        # The record from the database is private, and not compared.
        return isinstance(other, DomainModel) and type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]


def declare(cls: type[DomainModel], lifecycle: list[SubscriptionLifecycle] | None) -> None:
    """Give a class its place in its family and check its blocks. Raises ModelDeclarationError."""
    cls.__lifecycles__ = _checked_statuses(cls, lifecycle)
    cls.__fields__by_kind__ = None
    register(cls)
    try:
        if cls.__pydantic_complete__:
            _fields_by_kind(cls)
    except ModelDeclarationError:
        forget(cls)
        raise


def refuse_unknown_keywords(cls: type[Any], unknown: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise ModelDeclarationError for a keyword in a class header that means nothing."""
    if unknown:
        raise ModelDeclarationError(
            f"class {cls.__name__}: unknown keyword {', '.join(sorted(unknown))}; known are {', '.join(known)}."
        )


def refuse_taken_names(cls: type[DomainModel]) -> None:
    """A field with the name of a common field or property would silently replace it, and only fail when saved."""
    properties = {name for base in cls.__mro__[1:] for name, one in vars(base).items() if type(one) is property}
    taken = (cls.__common__ | properties).intersection(inspect.get_annotations(cls))
    if taken and "__common__" not in cls.__dict__:
        known = cls.__common__ | {name for name in properties if not name.startswith(("_", "model_"))}
        raise ModelDeclarationError(
            f"class {cls.__name__}: {', '.join(sorted(taken))} is taken by every model; choose another name. "
            f"Taken are {', '.join(sorted(known))}."
        )


def _checked_statuses(
    cls: type[DomainModel], lifecycle: list[SubscriptionLifecycle] | None
) -> tuple[SubscriptionLifecycle, ...]:
    try:
        return tuple(SubscriptionLifecycle(status) for status in lifecycle or ())
    except (TypeError, ValueError):
        raise ModelDeclarationError(
            f"class {cls.__name__}: lifecycle={lifecycle!r} is not a list of statuses; "
            f"they are {', '.join(SubscriptionLifecycle)}."
        ) from None


def _fields_by_kind(cls: type[DomainModel]) -> tuple[Mapping[str, PlainField], Mapping[str, BlockField]]:
    """The fields by kind, read and checked once: at import, or at first use when they name a later class."""
    found = cls.__dict__.get("__fields__by_kind__")
    if found is None:
        fields = list(_classified(cls))
        plain = {field.name: field for field in fields if isinstance(field, PlainField)}
        blocks = {field.name: field for field in fields if isinstance(field, BlockField)}
        for field in blocks.values():
            _check_lifecycle(cls, field)
        found = cls.__fields__by_kind__ = (plain, blocks)
    return found


def _classified(cls: type[DomainModel]) -> Iterator[Field]:
    if not cls.__pydantic_complete__:
        cls.model_rebuild(raise_errors=False)
    for name, info in cls.model_fields.items():
        if name in cls.__common__:
            continue
        if is_unresolved(info.annotation):
            raise ModelDeclarationError(f"{cls.__name__}.{name}: {info.annotation} names a class that does not exist.")
        yield classify(cls, name, info)


def _check_lifecycle(cls: type[DomainModel], field: BlockField) -> None:
    for status in cls.__lifecycles__:
        for block in field.types:
            needed = class_for(block, status)
            if not issubclass(block, needed):
                raise ModelDeclarationError(
                    f"{cls.__name__}.{field.name}: {block.__name__} is not suitable for status {status} of "
                    f"{cls.__name__}; use {needed.__name__}."
                )
