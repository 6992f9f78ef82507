"""How commands print tables and JSON."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any

import click
from pydantic_core import to_jsonable_python
from rich.console import Console, RenderableType

from orchestrator_defs.cli.application import Application
from resources.subscriptions.search_query import leaves, parse
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS

PIPE_WIDTH = 500
"""In a pipe or a file no line is wrapped, whatever the terminal's width."""

query_option = click.option(
    "--query",
    "--search",
    "query",
    default="",
    metavar="TEXT",
    help="Only those that it finds: word prefixes, `field:value`, `port.speed>=10000`, `-not`, `a|b`, quotes.",
)


def load_models(application: Application, query: str, paths: Iterable[str] = ()) -> None:
    """Load the code if a query or a path names a value of blocks: only its models say which there are."""
    names = {*paths, *(leaf.field for leaf in leaves(parse(query)) if leaf.field)}
    if any(SUBSCRIPTION_FIELDS.named(name) is None for name in names):
        _ = application.catalogue


def show(what: RenderableType) -> None:
    """Print a table, a tree or text with markup."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    console.print(what, soft_wrap=isinstance(what, str))


@contextmanager
def without_events() -> Iterator[None]:
    """Hide Dagster's events from the screen; the ledger has a line per step."""
    with redirect_stderr(StringIO()):
        yield


def show_json(value: Any) -> None:
    """Print anything that pydantic can write as JSON."""
    click.echo(json.dumps(to_jsonable_python(value), indent=2, ensure_ascii=False))
