"""`orchestrator catalogue`: compare the products of the code with the database, and apply the difference."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from threading import Event, Thread
from typing import Any

import click
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from orchestrator_defs.cli import output
from orchestrator_defs.cli.application import Application, ApplicationGroup, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.processes.endings import continue_process
from orchestrator_defs.cli.processes.interventions import detach_option
from orchestrator_defs.cli.transactions import reading, writing
from resources.catalogue.backlog import Backlog, enqueue, read_backlog
from resources.catalogue.differences import count, counted
from resources.catalogue.owners import belongings
from resources.catalogue.plan import CataloguePlan
from resources.catalogue.rows import BlockRow, DeclaredCatalogue, ProductRow
from resources.catalogue.stored import Pair
from resources.errors import CatalogueBlocked, UnknownProduct
from resources.processes.owner import Owner
from resources.processes.process_fields import PROCESS_FIELDS
from resources.processes.process_lists import list_processes
from resources.types import ProcessStatus

BACKFILL = "task_backfill"
CHANGES, ASKS, BLOCKED = 2, 3, 4
"""Exit codes: there are changes; some remove or delete and nobody has agreed; some cannot be applied as they are."""
PROGRESS_SECONDS = 2.0
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


def _read_fills(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for one in given:
        name, is_given, text = one.partition("=")
        block, _, value = name.rpartition(".")
        if not (is_given and block and value):
            raise click.BadParameter(f"{one!r} is not BLOCK.VALUE=JSON, as in Port.speed=1000.")
        try:
            found[block, value] = json.loads(text)
        except ValueError:
            found[block, value] = text
    return found


fill = click.option(
    "--fill",
    "fills",
    multiple=True,
    callback=_read_fills,
    metavar="BLOCK.VALUE=JSON",
    help="What blocks without a new value get, such as Port.speed=1000. May be repeated.",
)


class CatalogueGroup(ApplicationGroup):
    """Exit code 2 means changes here, so wrong usage is 1, as every error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.show()
            raise click.exceptions.Exit(1) from error


class Unanswered(click.ClickException):
    """Something would be lost, and nobody can be asked."""

    exit_code = ASKS


class Blocked(click.ClickException):
    """Subscriptions would fail to load."""

    exit_code = BLOCKED


@click.group(cls=CatalogueGroup)
def catalogue() -> None:
    """Compare products, blocks and workflows of the code with the database."""


@catalogue.command()
@drop_values
@take_over
@fill
@click.option("--check", is_flag=True, help="Exit with 1 when there is a difference.")
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit with 2 when there is a difference, 3 when it removes or deletes, 4 when it cannot be applied; 1 is an "
    "error.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@code_options
@click.pass_obj
def plan(
    application: Application,
    drop_values: bool,
    take_over: str | None,
    fills: Mapping[Pair, Any],
    check: bool,
    detailed_exitcode: bool,
    as_json: bool,
) -> None:
    """Show what `apply` would change of this code location's rows, and what becomes of subscriptions and processes."""
    with reading(application):
        found = application.catalogue.plan(drop_values=drop_values, take_over=take_over, fills=fills)
        left = _backlog(application)
    _print(found, as_json=as_json)
    if not as_json:
        _print_backlog(left)
        if found.blocked:
            click.echo("What is marked ✗ cannot be applied as it is.")
        elif found:
            flag = f" --take-over {take_over}" if take_over else ""
            click.echo(f"Run `orchestrator catalogue apply{flag}` to change the database.")
    if found and check:
        raise click.exceptions.Exit(1)
    if found and detailed_exitcode:
        raise click.exceptions.Exit(BLOCKED if found.blocked else ASKS if found.removals else CHANGES)


