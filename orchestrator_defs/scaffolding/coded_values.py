"""The fields of the blocks of a product, and the code that each needs in models, forms and steps."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator_defs.scaffolding.faults import Place
from orchestrator_defs.scaffolding.plain_types import ValueType, quoted
from orchestrator_defs.scaffolding.present_products import Relation
from orchestrator_defs.scaffolding.product_file import FieldText

STAGES = ("Inactive", "Provisioning", "")
"""How the classes of a block end; the last is that in service."""


@dataclass(frozen=True)
class Value:
    """A field of a block: a value, or blocks of the product itself or of another."""

    name: str
    text: FieldText
    place: Place
    owner: str
    """The type of its block."""
    type: ValueType | None = None
    members: Mapping[str, Any] = field(default_factory=dict)
    """Of an enum of its own, by name."""
    nested: "Block | None" = None
    relation: Relation | None = None

    @property
    def is_list(self) -> bool:
        """Whether it holds several."""
        return self.text.type == "list"

    @property
    def stage(self) -> str | None:
        """From which class on it has a value; None: it may always be missing."""
        said = {"initial": "Inactive", "inactive": "Inactive", "provisioning": "Provisioning", "active": ""}
        found = said.get(self.text.required or "none")
        if self.type is None and (found is not None or self.is_list):
            return "Provisioning"  # an order names the blocks that it needs
        return found

    @property
    def class_name(self) -> str:
        """Its type in code, of one value: an alias where there is more to say."""
        name = class_name_of(self.name)
        return name if name.startswith(self.owner) and name != self.owner else self.owner + name

    @property
    def has_alias(self) -> bool:
        """Whether its type has a name of its own, which says limits and help."""
        if self.type is None or self.members or self.text.assigned:
            return False
        return bool(self.type.limits or self.is_list or self.text.description)

    @property
    def size(self) -> str:
        """The bounds of a list."""
        bounds = [str(self.text.min_items or 0), *([str(self.text.max_items)] if self.text.max_items else [])]
        return f"Len({', '.join(bounds)})"

    @property
    def item(self) -> str:
        """The type of one item in code, as it is in a step."""
        if self.relation:
            return "UUID"
        return f"{self.nested.type}Order" if self.nested else self.type.spelling  # type: ignore[union-attr]

    @property
    def parameter(self) -> str:
        """It as a parameter of a step."""
        return self._optional(f"list[{self.item}]" if self.is_list else self.item)

    @property
    def alias(self) -> str:
        """What its alias stands for."""
        kind = self.type
        assert kind is not None
        limits = [f"{name}={value}" for name, value in kind.limits]
        parts = [*limits, *([f"description={quoted(self.text.description)}"] if self.text.description else [])]
        if not self.is_list:
            return f"Annotated[{kind.spelling}, Field({', '.join(parts)})]"
        item = f"Annotated[{kind.spelling}, Field({', '.join(limits)})]" if limits else kind.spelling
        help_ = f", Field({parts[-1]})" if self.text.description else ""
        return f"Annotated[list[{item}], {self.size}{help_}]"

    @property
    def plain(self) -> str:
        """Its type in a block or a form, without None."""
        if self.has_alias or self.members:
            return self.class_name
        return self.type.spelling if self.type else self.item

    @property
    def in_form(self) -> str:
        """It as a field of a form, with its validations."""
        kind = f"{self.relation.subscription}Id" if self.relation else self.plain
        kind = f"Annotated[list[{kind}], {self.size}]" if self.is_list and not self.type else kind
        checks = [f"AfterValidator({one.id})" for one in self.text.validations]
        return self._optional(f"Annotated[{kind}, {', '.join(checks)}]" if checks else kind)

    def _optional(self, kind: str) -> str:
        return f"{kind} | None" if self.stage is None else kind

    @property
    def is_required(self) -> bool:
        """Whether an order has to say it."""
        return self.stage is not None and self.default is None

    @property
    def default(self) -> str | None:
        """Its default as code."""
        if self.text.default is None or self.type is None:
            return None if self.stage is not None else "None"
        if self.is_list:
            return f"[{', '.join(self.type.spelt(one) for one in self.text.default)}]"
        return self.type.spelt(self.text.default)

    @property
    def given(self) -> str:
        """The default as what follows a parameter or a field."""
        return f" = {self.default}" if self.default is not None else ""

    def declared(self, stage: str) -> str | None:
        """The line of it in the class for a stage; None if that class says nothing new."""
        first = stage == "Inactive"
        if self.type is None:
            of = self.relation.class_for(stage) if self.relation else f"{self.nested.type}Block{stage}"  # type: ignore[union-attr]
            known = self.stage is not None and STAGES.index(stage) >= STAGES.index(self.stage)
            if self.is_list:
                unnarrowed = "" if first else "  # type: ignore[assignment]"
                return f"{self.name}: Annotated[list[{of}], {self.size if known else self._size_before}]{unnarrowed}"
            return f"{self.name}: {of}" if known else f"{self.name}: {of} | None = None"
        if first and self.stage != "Inactive":
            return f"{self.name}: {self.plain} | None = None"
        return f"{self.name}: {self.plain}{self.given if first else ''}" if self.stage == stage else None

    @property
    def _size_before(self) -> str:
        return f"Len(0, {self.text.max_items})" if self.text.max_items else "Len(0)"

    def wanted(self, block: str) -> str:
        """What the controller should have of it, as an expression on its block."""
        value = f"{block}.{self.name}"
        one = "one" if self.is_list else value
        if self.relation:
            one = f"str({one}.owner_subscription_id)"
        elif self.nested:
            one = f"wanted_{self.nested.variable}({one})"
        else:
            return value
        if self.is_list:
            return f"[{one} for one in {value}]"
        return one if self.stage is not None else f"{one} if {value} else None"

    def ordered(self, given: str, subscription_id: str) -> str:
        """Its value in a new block, as an expression on what was ordered."""
        one = "one" if self.is_list else given
        if self.relation:
            one = f"{self.relation.subscription}.from_subscription({one}).{self.relation.attribute}"
        elif self.nested:
            one = f"make_{self.nested.variable}({subscription_id}, {one})"
        else:
            return given
        if self.is_list:
            return f"[{one} for one in {given}]"
        return one if self.stage is not None else f"{one} if {given} else None"

    def examples(self) -> tuple[Any, Any]:
        """Two values as JSON, of what is no block."""
        assert self.type is not None
        if not self.is_list:
            return self.type.examples(self.text.examples)
        one, other = self.type.examples([each for listed in self.text.examples for each in listed])
        return [one] * max(self.text.min_items or 1, 1), [other] * max(self.text.min_items or 1, 1)


@dataclass(frozen=True)
class Block:
    """A product block with its fields."""

    type: str
    variable: str
    name: str
    description: str
    fields: tuple[Value, ...]

    @property
    def ordered(self) -> tuple[Value, ...]:
        """What an order says of it: first what it has to."""
        return tuple(sorted((one for one in self.fields if not one.text.assigned), key=lambda one: not one.is_required))

    @property
    def assigned(self) -> Value | None:
        """The field that the controller assigns."""
        return next((one for one in self.fields if one.text.assigned), None)

    @property
    def listed(self) -> tuple[Value, ...]:
        """What an order says of it, in the order of the file."""
        return tuple(one for one in self.fields if not one.text.assigned)

    @property
    def changeable(self) -> tuple[Value, ...]:
        """What the modify workflow may change; what has to be said first."""
        found = (one for one in self.listed if one.text.is_modifiable and one.type is not None)
        return tuple(sorted(found, key=lambda one: one.stage is None))

    def declared(self, stage: str) -> Iterator[str]:
        """The lines of the class for a stage."""
        for one in self.fields:
            if (line := one.declared(stage)) is not None:
                yield line
                if one.text.assigned and one.text.description and stage == "Inactive":
                    yield f'"""{one.text.description}"""'


def item_type(text: FieldText) -> str:
    """The type of one value of a field."""
    return text.list_type or "" if text.type == "list" else text.type


def class_name_of(name: str) -> str:
    """A name as that of a class."""
    return "".join(word[0].upper() + word[1:] for word in re.split(r"[ _-]", name) if word)
