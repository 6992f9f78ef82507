"""The documentation is part of the product: what can be set or run stands in it."""

from pathlib import Path

import click
import pytest

from orchestrator_defs.cli.main import main
from resources.settings import Settings

PROJECT = Path(__file__).parents[1]
TEXTS = "\n".join(path.read_text() for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))))


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_documented(field: str) -> None:
    """By the name of its variable."""
    assert f"`{field.upper()}`" in TEXTS


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_documented(name: str) -> None:
    """With `orchestrator` before it."""
    assert f"orchestrator {name}" in TEXTS


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_help(name: str) -> None:
    """A sentence of its own, and one for each command below it."""
    command = main.commands[name]
    below = command.commands.values() if isinstance(command, click.Group) else ()
    assert all(one.help for one in (command, *below))
