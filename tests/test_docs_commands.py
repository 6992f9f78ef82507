"""Each command that a document shows exists, with the options that it is given."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs.scripts.site_pages import OUTSIDE
from orchestrator_defs.cli.main import LazyCommand, main
from tests.architecture import ROOT

DOCUMENTS = (*sorted((ROOT / "docs").glob("*.md")), *(ROOT / name for name in OUTSIDE))
CONNECTION = "orchestrator live updates"
"""No command, but the name of a connection in PostgreSQL."""
WORD = re.compile(r"[a-z][a-z-]+")


def shown(document: Path) -> Iterator[str]:
    """The commands on a page, in blocks and within sentences."""
    text = re.sub(r"\s+\\\n\s*", " ", document.read_text())
    for block in re.findall(r"```.*?```", text, re.DOTALL):
        yield from re.findall(r"^\s*(?:\$ )?(orchestrator .*)$", block, re.MULTILINE)
    for span in re.findall(r"`(orchestrator\s[^`|]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if " ".join(span.split()) != CONNECTION:
            yield " ".join(span.split())


def fault(line: str) -> str | None:
    """What this line has that no command knows; None if all is known."""
    line = re.split(r" [|>]|&&|;|  +| \(", line)[0]
    command: click.Command = main
    known = {"--help"} | options(main)
    takes_value = False
    for word in shlex.split(line, comments=True)[1:]:
        if word.startswith("-") and word.strip("-"):
            name = word.partition("=")[0]
            if name not in known:
                return f"{command.name} has no option {name}"
            takes_value = "=" not in word
        elif isinstance(command, click.Group) and word in command.commands:
            found = command.commands[word]
            command = found.command if isinstance(found, LazyCommand) else found
            known |= options(command)
            takes_value = False
        elif isinstance(command, click.Group) and WORD.fullmatch(word) and not takes_value:
            return f"{command.name} has no command {word}"
    return None


def options(command: click.Command) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_a_document_exist(document: Path) -> None:
    assert [(line, found) for line in shown(document) if (found := fault(line))] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("orchestrator proces list", "main has no command proces"),
        ("orchestrator process list --stauts failed", "list has no option --stauts"),
        ("orchestrator -f own.py catalogue aply", "catalogue has no command aply"),
        ("orchestrator process list --status failed | head", None),
        ("orchestrator subscriptions workflows ID", None),
    ],
)
def test_what_no_command_knows_is_found(line: str, said: str | None) -> None:
    assert fault(line) == said
