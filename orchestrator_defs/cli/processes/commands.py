"""Commands that start and show processes."""

from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from orchestrator_defs.cli.application import Application, ApplicationGroup, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.output import query_option, show_json
from orchestrator_defs.cli.output import show as show_on_screen
from orchestrator_defs.cli.processes import interventions
from orchestrator_defs.cli.processes.endings import continue_process, waiting
from orchestrator_defs.cli.processes.inputs import read_inputs
from orchestrator_defs.cli.processes.ledger import as_json as all_of
from orchestrator_defs.cli.processes.ledger import explanations, facts, ledger_table, line_as_json, list_table
from orchestrator_defs.cli.transactions import reading
from resources.figures.counts import status_counts
from resources.processes import process_rows
from resources.processes.process_fields import PROCESS_FIELDS
from resources.processes.process_lists import list_processes
from resources.types import ProcessStatus

json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.command()
@click.argument("workflow")
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("-c", "--config", type=click.Path(path_type=Path), help="YAML file with `inputs`: the pages of the form.")
@interventions.detach_option
@code_options
@click.pass_obj
def run(application: Application, workflow: str, fields: tuple[str, ...], config: Path | None, detach: bool) -> None:
    """Start WORKFLOW and wait until it stops; exit code 3 when it then waits for something.

    The input is the same as for `dagster job execute -c FILE`; a form of one page can be filled on the command line.
    """
    inputs = read_inputs(config, fields)
    with application.processes() as service:
        process_id = service.starts.start(workflow, inputs, user=operator())
        click.echo(f"Process {process_id} of {workflow} is created.")
        continue_process(service, process_id, detach=detach)


@click.group(cls=ApplicationGroup)
def process() -> None:
    """Show processes, and intervene in those that have stopped.

    Exit codes: 0 success; 1 the process failed, or the command was refused; 2 wrong usage; 3 the process waits; 4 the
    process was aborted.
    """


for command in interventions.COMMANDS:
    process.add_command(command)


@process.command("list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([s.value for s in ProcessStatus]),
    help="Only processes of this status; may be repeated.",
)
@click.option("--workflow", help="Only processes of this workflow.")
@click.option("--tasks/--no-tasks", "is_task", default=None, help="Only tasks, or none.")
@query_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many, newest first.")
@json_option
@click.pass_obj
def list_command(
    application: Application,
    statuses: tuple[str, ...],
    workflow: str | None,
    is_task: bool | None,
    query: str,
    limit: int,
    as_json: bool,
) -> None:
    """List the newest processes."""
    where = PROCESS_FIELDS.having(last_status=list(statuses), workflow_name=workflow, is_task=is_task)
    with reading(application):
        found = list_processes([*where, PROCESS_FIELDS.search(query)], limit=limit)
    if as_json:
        show_json([line_as_json(line) for line in found])
        return
    show_on_screen(list_table(found) if found else "There are no such processes.")


@process.command()
@click.argument("process_id")
@json_option
@code_options
@click.pass_obj
def show(application: Application, process_id: str, as_json: bool) -> None:
    """Show a process (its id or the beginning of it): its ledger, what it waits for, its errors."""
    with reading(application):
        found = process_rows.find_process_id(process_id)
    with application.processes() as service:
        detail = service.queries.detail(found)
    if as_json:
        show_json(all_of(detail))
        return
    for name, value in facts(detail).items():
        show_on_screen(f"[bold]{name}[/]: {escape(value)}")
    show_on_screen(ledger_table(detail))
    for line in explanations(detail.steps):
        show_on_screen(line)
    if detail.wait is not None:
        for line in waiting(detail, detail.wait):
            click.echo(line)


@process.command()
@json_option
@click.pass_obj
def counts(application: Application, as_json: bool) -> None:
    """Show how many processes and tasks there are in each status."""
    with reading(application):
        found = status_counts()
    if as_json:
        kinds = {"process_counts": False, "task_counts": True}
        show_json(
            {name: {status: n for (status, task), n in found.items() if task is kind} for name, kind in kinds.items()}
        )
        return
    table = Table("Status", "Processes", "Tasks", box=None, pad_edge=False)
    for status in ProcessStatus:
        numbers = [found.get((status, is_task), 0) for is_task in (False, True)]
        if any(numbers):
            table.add_row(status, *map(str, numbers))
    show_on_screen(table if table.row_count else "There is no process yet.")
