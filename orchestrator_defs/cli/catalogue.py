"""`orchestrator catalogue`: compare the products of the code with the database, and apply the difference."""

import sys
from collections.abc import Iterable
from dataclasses import asdict

import click
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from orchestrator_defs.cli import output
from orchestrator_defs.cli.application import Application, ApplicationGroup
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.transactions import reading, writing
from resources.catalogue.owners import belongings
from resources.catalogue.plan import CataloguePlan, counted
from resources.catalogue.rows import BlockRow, DeclaredCatalogue, ProductRow
from resources.errors import CatalogueError, UnknownProduct

SHOWN = 10
"""A question names at most so many changes."""
SIGNS = {"create": "[green]+[/green]", "update": "[yellow]~[/yellow]", "remove": "[red]-[/red]"}

drop_values = click.option(
    "--drop-values", is_flag=True, help="Also delete stored values that the models no longer have."
)
take_over = click.option(
    "--take-over",
    metavar="NAME",
    help="Take over the rows and processes of NAME, as this code location was called before; `nobody` for those of "
    "before rows had owners.",
)


@click.group(cls=ApplicationGroup)
def catalogue() -> None:
    """Compare products, blocks and workflows of the code with the database."""


@catalogue.command()
@drop_values
@take_over
@click.option("--check", is_flag=True, help="Exit with 1 when there is a difference.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@code_options
@click.pass_obj
def plan(application: Application, drop_values: bool, take_over: str | None, check: bool, as_json: bool) -> None:
    """Show what `apply` would change of this code location's rows, and how many subscriptions each change touches."""
    with reading(application):
        found = application.catalogue.plan(drop_values=drop_values, take_over=take_over)
    _print(found, as_json=as_json)
    if found and not as_json:
        flag = f" --take-over {take_over}" if take_over else ""
        click.echo(f"Run `orchestrator catalogue apply{flag}` to change the database.")
    if found and check:
        raise click.exceptions.Exit(1)


@catalogue.command()
@drop_values
@take_over
@click.option(
    "--remove/--keep",
    default=None,
    help="Remove or retire what the code no longer has, or keep it; without either, a terminal asks.",
)
@click.option("--yes", is_flag=True, help="Answer every question with yes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@code_options
@click.pass_obj
def apply(
    application: Application,
    drop_values: bool,
    take_over: str | None,
    remove: bool | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring the catalogue in the database up to the code. Applying twice changes nothing.

    Only rows of this code location change. What removes or retires one is asked first.
    """
    if drop_values and remove is False:
        raise click.UsageError("--drop-values deletes values, and --keep keeps everything: choose one.")
    with reading(application):
        found = application.catalogue.plan(drop_values=drop_values, take_over=take_over)
        taken = belongings(take_over) if take_over else {}
    removed = found.removals if remove is None else ()
    if not as_json:
        _print(found, as_json=False)
    doubts = []
    if taken:
        doubts += [f"{counted(taken)} of '{take_over}' will belong to '{found.owner}', for good."]
        doubts += [f"No code location may be called '{take_over}' any more."]
    if drop_values and found.removals:
        doubts += ["Stored values that the models no longer have will be deleted."]
    if removed:
        names = list(dict.fromkeys(f"{change.kind} '{change.name}'" for change in removed))
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        doubts += [f"{', '.join(names[:SHOWN])}{more} will be removed, retired or lose something."]
    if doubts and not yes:
        _ask(" ".join(doubts), "--yes" if taken or drop_values else "--remove, or --keep to leave that alone")
    is_removing = bool(removed) if remove is None else remove
    with writing(application):
        done = application.catalogue.apply(remove=is_removing, drop_values=drop_values, take_over=take_over)
    if as_json:
        _print(done, as_json=True)
    elif done or taken:
        click.echo("Applied." if is_removing or not found.removals else "Applied, and nothing was removed.")
    elif found:
        click.echo("Nothing was removed.")


def _ask(sentence: str, flag: str) -> None:
    """Ask on a terminal; elsewhere refuse, with the flag that answers."""
    if not _is_terminal():
        raise CatalogueError(f"{sentence} Nothing was changed: nobody can be asked here. Say so with {flag}.")
    click.confirm(f"{sentence} Continue?", abort=True, err=True)


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


@catalogue.command()
@click.argument("product", required=False)
@code_options
@click.pass_obj
def show(application: Application, product: str | None) -> None:
    """List the products of the code; with the name of one, its blocks, values and workflows."""
    rows = application.catalogue.rows
    if product is None:
        output.show(_products(rows.products.values()))
    elif product in rows.products:
        output.show(_product(rows, rows.products[product]))
    else:
        names = ", ".join(f"'{name}'" for name in rows.products) or "none"
        raise UnknownProduct(f"The code has no product '{product}'; it has: {names}.")


def _print(found: CataloguePlan, *, as_json: bool) -> None:
    if as_json:
        output.show_json([asdict(change) for change in found])
        return
    if found.others:
        others = "; ".join(f"{counted(numbers)} of '{owner}'" for owner, numbers in found.others.items())
        click.echo(f"These are the rows of code location '{found.owner}'. Left alone: {others}.")
    if not found:
        click.echo("The catalogue in the database matches the code.")
    else:
        for change in found:
            mark = "[bold red] ![/bold red]" if change.warning else ""
            touched = f" [dim]({change.subscriptions} subscription{'s' * (change.subscriptions != 1)})[/dim]"
            output.show(
                f"{SIGNS[change.action]} {change.kind} [bold]{escape(change.name)}[/bold]: {escape(change.detail)}"
                f"{touched if change.subscriptions else ''}{mark}"
            )


def _products(products: Iterable[ProductRow]) -> Table:
    table = Table("Product", "Type", "Tag", "Fixed inputs", "Blocks", "Workflows", title="Products of the code")
    for row in products:
        inputs = ", ".join(f"{key}={value}" for key, value in row.fixed_inputs.items())
        cells = (
            row.name,
            row.product_type,
            row.tag,
            inputs,
            ", ".join(sorted(row.roots)),
            ", ".join(sorted(row.workflows)),
        )
        table.add_row(*map(escape, cells))
    return table


def _product(rows: DeclaredCatalogue, row: ProductRow) -> Tree:
    tree = Tree(f"[bold]{escape(row.name)}[/bold]  {escape(row.product_type)}, {escape(row.tag)}")
    tree.add(escape(row.description))
    for key, value in row.fixed_inputs.items():
        tree.add(f"{escape(key)} = {escape(str(value))}")
    for root in sorted(row.roots):
        _grow(tree, rows, rows.blocks[root], ())
    for name in sorted(row.workflows):
        workflow = rows.workflows[name]
        tree.add(f"[cyan]{escape(name)}[/cyan]  {workflow.target}: {escape(workflow.description)}")
    return tree


def _grow(tree: Tree, rows: DeclaredCatalogue, block: BlockRow, above: tuple[str, ...], number: str = "") -> None:
    """Add a block and the blocks it may hold; a recursive block is named, not expanded."""
    branch = tree.add(f"[green]{escape(block.name)}[/green]{f'  {number}' if number else ''}")
    if block.name in above:
        return
    for name, value in block.values.items():
        branch.add(f"{escape(name)}{f'  [dim]{escape(value.description)}[/dim]' if value.description else ''}")
    for name, count in block.holds.items():
        _grow(branch, rows, rows.blocks[name], (*above, block.name), str(count))
