"""Commands about processes: start one, look at it, go on with one that failed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from orchestrator_defs.cli.application import operator, reading
from orchestrator_defs.cli.inputs import read_inputs
from orchestrator_defs.cli.output import show as show_on_screen
from orchestrator_defs.cli.output import show_json, without_events
from orchestrator_defs.instance import dagster_instance
from orchestrator_defs.orchestrator import Orchestrator
from orchestrator_defs.processes import Processes
from resources import ledger, processes
from resources.tables import ProcessStepTable, ProcessTable
from resources.types import ProcessId, ProcessStatus

FAILED = 1
"""Exit code of a command whose process did not complete."""


@click.command()
@click.argument("workflow")
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("-c", "--config", type=click.Path(path_type=Path), help="YAML file with `inputs`: the pages of the form.")
@click.pass_obj
def run(orchestrator: Orchestrator, workflow: str, fields: tuple[str, ...], config: Path | None) -> None:
    """Start WORKFLOW and wait until it stops.

    The input is the same as for `dagster job execute -c FILE`; a form of one page can be filled on the line.
    """
    inputs = read_inputs(config, fields)
    with dagster_instance() as instance:
        service = Processes(orchestrator, instance)
        process_id = service.start(workflow, inputs, user=operator())
        click.echo(f"Process {process_id} of {workflow} is created.")
        _execute(service, process_id)


@click.group()
def process() -> None:
    """Look at processes, and go on with those that failed."""


@process.command("list")
@click.option("--status", "statuses", multiple=True, type=click.Choice([s.value for s in ProcessStatus]))
@click.option("--workflow", help="Only processes of this workflow.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_command(
    orchestrator: Orchestrator, statuses: tuple[str, ...], workflow: str | None, limit: int, as_json: bool
) -> None:
    """List the newest processes."""
    with reading(orchestrator):
        found = processes.list_processes(
            statuses=[ProcessStatus(status) for status in statuses], workflow=workflow, limit=limit
        )
        rows = [_summary(row, name) for row, name in found]
    if as_json:
        show_json(rows)
        return
    show_on_screen(_list(rows) if rows else "There are no such processes.")


@process.command()
@click.argument("process_id")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def show(orchestrator: Orchestrator, process_id: str, as_json: bool) -> None:
    """Show a process (its id or the beginning of it) with its ledger."""
    with reading(orchestrator):
        found = processes.find_process_id(process_id)
        row = processes.get_process(found)
        summary = _summary(row, processes.workflow_name_of(row))
        steps, pending = _steps(row)
    if as_json:
        show_json({**summary, "steps": steps, "pending": pending})
        return
    for key, value in summary.items():
        if value:
            show_on_screen(f"[bold]{key.replace('_', ' ')}[/]: {escape(str(value))}")
    show_on_screen(_ledger(steps, pending))


@click.command()
@click.argument("process_id")
@click.pass_obj
def resume(orchestrator: Orchestrator, process_id: str) -> None:
    """Go on with a process from its last committed step, and wait until it stops."""
    with reading(orchestrator):
        found = processes.find_process_id(process_id)
    with dagster_instance() as instance:
        _execute(Processes(orchestrator, instance), found)


@click.command()
@click.argument("process_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def abort(orchestrator: Orchestrator, process_id: str, yes: bool) -> None:
    """End a process for good; what it changed stays, and its subscription is free but out of sync."""
    with reading(orchestrator):
        found = processes.find_process_id(process_id)
        row = processes.get_process(found)
        what = f"{processes.workflow_name_of(row)}, {row.last_status}, last step '{row.last_step}'"
    if not yes:
        click.confirm(f"Abort process {found} ({what})? It cannot be continued then.", abort=True)
    with dagster_instance() as instance:
        Processes(orchestrator, instance).abort(found, user=operator())
    click.echo(f"Process {found} is aborted. What it held is free, and out of sync: reconcile it, or set it right.")


process.add_command(resume)
process.add_command(abort)


def _list(rows: Iterable[dict[str, Any]]) -> Table:
    table = Table("ID", "Workflow", "Status", "Last step", "By", "Started", box=None, pad_edge=False)
    for row in rows:
        texts = (row["workflow"], row["status"], row["last_step"] or "", row["created_by"] or "")
        table.add_row(row["process_id"][:8], *map(escape, texts), f"{row['started_at']:%Y-%m-%d %H:%M:%S}")
    return table


def _ledger(steps: Iterable[dict[str, Any]], pending: Iterable[str]) -> Table:
    table = Table("Step", "Status", "Attempts", "Seconds", "Sets", box=None, pad_edge=False)
    for step in steps:
        texts = (step["name"], step["status"], str(step["attempts"]), f"{step['seconds']:.3f}", step["sets"])
        table.add_row(*map(escape, texts))
    for key in pending:
        table.add_row(escape(key), "pending", "", "", "")
    return table


def _execute(service: Processes, process_id: ProcessId) -> None:
    """Run a process until it stops, and say how it stands; one that failed makes the command fail."""
    with without_events():
        status = service.execute(process_id, user=operator())
    with reading(service.orchestrator):
        row = processes.get_process(process_id)
        show_on_screen(_ledger(*_steps(row)))
    if status is ProcessStatus.COMPLETED:
        click.echo(f"Process {process_id} is completed.")
        return
    click.echo(f"Process {process_id} is {status} at step '{row.last_step}': {row.failed_reason or ''}", err=True)
    click.echo(f"Once the cause is gone: orchestrator resume {process_id}", err=True)
    raise SystemExit(FAILED)


def _summary(row: ProcessTable, workflow_name: str) -> dict[str, Any]:
    return {
        "process_id": str(row.process_id),
        "workflow": workflow_name,
        "status": row.last_status,
        "last_step": row.last_step,
        "created_by": row.created_by,
        "started_at": row.started_at,
        "last_modified_at": row.last_modified_at,
        "dagster_run": row.run_id,
        "failed_reason": row.failed_reason,
        "note": row.note,
    }


def _steps(row: ProcessTable) -> tuple[list[dict[str, Any]], list[str]]:
    """The steps that a process has tried, and the keys of those before it."""
    steps = [_step(step) for step in ledger.steps_of(row.process_id)]
    tried = {step["key"] for step in steps}
    return steps, [key for key in row.step_keys if key not in tried]


def _step(row: ProcessStepTable) -> dict[str, Any]:
    return {
        "key": row.step_key,
        "name": row.name,
        "status": row.status,
        "attempts": row.attempts,
        "seconds": (row.finished_at - row.started_at).total_seconds(),
        "sets": ", ".join(row.set),
        "run_id": row.run_id,
        "error": row.error,
    }
