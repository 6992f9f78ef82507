"""`orchestrator new`: another product for a project, from a YAML file or from answers."""

import sys
from pathlib import Path
from typing import Any

import click

from orchestrator_defs.cli.application import Application
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.scaffolding.faults import ScaffoldingError
from orchestrator_defs.scaffolding.new_product import Another, answers_as_yaml, field_of, write_another

STAGES = ("provisioning", "active", "never")
PART = "name:type[:required][:modifiable]"


@click.command()
@click.argument("file", metavar="[PRODUCT.YAML]", required=False, type=click.Path(path_type=Path))
@click.option("--name", help="Name of the product, instead of a file.")
@click.option("--description", default="", help="What it is.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar=PART.upper(),
    help="A field, as often as there are any: `prefix:IPv4Network:provisioning`, `vlan:int(1..4094):provisioning:"
    "modifiable`, `mode:enum(tagged,untagged)`, `port:Port:provisioning` for a relation.",
)
@click.option("--package", help="Package of the project; that of pyproject.toml or workspace.yaml if not given.")
@click.option(
    "--beside", is_flag=True, help="Put what would be written beside each file that you have changed, as .new."
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@code_options
@click.pass_obj
def new(
    application: Application,
    file: Path | None,
    name: str | None,
    description: str,
    fields: tuple[str, ...],
    package: str | None,
    beside: bool,
    dry_run: bool,
) -> None:
    """Write another product into the project of this folder: blocks, steps, forms, workflows, a test, run configs.

    The file is in orchestrator-core's format for its generator. Without one, options or questions say what the product
    is, and a file with the answers is kept in products/. A second time, what has changed since is shown, and files that
    you have changed stay as they are.
    """
    if file is not None and (name or fields):
        raise click.UsageError("A file says what the product is: leave out --name and --field, or the file.")
    here, answers = Path.cwd(), None
    if file is None:
        file, answers = answers_as_yaml(here, *_answers(name, description, fields))
    load = lambda: application.orchestrator  # noqa: E731
    done = write_another(here, file, package, load, answers=answers, beside=beside, dry_run=dry_run)
    _print(done, dry_run=dry_run, beside=beside)


def _answers(name: str | None, description: str, fields: tuple[str, ...]) -> tuple[str, str, list[dict[str, Any]]]:
    if name and fields:
        return name, description, [field_of(one) for one in fields]
    if not _is_terminal():
        raise ScaffoldingError("Nobody can be asked here: name a file, or give --name and --field.")
    name = name or _asked("Name of the product, such as 'IP prefix'")
    description = description or click.prompt("What is it", default=name)
    made = [field_of(one) for one in fields]
    click.echo("Its fields, one after the other; an empty name ends.")
    while field := click.prompt("Field", default="", show_default=False):
        kind = _asked("  Type (str, int, bool, IPv4Network, enum(a,b), int(1..9), a block such as Port …)", "str")
        stage = click.prompt(
            "  Needed from", type=click.Choice(["provisioning", "active", "never"]), default="provisioning"
        )
        is_changed = click.confirm("  May a modification change it?", default=False)
        made.append(_tried(":".join([field, kind, stage, *(["modifiable"] if is_changed else [])])))
    return name, description, [one for one in made if one]


def _asked(question: str, default: str | None = None) -> str:
    answer: str = click.prompt(question, default=default)
    return answer


def _tried(said: str) -> dict[str, Any]:
    try:
        return field_of(said)
    except ScaffoldingError as error:
        click.echo(f"  {error} Say it again.")
        return {}


def _print(done: Another, *, dry_run: bool, beside: bool) -> None:
    for difference in done.outcome.differences:
        click.echo(difference)
    for word, paths in (
        ("would write" if dry_run else "wrote", done.outcome.written),
        ("would update" if dry_run else "updated", done.outcome.updated),
        ("kept, you have changed it:" if not beside else "kept, with .new beside it:", done.outcome.kept),
        ("left out, you have removed it:", done.outcome.removed),
    ):
        for path in paths:
            click.echo(f"{word} {path}")
    for note in done.notes:
        click.echo(note)


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
