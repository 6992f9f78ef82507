"""The input of a form on the command line: a YAML or JSON file, or `field=value`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import yaml
from dagster_shared.yaml_utils import safe_load_yaml

from resources.database.storable import DEEPEST


def read_inputs(config: Path | None, fields: Sequence[str]) -> Any:
    """The pages from a file (its `inputs`, else the whole file), or one page from `field=value`.

    A value is JSON if it parses as JSON, else text. Raises click.ClickException.
    """
    if config and fields:
        raise click.UsageError("Give the input in a file or as field=value, not both.")
    if config is not None:
        return _pages(config, _content(config))
    return read_fields(fields) if fields else None


def _content(config: Path) -> Any:
    try:
        return safe_load_yaml(config.read_text(encoding="utf-8"))  # as the launchpad and `dagster job execute` do
    except (yaml.YAMLError, ValueError) as error:  # a number of too many digits, a day that is none
        raise click.ClickException(f"{config} is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise click.ClickException(f"{config} is nested deeper than {DEEPEST} levels.") from None
    except FileNotFoundError:
        raise click.ClickException(f"There is no file {config}.") from None
    except OSError as error:
        raise click.ClickException(f"{config} cannot be read: {error.strerror}.") from None


def _pages(config: Path, content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    if (process_id := content.get("process")) is not None:
        raise click.UsageError(
            f"{config} names a process, and this command starts a new one. Continue the old one with "
            f"`orchestrator resume {process_id}`; put a form field named process under `inputs:`."
        )
    if "inputs" not in content:
        return content
    if unknown := content.keys() - {"inputs", "process"}:
        raise click.UsageError(
            f"{config} has {', '.join(sorted(map(str, unknown)))} beside `inputs`; put all fields under `inputs`."
        )
    return content["inputs"]


def read_fields(fields: Sequence[str]) -> dict[str, Any]:
    """`field=value` as a mapping; a value is JSON if it parses as JSON, else text. Raises click.UsageError."""
    page: dict[str, Any] = {}
    for text in fields:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise click.UsageError(f"{text!r} is not field=value.")
        if name in page:
            raise click.UsageError(f"{name} is given twice; a list is written {name}='[1, 2]'.")
        page[name] = _value(value)
    return page


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
