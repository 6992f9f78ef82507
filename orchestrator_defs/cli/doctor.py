"""`orchestrator doctor` and `orchestrator check-inflight`: what needs attention, and what a deploy would break."""

from dataclasses import asdict
from itertools import groupby

import click
from rich.markup import escape
from rich.table import Table

from orchestrator_defs.cli import output
from orchestrator_defs.cli.application import Application
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.health.diagnosis import Finding, Verdict, diagnose
from orchestrator_defs.health.inflight import Mismatch, mismatches
from orchestrator_defs.processes.instance import dagster_instance

SIGNS = {Verdict.OK: "[green]ok[/]", Verdict.NOTE: "[yellow]note[/]", Verdict.WRONG: "[red]wrong[/]"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@code_options
@click.pass_obj
def doctor(application: Application, as_json: bool) -> None:
    """Check everything that processes need, and say what to do. Exit code 1 when something needs an intervention."""
    with dagster_instance() as instance:
        found = diagnose(application.orchestrator, instance)
    if as_json:
        output.show_json([asdict(one) for one in found])
    else:
        output.show(_table(found))
    if any(one.verdict is Verdict.WRONG for one in found):
        raise click.exceptions.Exit(1)


@click.command("check-inflight")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@code_options
@click.pass_obj
def check_inflight(application: Application, as_json: bool) -> None:
    """Compare the code with every unfinished process. Exit code 1 when it would break one: run this before a deploy."""
    compared, broken = 0, []
    for one in mismatches(application.orchestrator):
        if isinstance(one, Mismatch):
            broken.append(one)
        else:
            compared += one
    if as_json:
        output.show_json({"compared": compared, "broken": [asdict(one) for one in broken]})
    else:
        for mismatch in broken:
            click.echo(f"{mismatch.process_id} ({mismatch.workflow}, {mismatch.status}): {mismatch.problem}")
        click.echo(f"{compared} processes are not finished; this code would break {len(broken)} of them.")
    if broken:
        raise click.exceptions.Exit(1)


def _table(found: list[Finding]) -> Table:
    table = Table("", "", "Found", "What to do", box=None, pad_edge=False)
    for about, findings in groupby(found, key=lambda one: one.about):
        for number, one in enumerate(findings):
            title = "" if number else about
            table.add_row(title, SIGNS[one.verdict], escape(one.found), escape(one.advice))
    return table
