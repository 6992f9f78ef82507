"""`orchestrator engine`: pause and release the whole engine."""

import click

from orchestrator_defs.cli.application import Application, ApplicationGroup, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.output import show_json, without_events
from orchestrator_defs.cli.transactions import reading
from resources.processes import pause as engine_pause
from resources.processes.pause import EngineState, EngineStatus

json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(cls=ApplicationGroup)
def engine() -> None:
    """Pause and release the whole engine."""


@engine.command()
@json_option
@click.pass_obj
def status(application: Application, as_json: bool) -> None:
    """Show whether the engine is RUNNING, PAUSING (steps are still in progress) or PAUSED."""
    with reading(application):
        found = engine_pause.state()
    _print_state(found, as_json=as_json)


@engine.command()
@json_option
@code_options
@click.pass_obj
def pause(application: Application, as_json: bool) -> None:
    """Pause the engine: no process starts or continues. Steps in progress end, and waits stay."""
    with application.processes() as service:
        _print_state(service.engine.pause(user=operator()), as_json=as_json)


@engine.command()
@json_option
@code_options
@click.pass_obj
def release(application: Application, as_json: bool) -> None:
    """End the pause: stopped processes continue in the workers, or here one after the other if there are none."""
    with application.processes() as service:
        for process_id in service.engine.release(user=operator()):
            with without_events():
                now = service.runs.launch_or_execute(process_id, user=operator())
            if not as_json:
                click.echo(f"Process {process_id} continues: it is {now}.")
        _print_state(service.engine.status(), as_json=as_json)


def _print_state(state: EngineState, *, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "status": state.status,
                "running": state.running,
                "stopped": state.stopped,
                "changed_by": state.changed_by,
                "changed_at": state.changed_at,
            }
        )
        return
    since = f", by {state.changed_by} since {state.changed_at:%Y-%m-%d %H:%M:%S}" if state.changed_at else ""
    click.echo(f"The engine is {state.status}{since}.")
    click.echo(f"Processes with a step in progress: {state.running}.")
    if state.status is not EngineStatus.RUNNING or state.stopped:
        click.echo(f"Processes that wait for the release: {state.stopped}.")
