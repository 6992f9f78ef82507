"""`orchestrator import core`: the database of orchestrator-core, taken over."""

import sys
from typing import IO

import click
from rich.markup import escape
from rich.table import Table

from orchestrator_defs.cli import output
from orchestrator_defs.cli.application import Application, operator
from orchestrator_defs.cli.code_options import code_options
from resources.core_import.findings import Outcome, Report, line_of
from resources.core_import.importing import CoreImport, Options
from resources.core_import.source import CoreDatabase

SHOWN = 20
"""So many findings of a kind are shown; --report and --json have more."""
PLURALS = {"product": "Products", "workflow": "Workflows", "subscription": "Subscriptions", "process": "Processes"}


@click.command()
@click.option(
    "--from",
    "source",
    required=True,
    envvar="ORCHESTRATOR_CORE_URI",
    metavar="URI",
    help="The database of orchestrator-core: postgresql://user:password@host/name. It is only read.",
)
@click.option("--dry-run", is_flag=True, help="Read and convert everything, report, and write nothing.")
@click.option("--update", is_flag=True, help="Take over what was changed there since it was imported.")
@click.option("--overwrite", is_flag=True, help="Take it over also where it was changed here.")
@click.option("--report", type=click.File("w"), metavar="FILE", help="Write all findings to FILE, as lines of JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--yes", is_flag=True, help="Do not ask before --overwrite.")
@code_options
@click.pass_obj
def core(
    application: Application,
    source: str,
    dry_run: bool,
    update: bool,
    overwrite: bool,
    report: IO[str] | None,
    as_json: bool,
    yes: bool,
) -> None:
    """Take over subscriptions and processes of orchestrator-core 5 into this database; ids and dates stay.

    Only products that the code declares come over. May run again, also after it was killed: what is here already is
    compared and stays as it is, unless an option says otherwise. Exit code 1 when something does not fit or differs.
    """
    if overwrite and not (dry_run or yes):
        click.confirm("What was changed here is replaced by what is there. Continue?", abort=True, err=True)
    database = application.orchestrator.prepare()
    options = Options(str(operator()), is_dry=dry_run, updates=update, overwrites=overwrite)
    found = Report(record=lambda finding: report.write(line_of(finding)) if report else None)
    with CoreDatabase.opened(source) as there:
        CoreImport(there, database, options, found, lambda kind, _: _progress(found, kind)).run()
    if as_json:
        output.show_json({"dry_run": dry_run, **found.as_json()})
    else:
        _show(found, dry_run=dry_run)
    if found.findings:
        raise click.exceptions.Exit(1)


def _progress(found: Report, kind: str) -> None:
    """Tell a terminal how far it is."""
    if sys.stderr.isatty():
        click.echo(f"\r{PLURALS[kind]}: {found.counts[kind].total():,} ", nl=False, err=True)


def _show(found: Report, *, dry_run: bool) -> None:
    table = Table("", *(outcome.value for outcome in Outcome if outcome is not Outcome.PART_LEFT_OUT))
    for kind, counts in found.counts.items():
        numbers = (f"{counts[o]:,}" for o in Outcome if o is not Outcome.PART_LEFT_OUT)
        table.add_row(PLURALS[kind], *numbers)
    output.show(table)
    for kind, plural in PLURALS.items():
        findings = [each for each in found.findings if each.kind == kind]
        for each in findings[:SHOWN]:
            output.show(f"{kind} [bold]{escape(each.id)}[/bold] {each.outcome.value}: {escape(each.reason)}")
        if found.told[kind] > SHOWN:
            click.echo(f"{plural}: {found.told[kind] - SHOWN:,} more lines; --report FILE writes all.")
    if dry_run:
        click.echo("Nothing was written: this was a dry run.")
