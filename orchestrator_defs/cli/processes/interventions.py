"""Commands that intervene in a process: answer, resume, retry, skip, send back, abort, note, delete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator_defs.cli.application import Application, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.output import show_json, without_events
from orchestrator_defs.cli.processes.endings import ExitCode, continue_process, describe_form
from orchestrator_defs.cli.processes.inputs import read_fields, read_inputs
from orchestrator_defs.cli.transactions import reading
from resources.processes import process_rows
from resources.types import ProcessId, ProcessStatus

if TYPE_CHECKING:  # loaded for the commands that need it
    from orchestrator_defs.processes.processes import Processes

detach_option = click.option("--detach", is_flag=True, help="Launch it to the workers, and do not wait.")
reason_option = click.option("--reason", required=True, help="The reason, kept in the ledger.")
id_argument = click.argument("process_id", metavar="ID")


@contextmanager
def _process(application: Application, name: str) -> "Iterator[tuple[Processes, ProcessId]]":
    with reading(application):
        found = process_rows.find_process_id(name)
    with application.processes() as service:
        yield service, found


@click.command()
@id_argument
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("-c", "--config", type=click.Path(path_type=Path), help="YAML file with a page or a list of pages.")
@detach_option
@code_options
@click.pass_obj
def answer(
    application: Application, process_id: str, fields: tuple[str, ...], config: Path | None, detach: bool
) -> None:
    """Fill the form that a process waits with; the process then continues. Without input: print the next page."""
    inputs = read_inputs(config, fields)
    with _process(application, process_id) as (service, found):
        page = service.answers.next_page(found, inputs)
        if page is not None:
            click.echo(str(page))
            for line in describe_form(found, page.schema):
                click.echo(line)
            raise SystemExit(ExitCode.WAITS)
        service.answers.answer(found, inputs, user=operator())
        continue_process(service, found, detach=detach)


@click.command()
@id_argument
@detach_option
@code_options
@click.pass_obj
def resume(application: Application, process_id: str, detach: bool) -> None:
    """Resume a process from its last committed step, and wait until it stops.

    A process that failed or waits for a retry retries now; one that was resumed but not launched is launched.
    """
    with _process(application, process_id) as (service, found):
        if service.queries.status(found) in (ProcessStatus.WAITING, ProcessStatus.SUSPENDED):
            service.interventions.retry(found, user=operator())
        continue_process(service, found, detach=detach)


@click.command()
@id_argument
@detach_option
@code_options
@click.pass_obj
def retry(application: Application, process_id: str, detach: bool) -> None:
    """Retry the step at which a process failed or waits for a retry."""
    with _process(application, process_id) as (service, found):
        service.interventions.retry(found, user=operator())
        continue_process(service, found, detach=detach)


@click.command("resume-all")
@detach_option
@click.option("--json", "as_json", is_flag=True, help="Print only the count, for programs.")
@code_options
@click.pass_obj
def resume_all(application: Application, detach: bool, as_json: bool) -> None:
    """Retry all tasks that failed or wait for a retry, one after the other, or in the workers."""
    with application.processes() as service:
        if detach and not service.runs.can_launch:
            raise click.ClickException("The run launcher of this instance takes no runs from here; leave out --detach.")
        resumed = service.interventions.resume_all(user=operator())
        for process_id in resumed:
            if detach:
                service.runs.launch(process_id, user=operator())
                continue
            with without_events():
                status = service.runs.execute(process_id, user=operator())
            if not as_json:
                click.echo(f"Process {process_id} is {status}.")
    if as_json:
        show_json({"count": len(resumed)})
    else:
        click.echo(f"Tasks resumed: {len(resumed)}.")


@click.command()
@id_argument
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("--remove", "removed", multiple=True, metavar="FIELD", help="Remove this key from the state.")
@reason_option
@detach_option
@code_options
@click.pass_obj
def skip(
    application: Application,
    process_id: str,
    fields: tuple[str, ...],
    removed: tuple[str, ...],
    reason: str,
    detach: bool,
) -> None:
    """Skip the step at which a process stopped, because you have done it; FIELD=VALUE is what it would have
    returned.
    """
    with _process(application, process_id) as (service, found):
        key = service.interventions.skip(
            found, user=operator(), reason=reason, changes=read_fields(fields), removed=removed
        )
        click.echo(f"Process {found} skips its step {key}.")
        continue_process(service, found, detach=detach)


@click.command()
@id_argument
@click.argument("step")
@reason_option
@detach_option
@code_options
@click.pass_obj
def back(application: Application, process_id: str, step: str, reason: str, detach: bool) -> None:
    """Send a process back to STEP, which it has committed, with the state that it had then.

    What the steps from there on did, to subscriptions or outside, is not undone: they run again.
    """
    with _process(application, process_id) as (service, found):
        key = service.interventions.go_back(found, step, user=operator(), reason=reason)
        click.echo(f"Process {found} is sent back to {key}.")
        continue_process(service, found, detach=detach)


@click.command()
@id_argument
@click.option("--reason", default="", help="The reason, kept in the ledger.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@code_options
@click.pass_obj
def abort(application: Application, process_id: str, reason: str, yes: bool) -> None:
    """Abort a process; what it changed stays, and its subscription is unlocked but out of sync."""
    with _process(application, process_id) as (service, found):
        with reading(application):
            row = process_rows.get_process(found)
            what = f"{process_rows.workflow_name_of(row)}, {row.last_status}, last step '{row.last_step}'"
        if not yes:
            click.confirm(f"Abort process {found} ({what})? It cannot be continued then.", abort=True)
        aborted = service.interventions.abort(found, user=operator(), reason=reason)
        click.echo(f"Process {found} is {'being ' if aborted.until else ''}aborted. {aborted.message}")
        if aborted.until:
            click.echo(service.interventions.aborts.wait(found))
    if aborted.subscriptions:
        click.echo("Reconcile its subscriptions, or correct them by hand.")


@click.command()
@id_argument
@click.argument("text", default="")
@code_options
@click.pass_obj
def note(application: Application, process_id: str, text: str) -> None:
    """Write a note on a process, at most 5000 characters; without TEXT remove it."""
    with _process(application, process_id) as (service, found):
        service.interventions.note(found, text or None, user=operator())


@click.command()
@id_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@code_options
@click.pass_obj
def delete(application: Application, process_id: str, yes: bool) -> None:
    """Delete a task that has ended, with its ledger."""
    with _process(application, process_id) as (service, found):
        if not yes:
            click.confirm(f"Delete process {found} and its ledger?", abort=True)
        service.interventions.delete(found, user=operator())
    click.echo(f"Process {found} is deleted.")


COMMANDS = (answer, resume, retry, resume_all, skip, back, abort, note, delete)
