"""The input of a form as people give it to a command: a YAML or JSON file, or `field=value` on the line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml


def read_inputs(config: Path | None, fields: Sequence[str]) -> Any:
    """The pages from a file (its `inputs`, or all of it), or one page from `field=value`. Raises click.UsageError."""
    if config and fields:
        raise click.UsageError("Give the input in a file or as field=value, not both.")
    if fields:
        return dict(_field(text) for text in fields)
    if config is None:
        return None
    try:
        content = yaml.safe_load(config.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{config} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise click.UsageError(f"{config} cannot be read: {error.strerror}.") from None
    if isinstance(content, dict) and set(content) <= {"inputs", "process"}:
        return content.get("inputs")
    return content


def _field(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.UsageError(f"{text!r} is not field=value.")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        return name, value
