"""A product as its files are written: names and types looked up, and code for what depends on them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product as combinations
from typing import Any

from orchestrator_defs.scaffolding.coded_values import STAGES, Block, Value, class_name_of, item_type
from orchestrator_defs.scaffolding.example import Example
from orchestrator_defs.scaffolding.faults import Fault, Place
from orchestrator_defs.scaffolding.plain_types import PLAIN, Unfit, enum_type, quoted, value_type
from orchestrator_defs.scaffolding.present_products import Existing, Relation
from orchestrator_defs.scaffolding.product_file import (
    BlockText,
    FieldText,
    FixedInputText,
    ProductText,
    ValidationText,
    WorkflowText,
)

WORKFLOWS = ("create", "modify", "validate", "reconcile", "terminate")


@dataclass(frozen=True)
class FixedInput:
    """A value that each product of the file fixes, with its values as code and as people read them."""

    name: str
    kind: str
    members: Mapping[str, Any]
    description: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ProductSpec:
    """A product with all that its templates need. Raises Fault or ScaffoldingError for what cannot be written."""

    text: ProductText
    existing: Existing = field(default_factory=Existing)

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        plain = self.text.name.replace("_", " ")
        return plain[0].upper() + plain[1:] if plain.islower() else plain

    @property
    def module(self) -> str:
        """The name of its modules, and in the names of its workflows."""
        return self.text.variable or snake(self.text.name)

    @property
    def class_name(self) -> str:
        """The name of its classes, and its type."""
        given = self.text.type or class_name_of(self.text.name)
        return given[:1].upper() + given[1:]

    @property
    def tag(self) -> str:
        """Its tag in the catalogue."""
        return self.text.tag or self.module.replace("_", "").upper()[:20]

    @property
    def description(self) -> str:
        """What it is, in the middle of a sentence or as one."""
        return self.text.description or self.name

    @property
    def noun(self) -> str:
        """Its name inside a sentence."""
        return " ".join(word if word[1:] != word[1:].lower() else word.lower() for word in self.name.split(" "))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Its blocks, each after those that it holds; the last is the root. Raises Fault."""
        texts = {block.type: (index, block) for index, block in enumerate(self.text.product_blocks)}
        held = {kind: {item_type(one) for one in block.fields} & texts.keys() for kind, (_, block) in texts.items()}
        made: dict[str, Block] = {}
        while len(made) < len(texts):
            ready = [kind for kind, needs in held.items() if kind not in made and needs <= made.keys()]
            if not ready:
                left = ", ".join(kind for kind in texts if kind not in made)
                raise Fault(("product_blocks",), f"hold each other in a circle: {left}; a block cannot hold itself.")
            for kind in ready:
                made[kind] = self._block(*texts[kind], made)
        roots = [kind for kind in texts if not any(kind in needs for needs in held.values())]
        if len(roots) > 1:
            names = ", ".join(roots)
            raise Fault(
                ("product_blocks",), f"has several blocks that no other holds: {names}; exactly one is the root."
            )
        return tuple(sorted(made.values(), key=lambda one: one.type == roots[0]))

    def _block(self, index: int, text: BlockText, made: Mapping[str, Block]) -> Block:
        place: Place = ("product_blocks", index)
        fields = tuple(
            self._value((*place, "fields", number), one, text.type, made) for number, one in enumerate(text.fields)
        )
        name = text.block_name or text.type
        return Block(text.type, text.variable or snake(text.name), name, line_of(text.description), fields)

    def _value(self, place: Place, text: FieldText, owner: str, made: Mapping[str, Block]) -> Value:
        text = text.model_copy(update={"description": line_of(text.description)})
        value, kind = Value(text.name, text, place, owner), item_type(text)
        where = (*place, "list_type" if text.type == "list" else "type")
        if (needed := {"list": "list_type", "enum": "values"}.get(text.type)) and not getattr(text, needed):
            raise Fault(place, f"has no `{needed}`; say what the {text.type} {text.name!r} has.")
        if kind in made:
            return replace(value, nested=made[kind])
        if kind in self.existing.relations and "." not in kind:
            return replace(value, relation=self.existing.relations[kind])
        try:
            if text.type == "enum":
                found, members = enum_type(value.class_name, text.enum_type or _base(text.values), text.values)
                return replace(value, type=found, members=members)
            bounds = {"ge": text.min_value, "le": text.max_value}
            lengths = {"min_length": text.min_length, "max_length": text.max_length}
            return replace(value, type=value_type(kind, (bounds if kind != "str" else lengths).items()))
        except Unfit as unfit:
            known = ", ".join([*PLAIN, "list", "enum", *made, *dict.fromkeys(self.existing.relations)])
            more = "" if str(unfit).endswith(".") else f"; there are {known}, and names such as ipaddress.IPv4Address."
            raise Fault((*place, "values") if text.type == "enum" else where, f"{unfit}{more}") from None

    @property
    def root(self) -> Block:
        """The block of the subscription."""
        return self.blocks[-1]

    @property
    def attribute(self) -> str:
        """The name of its root block in a subscription."""
        return self.root.variable

    @property
    def local(self) -> str:
        """What the root block is called where its fields have names, too."""
        return "block" if any(one.name == self.attribute for one in self.root.fields) else self.attribute

    @property
    def nested(self) -> tuple[Block, ...]:
        """The blocks below the root."""
        return self.blocks[:-1]

    @property
    def values(self) -> list[Value]:
        """All fields of all blocks."""
        return [one for block in self.blocks for one in block.fields]

    @property
    def relations(self) -> list[Relation]:
        """The products to which it relates, each once."""
        return list({one.relation.subscription: one.relation for one in self.values if one.relation}.values())

    @property
    def described(self) -> tuple[Value, ...]:
        """The values that the description of a subscription shows."""
        shown = [one for one in self.root.listed if one.type and not one.is_list and one.stage in STAGES[:2]]
        return tuple(shown[:3])

    @cached_property
    def fixed_inputs(self) -> tuple[FixedInput, ...]:
        """Its fixed inputs. Raises Fault."""
        return tuple(self._fixed_input(index, one) for index, one in enumerate(self.text.fixed_inputs))

    def _fixed_input(self, index: int, text: FixedInputText) -> FixedInput:
        place = ("fixed_inputs", index)
        kind, given = text.type, list(text.values)
        members: dict[str, Any] = {}
        name = class_name_of(text.name)
        try:
            if kind == "enum":
                base = text.enum_type or _base(given)
                made, members = enum_type(
                    name if name.startswith(self.class_name) else self.class_name + name, base, given
                )
            else:
                made = value_type(kind)
                default = [True, False] if kind == "bool" else [made.examples()[0]]
                given = given or ([text.default] if text.default is not None else default)
            words = text.name.replace("_", " ")
            shown = {True: words, False: f"no {words}"} if kind == "bool" else {}
            values = tuple((made.spelt(one), shown.get(one, str(one))) for one in given)
        except Unfit as unfit:
            raise Fault((*place, "values"), str(unfit)) from None
        return FixedInput(text.name, made.spelling, members, line_of(text.description), values)

    @property
    def products(self) -> list[tuple[str, str]]:
        """The products of its fixed inputs: names, and the fixed inputs as code."""
        found = []
        for chosen in combinations(*(one.values for one in self.fixed_inputs)):
            shown = [words for (_, words), one in zip(chosen, self.fixed_inputs, strict=True) if len(one.values) > 1]
            inputs = [f'"{one.name}": {code}' for (code, _), one in zip(chosen, self.fixed_inputs, strict=True)]
            found.append((" ".join([self.name, *shown]), ", ".join(inputs)))
        return found

    @property
    def enums(self) -> Iterator[tuple[str, str, list[tuple[str, str]], str]]:
        """The enums: name, base, members, and what they are for."""
        own = [
            (one.type.spelling, one.members, one.text.description) for one in self.values if one.type and one.members
        ]
        fixed = [(one.kind, one.members, one.description) for one in self.fixed_inputs if one.members]
        for name, members, description in [*fixed, *own]:
            base = "StrEnum" if isinstance(next(iter(members.values())), str) else "IntEnum"
            yield name, base, [(key, quoted(value)) for key, value in members.items()], description

    def workflow(self, name: str) -> WorkflowText:
        """What the file says about a workflow."""
        said = next((one for one in self.text.workflows if one.name == name), None)
        return said or WorkflowText.model_validate({"name": name})

    @property
    def workflows(self) -> list[str]:
        """The workflows that are written. Without anything to change there is nothing to modify."""
        enabled = [name for name in WORKFLOWS if self.workflow(name).enabled]
        return [name for name in enabled if name != "modify" or self.root.changeable]

    @property
    def has_summary(self) -> bool:
        """Whether a page shows what was filled in, before the start."""
        return self.text.config.summary_forms or self.text.config.create_summary_forms

    @property
    def field_validations(self) -> list[tuple[ValidationText, Value]]:
        """The validations of fields, each once, with the first field that has it."""
        found = {check.id: (check, one) for one in reversed(self.values) for check in one.text.validations}
        return list(reversed(found.values()))

    @cached_property
    def example(self) -> Example:
        """An order, for tests and run configs."""
        return Example(self.root, self.existing)


def _base(values: Sequence[Any]) -> str:
    return "int" if values and all(isinstance(one, int) for one in values) else "str"


def line_of(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split())


def snake(name: str) -> str:
    """A name as that of a module."""
    return re.sub(r"[ -]", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name)).lower()