@catalogue.command()
@drop_values
@take_over
@fill
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
    fills: Mapping[Pair, Any],
    remove: bool | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring the catalogue in the database up to the code, in one transaction. Applying twice changes nothing.

    Only rows of this code location change. What removes or retires one is asked first; exit code 3 where nobody can be
    asked, 4 when subscriptions would fail to load.
    """
    if drop_values and remove is False:
        raise click.UsageError("--drop-values deletes values, and --keep keeps everything: choose one.")
    with reading(application):
        found = application.catalogue.plan(drop_values=drop_values, take_over=take_over, fills=fills)
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
    try:
        with writing(application):
            done = application.catalogue.apply(
                remove=is_removing, drop_values=drop_values, take_over=take_over, fills=fills
            )
            left = _backlog(application)
    except CatalogueBlocked as error:
        raise Blocked(str(error)) from error
    if as_json:
        _print(done, as_json=True)
        return
    _print_backlog(left)
    if done or taken:
        click.echo("Applied." if is_removing or not found.removals else "Applied, and nothing was removed.")
    elif found:
        click.echo("Nothing was removed.")


@catalogue.command()
@click.option("--all", "everything", is_flag=True, help="Visit every subscription, also those that no change reached.")
@click.option("--show", "is_shown", is_flag=True, help="Only show what waits, and what cannot be brought up.")
@detach_option
@code_options
@click.pass_obj
def backfill(application: Application, everything: bool, is_shown: bool, detach: bool) -> None:
    """Bring the subscriptions that changes of the catalogue have yet to reach up to the models, by `task_backfill`.

    Stopped, the next run continues. What a process holds is left to it: then the task waits, with exit code 3, and
    returns to it by itself.
    """
    if everything:
        with writing(application):
            enqueue(products=application.catalogue.rows.products)
    with reading(application):
        left = _backlog(application)
    if is_shown or not left.total:
        _print_backlog(left, is_shown=True)
        return
    with application.processes() as service, _progress(application, left.total):
        with reading(application):
            unended = [one for one in ProcessStatus if one not in (ProcessStatus.COMPLETED, ProcessStatus.ABORTED)]
            known = list_processes(PROCESS_FIELDS.having(workflow_name=BACKFILL, last_status=unended), limit=1)
        process_id = known[0].process_id if known else service.starts.start(BACKFILL, [], user=operator())
        if known and known[0].status is ProcessStatus.WAITING:
            service.interventions.retry(process_id, user=operator())
        continue_process(service, process_id, detach=detach)


@contextmanager
def _progress(application: Application, total: int) -> Iterator[None]:
    """Print how many are brought up, while the block runs."""
    is_over = Event()

    def watch() -> None:
        while not is_over.wait(PROGRESS_SECONDS):
            with reading(application):
                left = _backlog(application)
            click.echo(f"{max(total - left.total, 0):,} of {total:,} subscriptions are brought up; {left}.")

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def _backlog(application: Application) -> Backlog:
    return read_backlog(Owner(application.catalogue.owner).owns_product())


def _print_backlog(left: Backlog, *, is_shown: bool = False) -> None:
    for key, fault in left.faults:
        click.echo(f"Subscription {key} cannot be brought up: {fault}")
    if left.total:
        how = "" if is_shown else "; run `orchestrator catalogue backfill`"
        click.echo(f"Subscriptions to bring up to the models: {left}{how}.")
    elif is_shown:
        click.echo("Every subscription is up to the models.")


def _ask(sentence: str, flag: str) -> None:
    """Ask on a terminal; elsewhere refuse, with the flag that answers."""
    if not _is_terminal():
        raise Unanswered(f"{sentence} Nothing was changed: nobody can be asked here. Say so with {flag}.")
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
        return
    for change in found:
        mark = "[bold red] ✗[/bold red]" if change.blocked else "[bold red] ![/bold red]" if change.warning else ""
        touched = f" [dim]({change.touched})[/dim]" if change.touched else ""
        words = f"{SIGNS[change.action]} {change.kind} [bold]{escape(change.name)}[/bold]: {escape(change.detail)}"
        output.show(f"{words}{touched}{mark}")
    numbers = {sign: sum(change.action == sign for change in found) for sign in SIGNS}
    click.echo(f"Plan: {numbers['create']} to add, {numbers['update']} to change, {numbers['remove']} to remove.")
    if flying := max(change.processes for change in found):
        click.echo(
            f"{count(flying, 'process in flight')}: each reads its subscription anew at every step, by the new models, "
            "and the back-fill leaves what it holds until it ends. `orchestrator check-inflight` compares its steps."
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
    for held, many in block.holds.items():
        _grow(branch, rows, rows.blocks[held], (*above, block.name), str(many))
