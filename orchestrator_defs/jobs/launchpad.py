"""The run config of a job: `inputs`, typed where the form is known without running code."""

import json
from collections.abc import Iterator
from enum import Enum as PythonEnum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dagster import Any as AnyValue
from dagster import Array, Bool, ConfigMapping, Enum, EnumValue, Field, Float, Int, Noneable, String
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from ops.starting.admission import subscription_page
from ops.steps.forms import EmptyPage, holds_secret, is_static
from ops.steps.workflow import Workflow
from resources.types import Target

SCALARS: dict[Any, Any] = {str: String, int: Int, float: Float, bool: Bool}

PROCESS = Field(
    Noneable(String),
    is_required=False,
    description="id of a failed process to continue, instead of starting a new one",
)


def launchpad(workflow: Workflow) -> ConfigMapping:
    """Map the run config of the launchpad to the config of the job's first op."""
    return ConfigMapping(
        config_fn=_to_ops,
        config_schema={"inputs": inputs_field(workflow), "process": PROCESS},
        receive_processed_config_values=False,
    )


def start_schema() -> dict[str, Any]:
    """The config of the op `start`."""
    return {"inputs": Field(AnyValue, is_required=False), "process": PROCESS}


def _to_ops(config: dict[str, Any]) -> dict[str, Any]:
    return {"ops": {"start": {"config": dict(config)}}}


def inputs_field(workflow: Workflow) -> Field:
    """The field `inputs`: the fields of the page for a one-page form, else a list of pages."""
    page = only_page(workflow)
    if page is None:
        return Field(Array(dict), is_required=False, description=how_to_fill(workflow))
    # Not required here, because a run that continues a process needs none; the op `start` reports what is missing.
    return Field(dict(_fields(page, workflow.name)), is_required=False, description=_how_to_fill_one(page))


def only_page(workflow: Workflow) -> type[BaseModel] | None:
    """The one page of a form, if it is known without running code."""
    own = workflow.initial_input_form
    if workflow.target is Target.CREATE or not is_static(own):
        return None
    if workflow.has_subscription:
        return subscription_page(workflow) if own is None else None
    return own if isinstance(own, type) else EmptyPage


def how_to_fill(workflow: Workflow) -> str:
    """How to write a form of several pages as run config."""
    first = "{product: id or name}" if workflow.target is Target.CREATE else "{subscription_id: id}"
    if workflow.target is Target.SYSTEM:
        first = "{…}"
    return f"the pages of the form, in order: [{first}, …]"


def _how_to_fill_one(page: type[BaseModel]) -> str:
    title = page.model_config.get("title") or page.__name__
    return f"{title}: the one page of the form, a mapping of field to value, not a list"


def _fields(page: type[BaseModel], workflow_name: str) -> Iterator[tuple[str, Field]]:
    for name, info in page.model_fields.items():
        if not info.frozen:
            yield info.alias or name, _field(info, f"{workflow_name}_{name}")


def _field(info: FieldInfo, name: str) -> Field:
    # Without the form's default: the form may not take what Dagster fills in. A field left out of
    # the config is left out of the page.
    return Field(config_type(info.annotation, name), is_required=info.is_required(), description=_description(info))


def _description(info: FieldInfo) -> str | None:
    parts = [info.description] if info.description else []
    has_default = not info.is_required() and info.default is not None and info.default_factory is None
    if has_default and not holds_secret(info.annotation):
        parts.append(f"default: {_as_written(info.default)}")
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
