"""The run config of a job: `inputs`, filled in and typed as far as the form is known without running it."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum as PythonEnum
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dagster import Any as AnyValue
from dagster import (
    Array,
    Bool,
    ConfigMapping,
    DagsterInvalidConfigError,
    Enum,
    EnumValue,
    Field,
    Float,
    Int,
    Noneable,
    Permissive,
    Selector,
    String,
)
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from ops.starting.admission import product_page, subscription_page
from ops.steps.forms import EmptyPage, as_pages, holds_secret, is_static
from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.form_sketch import UNKNOWN, FieldSketch, FormSketch, PageSketch, sketch, sketch_page
from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Product
from resources.catalogue.kinds import PRODUCT
from resources.domain.models.formerly import former_names
from resources.runs.refusal import InvalidRunConfig
from resources.types import Target

SCALARS: dict[Any, Any] = {str: String, int: Int, float: Float, bool: Bool}
WORDS: dict[Any, str] = {int: "number", float: "number", bool: "true or false"}
SHOWN = 6
"""How many choices a filled-in value names."""
LONGEST_HINT = 70

PROCESS = Field(String, description="id of a process to continue, instead of starting a new one")


def continuing(process_id: Any) -> dict[str, Any]:
    """The run config of a run that continues a process, or executes one that was started before."""
    return {"process": str(process_id)}


class Launchpad(ConfigMapping):
    """The run config of a workflow's job: either `inputs`, or `process`. Its products come with the orchestrator."""

    products: dict[str, str]
    """The products that may be chosen: what may be written, a name or an id -> the product's name."""
    workflow: Workflow
    _made: ConfigMapping | None

    def __new__(cls, workflow: Workflow) -> "Launchpad":
        """Make the launchpad of a workflow."""
        made: Launchpad = super().__new__(
            cls, config_fn=lambda config: made.to_ops(config), receive_processed_config_values=False
        )
        made.workflow, made.products, made._made = workflow, {}, None
        return made

    def offer(self, products: Iterable[Product]) -> None:
        """Offer products, by name or by id, as choices of a create workflow."""
        for product in products:
            if product.product_type in self.workflow.product_types:
                ids = [catalogue_id(PRODUCT.title, name) for name in (product.name, *former_names(product.formerly))]
                self.products |= {product.name: product.name} | {str(each): product.name for each in ids}
        self._made = None

    @property
    def config_schema(self) -> Any:
        """The schema, made when it is first asked for."""
        if self._made is None:
            self._made = ConfigMapping(self.to_ops, self.schema(), receive_processed_config_values=False)
        return self._made.config_schema

    def schema(self) -> Any:
        """What the launchpad takes. A form that needs nothing may be left out; else one of the two is needed."""
        fields = {"inputs": self.inputs(), "process": PROCESS}
        if self.needs_inputs:
            return Selector(fields)  # type: ignore[no-untyped-call]
        return {**fields, "process": Field(Noneable(String), is_required=False, description=PROCESS.description)}

    @cached_property
    def form(self) -> FormSketch:
        """What is known of the form, with the engine's own page."""
        own = sketch(self.workflow.initial_input_form)
        engine = [self._engine_page()] if self.workflow.has_subscription or self._creates else []
        return FormSketch((*engine, *own.pages), len(engine) + own.least)

    @property
    def needs_inputs(self) -> bool:
        """Whether a start without `inputs` has to fail."""
        return self.form.least > 1 or any(field.is_required for page in self.form.pages for field in page.fields)

    def inputs(self) -> Field:
        """The field `inputs`: the fields of the page for a one-page form, else a list of pages."""
        page = only_page(self.workflow)
        kind = self._types(sketch_page(page).fields) if page else Array(self._any_page())
        described = f"{_title(page)}: {ONE_PAGE}" if page else how_to_fill(self.workflow)
        pages = [self._filled(each) for each in self.form.pages]
        return Opening(kind, dict(*pages) if page else pages, described)

    def resolve_from_unvalidated_config(self, config: Any) -> Any:
        """Check a run config, and map it. Raises InvalidRunConfig."""
        try:
            mapped = super().resolve_from_unvalidated_config(config)
            if "inputs" not in config:  # what the launchpad would have opened with is not what was written
                mapped["ops"]["start"]["config"].pop("inputs", None)
            return mapped
        except InvalidRunConfig:
            raise
        except DagsterInvalidConfigError as error:
            name = self.workflow.name
            if not config:
                wanted = _shape(self.form)[1:-1] if only_page(self.workflow) else _shape(self.form)
                sentence = f"{name} needs input: `inputs: {wanted}`, or the id of a `process` to continue."
            else:
                faults = "; ".join(str(each.message).rstrip(".") for each in error.errors)
                sentence = f"The run config of {name} cannot be used: {faults}."
            raise InvalidRunConfig(sentence, config) from None

    def to_ops(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config of the job's first op. Refuses inputs that lack a page, or are as the launchpad opened."""
        if "inputs" in config and not config.get("process"):
            self._check(as_pages(config["inputs"]))
        return {"ops": {"start": {"config": dict(config)}}}

    def _check(self, pages: Sequence[Mapping[str, Any]]) -> None:
        name, form = self.workflow.name, self.form
        if len(pages) < form.least and self.needs_inputs:
            given = f"{len(pages)} {'was' if len(pages) == 1 else 'were'} given"
            raise InvalidRunConfig(f"{name} needs {form.least} pages of input, and {given}: {_shape(form)}.", pages)
        secret = {field.name for page in form.pages for field in page.fields if holds_secret(field.annotation)}
        if asked := sorted(secret.intersection(key for page in pages for key in page)):
            raise InvalidRunConfig(
                f"{name} asks for a secret ({', '.join(asked)}), and every viewer reads a run config: start"
                f" it with `orchestrator run {name}` or POST /api/processes/{name}.",
                {},
            )
        hints = set(_texts([self._filled(page) for page in form.pages]))
        for number, page in enumerate(pages, 1):
            if left := [key for key, value in page.items() if hints.intersection(_texts(value))]:
                sentence = f"Page {number} of {name} is not filled in: write a value for {', '.join(left)}"
                raise InvalidRunConfig(f"{sentence}; leave out what may stay.", pages)

    @property
    def _creates(self) -> bool:
        return self.workflow.target is Target.CREATE

    def _engine_page(self) -> PageSketch:
        """The engine's own page: it selects the product or the subscription."""
        return sketch_page(product_page(self.workflow) if self._creates else subscription_page(self.workflow))

    def _any_page(self) -> Any:
        """The type of all pages of a form, because Dagster has one for a list; no field is needed in each of them."""
        fields = [field for page in self.form.pages for field in page.fields]
        names = [field.name for field in fields]
        types = self._types([field for field in fields if names.count(field.name) == 1], is_required=False)
        is_strict = self.form.is_whole and len(names) == len(types)
        return types if is_strict else Permissive(types)  # type: ignore[no-untyped-call]

    def _types(self, fields: Iterable[FieldSketch], *, is_required: bool = True) -> dict[str, Field]:
        # Without the form's default: the form may not take what Dagster fills in. A field left out of
        # the config is left out of the page.
        return {
            field.name: Field(
                self._type(field), is_required=is_required and field.is_required, description=_told(field)
            )
            for field in fields
        }

    def _type(self, field: FieldSketch) -> Any:
        if self._chooses_product(field):
            return Enum(f"{self.workflow.name}_product", [EnumValue(name) for name in self.products])
        return config_type(field.annotation, f"{self.workflow.name}_{field.name}")

    def _chooses_product(self, field: FieldSketch) -> bool:
        return self._creates and field.name == "product" and bool(self.products)

    def _filled(self, page: PageSketch) -> dict[str, Any]:
        """A page as the launchpad opens with it: its required fields, and its defaults that say something."""
        found = {field.name: self._value(field) for field in page.fields}
        return {name: value for name, value in found.items() if value is not None}

    def _value(self, field: FieldSketch) -> Any:
        choices = list(dict.fromkeys(self.products.values())) if self._chooses_product(field) else None
        return hint(field, choices) if field.is_required else _simple(field)


class Opening(Field):
    """A field that the launchpad opens with, and that Dagster does not fill in when it is left out."""

    _opens_with: Any = None

    def __init__(self, kind: Any, opens_with: Any, description: str, *, is_required: bool = False) -> None:
        super().__init__(kind, is_required=is_required, description=description)
        self._opens_with = opens_with

    @property
    def default_provided(self) -> bool:
        """Whether the launchpad shows something."""
        return bool(self._opens_with)

    @property
    def default_value(self) -> Any:
        """What the launchpad shows."""
        return self._opens_with

    @property
    def default_value_as_json_str(self) -> str:
        """The same for Dagster's page, with the fields in their order, not sorted."""
        return json.dumps(self._opens_with)


def start_schema() -> dict[str, Any]:
    """The config of the op `start`."""
    return {"inputs": Field(AnyValue, is_required=False), "process": Field(Noneable(String), is_required=False)}


def only_page(workflow: Workflow) -> type[BaseModel] | None:
    """The one page of a form, if it is known without running code."""
    own = workflow.initial_input_form
    if workflow.target is Target.CREATE or not is_static(own):
        return None
    if workflow.has_subscription:
        return subscription_page(workflow) if own is None else None
    return own if isinstance(own, type) else EmptyPage


ONE_PAGE = "the one page of the form, a mapping of field to value, not a list"


def how_to_fill(workflow: Workflow) -> str:
    """How to write a form of several pages as run config."""
    form = Launchpad(workflow).form
    return f"the pages of the form, in order: {_shape(form)}"


def _shape(form: FormSketch) -> str:
    """The pages of a form with the names of their fields, as in YAML."""
    pages = [f"{{{', '.join(field.name for field in page.fields) or '…'}}}" for page in form.pages]
    return f"[{', '.join(pages if form.is_whole else [*pages, '…'][: max(len(pages), 2)])}]"


def _title(page: type[BaseModel]) -> str:
    return str(page.model_config.get("title") or page.__name__)


# --- what the launchpad opens with ---


def hint(field: FieldSketch, choices: Sequence[str] | None = None) -> Any:
    """The value of a required field before a person writes one: the only choice, or words in angle brackets.

    Most of them are of the wrong type, so Dagster refuses them; the rest is refused by `Launchpad.to_ops`.
    """
    if field.part is not None:
        inside = {one.name: hint(one) for one in field.part.fields if one.is_required}
        return [inside] if field.is_list else inside
    kind = _plain(field.annotation)
    choices = choices or _choices(kind)
    if choices:
        more = ["…"] if len(choices) > SHOWN else []
        return choices[0] if len(choices) == 1 else f"<{' or '.join([*choices[:SHOWN], *more])}>"
    if get_origin(kind) in (list, set, tuple):
        return [hint(replace(field, annotation=get_args(kind)[0]))]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {one.name: hint(one) for one in sketch_page(kind).fields if one.is_required}
    words = WORDS.get(kind) or field.description or field.name.replace("_", " ")
    return f"<{textwrap.shorten(words, LONGEST_HINT, placeholder=' …')}>"


def _simple(field: FieldSketch) -> Any:
    """A default that a person can read and change; None otherwise."""
    if holds_secret(field.annotation):
        return None
    value = field.default.value if isinstance(field.default, PythonEnum) else field.default
    return value if isinstance(value, str | int | float) else None


def _texts(value: Any) -> Iterator[str]:
    """The words in angle brackets of a value."""
    if isinstance(value, str) and value.startswith("<") and value.endswith(">"):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _plain(annotation: Any) -> Any:
    """A type without what is added to it: its constraints, and None."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain(arguments[0])
    if origin in (Union, UnionType) and len(rest := [one for one in arguments if one is not type(None)]) == 1:
        return _plain(rest[0])
    return annotation


def _choices(kind: Any) -> list[str]:
    values = get_args(kind) if get_origin(kind) is Literal else ()
    if isinstance(kind, type) and issubclass(kind, PythonEnum):
        values = tuple(member.value for member in kind)
    return [str(value) for value in values]


# --- types ---


def _told(field: FieldSketch) -> str | None:
    """The description of a field, with its default."""
    parts = [field.description] if field.description else []
    is_known = not field.is_required and field.default is not None and field.default is not UNKNOWN
    if is_known and not holds_secret(field.annotation):
        parts.append(f"default: {_as_written(field.default)}")
    return "; ".join(parts) or None


def _as_written(default: Any) -> str:
    """A default as in YAML."""
    value = to_jsonable_python(default, fallback=str)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def config_type(annotation: Any, name: str) -> Any:
    """The Dagster config type of an annotation; `Any` where Dagster has none: the form checks the value."""
    if annotation in SCALARS:
        return SCALARS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, PythonEnum):
        return _choice(annotation, name)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return config_type(arguments[0], name)
    if origin is Literal and all(isinstance(value, str) for value in arguments):
        return Enum(name, [EnumValue(value) for value in arguments])
    if origin in (Union, UnionType) and len(arguments) == 2 and type(None) in arguments:
        inner = config_type(next(part for part in arguments if part is not type(None)), name)
        return inner if inner is AnyValue else Noneable(inner)
    if origin in (list, set) and arguments:
        inner = config_type(arguments[0], name)
        return AnyValue if inner is AnyValue else Array(inner)
    if isinstance(annotation, type) and annotation.__module__ in ("uuid", "ipaddress"):
        return String
    return AnyValue


def _choice(choice: type[PythonEnum], name: str) -> Any:
    """A choice by its values, which forms take; the form checks values that YAML would not keep."""
    values = [member.value for member in choice]
    if values and all(isinstance(value, str) for value in values):
        return Enum(name, [EnumValue(value) for value in values])
    return AnyValue
