"""The shape of a model family, for what shows models without loading them: its fields over all statuses."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from resources.domain.models.block_model import BlockModel
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import BlockField
from resources.domain.models.lifecycle import family
from resources.domain.models.registry import reachable_classes


@dataclass(frozen=True)
class Shape:
    """By camelCase name: a field's own name with its annotation, or a field of blocks.

    `values` are the plain fields, `computed` the computed ones.
    """

    values: Mapping[str, tuple[str, Any]]
    computed: Mapping[str, tuple[str, Any]]
    blocks: Mapping[str, BlockField]


@cache
def camel(name: str) -> str:
    """A field's name as clients write it."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def base_of(cls: type[DomainModel]) -> type[DomainModel]:
    """The class that began the family; the class itself without one."""
    return cls.__base_type__ or cls


@cache
def shape_of(base: type[DomainModel]) -> Shape:
    """All fields of a family: some classes have more than others."""
    values: dict[str, tuple[str, Any]] = {}
    computed: dict[str, tuple[str, Any]] = {}
    blocks: dict[str, BlockField] = {}
    for cls in family(base):
        for name in cls.plain_fields():
            info = cls.model_fields[name]
            values.setdefault(camel(name), (name, _with_metadata(info.annotation, info.metadata)))
        for name, field in cls.block_fields().items():
            blocks.setdefault(camel(name), field)
        for name, about in cls.model_computed_fields.items():
            computed.setdefault(camel(name), (name, about.return_type))
    return Shape(values, computed, blocks)


def _with_metadata(annotation: Any, metadata: Iterable[Any]) -> tuple[Any, tuple[Any, ...]]:
    return annotation, tuple(metadata)


def block_bases(models: Iterable[type[DomainModel]]) -> Iterator[type[BlockModel]]:
    """The first class of each block that these models may hold, each once."""
    found = (base_of(cls) for model in models for cls in reachable_classes(model))
    for base in dict.fromkeys(found):
        if issubclass(base, BlockModel) and base.__block_name__ is not None:
            yield base
