"""The names under which GraphQL shows the registered models: one name is one type."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin

from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import alternatives, stripped
from resources.domain.models.shapes import base_of, block_bases, shape_of

_RESERVED = """
BigInt BlockOwner Boolean CustomerDescription CustomerType DateTime FixedInput Float GraphqlFilter GraphqlSort ID
IPv4Address IPv4Interface IPv4Network IPv6Address IPv6Interface IPv6Network Int JSON Mutation MutationError
NotFoundError PageInfo PastValidation Payload PlainSubscription ProcessCreated ProcessStep ProcessType ProductBlock
ProductBlockInstance ProductType Query ResourceType ScheduledTask SortOrder String SubscriptionInterface UUID
UserPermissions Validation Version VlanRangesType Workflow WorkflowStep
"""
RESERVED = frozenset(_RESERVED.split())
"""What the server itself names so."""
NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


@dataclass
class TypeNames:
    """Class -> its name in GraphQL; `clashes` has a sentence for each class that could not have the name of its own."""

    names: dict[type[Any], str] = field(default_factory=dict)
    clashes: list[str] = field(default_factory=list)

    def add(self, cls: type[Any], ending: str = "") -> None:
        """Name a class: like itself without `Inactive` and `Initial`, else with its package before that."""
        if cls in self.names:
            return
        plain = re.sub("Inactive|Initial", "", cls.__name__) + ending
        taken = {*self.names.values(), *RESERVED}
        *package, module = cls.__module__.split(".")
        parts = [*package[:1], module, *package[1:]]
        candidates = [plain, *("".join(map(_title, parts[: n + 1])) + plain for n in range(len(parts)))]
        known = (one for one in candidates if one not in taken and NAME.fullmatch(one) and not one.startswith("__"))
        name = next(known, f"{plain}{len(taken)}")
        self.names[cls] = name
        if name != plain:
            other = next((f"{one.__module__}.{one.__qualname__}" for one in self.names if self.names[one] == plain), "")
            self.clashes.append(
                f"GraphQL has a type {plain} already ({other or 'its own'}), so {cls.__module__}.{cls.__qualname__} is"
                f" {name} there. Rename the class to choose the name."
            )


def type_names(orchestrators: Iterable[Orchestrator]) -> TypeNames:
    """The names of all models, blocks and enums of some orchestrators."""
    found = TypeNames()
    models = list(models_of(orchestrators).values())
    bases: list[type[DomainModel]] = [*dict.fromkeys(map(base_of, models)), *block_bases(models)]
    for base in bases:
        found.add(base, "" if base.__dict__.get("__block_name__") else "Subscription")
    for base in bases:
        for enum in _enums(base):
            found.add(enum)
    return found


def models_of(orchestrators: Iterable[Orchestrator]) -> dict[str, type[DomainModel]]:
    """The models of the products that some orchestrators declare, by the product's name."""
    return {product.name: product.model for one in orchestrators for product in one.catalogue.products}


def plain_type(annotation: Any) -> Any:
    """The one type of an annotation that may be None too; None for a union of several."""
    wanted = [one for one in alternatives(annotation) if one is not NoneType]
    return stripped(wanted[0], ())[0] if len(wanted) == 1 else None


def item_type(annotation: Any) -> Any:
    """The type of the items of a list or set; None for anything else."""
    arguments = get_args(annotation)
    is_list = get_origin(annotation) in (list, set, frozenset) and len(arguments) == 1
    return arguments[0] if is_list else None


def _enums(base: type[DomainModel]) -> Iterator[type[Enum]]:
    shape = shape_of(base)
    annotations = [annotation[0] for _, annotation in shape.values.values()]
    for annotation in (*annotations, *(returned for _, returned in shape.computed.values())):
        wanted = plain_type(annotation)
        while (item := item_type(wanted)) is not None:
            wanted = plain_type(item)
        if isinstance(wanted, type) and issubclass(wanted, Enum):
            yield wanted


def _title(word: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in word.split("_"))
