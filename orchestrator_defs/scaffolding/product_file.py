"""Reads the YAML file that describes a product: orchestrator-core's format, with a sentence for each mistake in it."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator_defs.scaffolding.faults import Fault, Place, ScaffoldingError

Stage = Literal["inactive", "initial", "provisioning", "active"]
Base = Literal["str", "int"]


class Section(BaseModel):
    """A mapping of the file; a key that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Settings(Section):
    """Settings of the whole product."""

    summary_forms: bool = False
    create_summary_forms: bool = False


class ValidationText(Section):
    """A validation whose body a person writes."""

    id: str
    description: str


class FixedInputText(Section):
    """A value that each product of the file fixes."""

    name: str
    type: Literal["str", "int", "bool", "enum"]
    description: str = ""
    enum_type: Base | None = None
    values: list[Any] = []
    default: Any = None


class FieldText(Section):
    """A field of a block. The last five keys are not in orchestrator-core's format."""

    name: str
    type: str
    description: str = ""
    list_type: str | None = None
    min_items: int | None = Field(None, ge=0)
    max_items: int | None = Field(None, ge=1)
    min_value: int | None = None
    max_value: int | None = None
    enum_type: Base | None = None
    values: list[Any] = []
    required: Stage | None = None
    default: Any = None
    modifiable: bool | None = None
    validations: list[ValidationText] = []
    min_length: int | None = Field(None, ge=0)
    max_length: int | None = Field(None, ge=1)
    unit: str = ""
    examples: list[Any] = []
    assigned: bool = False

    @property
    def is_modifiable(self) -> bool:
        """The key alone says yes, as in `modifiable:` without a value."""
        return "modifiable" in self.model_fields_set and self.modifiable is not False


class BlockText(Section):
    """A product block."""

    name: str
    type: str
    tag: str = ""
    description: str = ""
    block_name: str | None = None
    variable: str | None = None
    fields: list[FieldText] = Field(min_length=1)


class WorkflowText(Section):
    """What is special about a workflow."""

    name: Literal["create", "modify", "validate", "reconcile", "terminate"]
    enabled: bool = True
    validations: list[ValidationText] = []


class ProductText(Section):
    """The file as it stands, before names and types are looked up."""

    config: Settings = Settings()
    name: str
    type: str | None = None
    tag: str = ""
    description: str = ""
    variable: str | None = None
    fixed_inputs: list[FixedInputText] = []
    product_blocks: list[BlockText] = Field(min_length=1)
    workflows: list[WorkflowText] = []


class Lines:
    """Where what the file says stands in it."""

    def __init__(self, file: Path, root: yaml.Node | None = None) -> None:
        self._file, self._root = file, root

    def error(self, fault: Fault) -> ScaffoldingError:
        """The fault with the file, the line and the place."""
        at, below, shown = self._root, self._root, ""
        for part in fault.path:
            shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
            found = _entry(below, part)
            at, below = found or (at, None)
        where = f"{self._file}, line {at.start_mark.line + 1}" if at else str(self._file)
        return ScaffoldingError(f"{where}: {f'{shown} ' if shown else ''}{fault}")


def read_product_file(file: Path, text: str | None = None) -> tuple[ProductText, Lines]:
    """The product that a file, or `text` in its place, describes. Raises ScaffoldingError with file and line."""
    try:
        text = file.read_text(encoding="utf-8") if text is None else text
        root = yaml.compose(text, yaml.SafeLoader)
        said = yaml.safe_load(text)
    except OSError as error:
        raise ScaffoldingError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ScaffoldingError(f"{file} cannot be read: it is no text in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ScaffoldingError(f"{file}{line}: this is no YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ScaffoldingError(f"{file}: this is no YAML: {str(error).partition(chr(10))[0]}.") from None
    lines = Lines(file, root)
    try:
        if not isinstance(said, Mapping):
            raise Fault((), "describes no product; it is a mapping with name, type, product_blocks and so on.")
        _refuse_twice(root)
        return product_text(said), lines
    except Fault as fault:
        raise lines.error(fault) from None


def product_text(said: Mapping[str, Any]) -> ProductText:
    """The product of a mapping as the file has it. Raises Fault."""
    try:
        return ProductText.model_validate(said)
    except ValidationError as error:
        raise _first_fault(error) from None


def _first_fault(error: ValidationError) -> Fault:
    found = error.errors()[0]
    path, kind, given = tuple(found["loc"]), found["type"], found["input"]
    if kind == "missing":
        return Fault(path[:-1], f"has no `{path[-1]}`; give it one.")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), _keys_at(path[:-1]), 1)
        keys = f"; `{near[0]}` may be meant" if near else f"; there are {', '.join(_keys_at(path[:-1]))}"
        return Fault(path, f"is no key here{keys}.")
    message = found["msg"]
    return Fault(path, f"is {given!r}: {message[0].lower()}{message[1:]}.")


def _keys_at(path: Place) -> Sequence[str]:
    sections: dict[str, type[Section]] = {
        "config": Settings,
        "fixed_inputs": FixedInputText,
        "product_blocks": BlockText,
        "fields": FieldText,
        "workflows": WorkflowText,
        "validations": ValidationText,
    }
    last = next((part for part in reversed(path) if isinstance(part, str)), "")
    return list(sections.get(last, ProductText).model_fields)


def _refuse_twice(node: yaml.Node | None, path: Place = ()) -> None:
    """Refuse a key that stands twice in a mapping, of which YAML keeps the last without a word."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _refuse_twice(item, (*path, index))
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise Fault((*path, key.value), "stands there twice; leave one out.")
            seen.add(key.value)
            _refuse_twice(value, (*path, key.value))


def _entry(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Where an entry of a mapping or list begins, and its value."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    return None
