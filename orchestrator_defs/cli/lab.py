"""`orchestrator lab`: the simulated NetBox, playbook runner and devices."""

import json
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestrator_defs.cli.application import Application, ApplicationGroup
from resources.lab.control import Drift, LabControl
from resources.lab.launcher import lab_home, lab_url, running_url, stop_lab
from resources.settings import settings

SHORT_KEY = 10
CALL_FIELDS = ("method", "path", "idempotency_key", "status", "body")


@click.group(cls=ApplicationGroup)
def lab() -> None:
    """A simulated NetBox, playbook runner and devices, for an embedded database without NETBOX_URL or PLAYBOOK_URL."""


def with_control(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command the control of the lab on the application's database."""

    @click.pass_obj
    def called(application: Application, /, **options: Any) -> None:
        command(LabControl(application.database), **options)

    called.__doc__ = command.__doc__
    called.__name__ = command.__name__
    return called


@lab.command()
def start() -> None:
    """Run the lab until ^C. On the embedded database it starts by itself when it is used."""
    url = lab_url()
    click.echo(f"The lab answers at {url} (token: lab). It stops with the last process that uses it; ^C to leave.")
    if settings().database_uri is not None:
        click.echo(f"On a database of your own it is used on purpose only: set NETBOX_URL and PLAYBOOK_URL to {url}.")
    with suppress(KeyboardInterrupt):
        signal.pause()


@lab.command()
def stop() -> None:
    """Stop the lab's server, even while it is used. Its data stay."""
    click.echo("The lab is stopped." if stop_lab() else "The lab was not running.")


@lab.command()
@with_control
def status(control: LabControl) -> None:
    """Show whether the lab runs, its injected faults, and its devices."""
    url = running_url(lab_home())
    click.echo(f"The lab answers at {url}." if url else "The lab is not running; `orchestrator lab start` starts it.")
    for rule in control.rules():
        what = f"waits {rule.seconds:g} s at" if rule.effect == "slow" else f"fails ({rule.status})"
        often = "" if rule.times is None else f", {rule.times} more times"
        click.echo(f"It {what} {rule.pattern or 'everything'}{often}.")
    click.echo(f"Devices configured: {', '.join(control.devices()) or 'none'}.")


@lab.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_control
def reset(control: LabControl, yes: bool) -> None:
    """Delete everything in the lab and load its first inventory."""
    if not yes:
        click.confirm("All inventory, addresses and configurations in the lab will be deleted. Continue?", abort=True)
    control.reset()
    click.echo("The lab has its first inventory again.")


@lab.command()
@click.argument("device")
@click.option("--interface", metavar="NAME", help="Change this interface.")
@click.option("--service", metavar="NAME", help="Change this service: its name, its VNI or its description.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set this value; JSON, else text.")
@click.option("--netbox", "in_netbox", is_flag=True, help="Change NetBox and not the device.")
@with_control
def drift(
    control: LabControl,
    device: str,
    interface: str | None,
    service: str | None,
    assignments: tuple[str, ...],
    in_netbox: bool,
) -> None:
    """Change DEVICE outside the orchestrator, so that a validation finds drift.

    Without options: change the first object that is configured on it. An interface changes state and description.
    """
    values = dict(map(_assignment, assignments))
    if in_netbox:
        if service is not None:
            raise click.UsageError("--netbox changes a device or an interface; leave --service out.")
        _show_drift(control.drift_in_netbox(device, interface=interface, values=values))
    else:
        name = None if service is None else _service_name(control.show(device)["services"], device, service)
        _show_drift(control.drift(device, interface=interface, service=name, values=values))


@lab.command()
@click.argument("seconds", type=click.FloatRange(min=0))
@click.option("--only", "pattern", default="", metavar="PATTERN", help="Only what matches; see `fail`.")
@click.option("--times", type=click.IntRange(min=1), help="How many times.")
@with_control
def slow(control: LabControl, seconds: float, pattern: str, times: int | None) -> None:
    """Wait SECONDS before each answer and in each job."""
    control.slow(seconds, pattern, times)
    click.echo(f"The lab waits {seconds:g} s at {pattern or 'everything'}. `orchestrator lab heal` ends it.")


@lab.command()
@click.argument("pattern", default="")
@click.option("--times", type=click.IntRange(min=1), help="How many times.")
@click.option("--status", type=click.IntRange(400, 599), default=503, show_default=True, help="HTTP status to answer.")
@with_control
def fail(control: LabControl, pattern: str, times: int | None, status: int) -> None:
    """Fail everything that matches PATTERN, or everything.

    PATTERN is searched in `METHOD /path`, as in `POST /api/dcim/devices`, and in `job PLAYBOOK`, as in `job
    configure_port`; * and ? are wildcards.
    """
    control.fail(pattern, times=times, status=status)
    click.echo(f"The lab fails {pattern or 'everything'}. `orchestrator lab heal` ends it.")


@lab.command()
@with_control
def heal(control: LabControl) -> None:
    """Remove all injected faults. Drift stays: reconcile it."""
    control.heal()
    click.echo("The lab no longer injects faults.")


@lab.command()
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, the last ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with what was sent.")
@with_control
def calls(control: LabControl, limit: int, as_json: bool) -> None:
    """List the last calls that changed something, or tried to, with the start of their idempotency keys."""
    found = control.calls(limit)
    if as_json:
        shown = [{"at": call.at.isoformat(), **{name: getattr(call, name) for name in CALL_FIELDS}} for call in found]
        click.echo(json.dumps(shown, indent=2))
        return
    rows = (
        (f"{one.at:%H:%M:%S}", one.method, one.path.rstrip("/"), str(one.status), _short(one.idempotency_key))
        for one in found
    )
    _table(("time", "call", "path", "status", "key"), rows)


@lab.command()
@with_control
def devices(control: LabControl) -> None:
    """List the devices that playbooks have configured."""
    rows = (
        (name, str(len(config["interfaces"])), ", ".join(config["services"]))
        for name, config in control.devices().items()
    )
    _table(("device", "interfaces", "services"), rows)


@lab.command()
@click.argument("name")
@with_control
def show(control: LabControl, name: str) -> None:
    """Print the configuration of the device NAME as JSON."""
    click.echo(json.dumps(control.show(name), indent=2))


def _service_name(services: Mapping[str, Mapping[str, Any]], device: str, wanted: str) -> str:
    """The one service of the device with this name, VNI or description. Raises click.ClickException."""
    known = {name: (name, str(service.get("vni")), service.get("description")) for name, service in services.items()}
    found = [wanted] if wanted in known else [name for name, calls in known.items() if wanted in calls]
    if len(found) == 1:
        return found[0]
    listed = "".join(f"\n  {name}  VNI {vni}  {text or ''}" for name, vni, text in known.values()) or " none"
    what = f"More than one service of {device} is {wanted!r}" if found else f"{device} has no service {wanted!r}"
    raise click.ClickException(f"{what}; it has:{listed}")


def _short(key: str | None) -> str | None:
    """The start of a key, which is the id of the process."""
    return key if key is None or len(key) <= SHORT_KEY else f"{key[: SHORT_KEY - 1]}…"


def _assignment(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise click.BadParameter(f"{text!r} is not KEY=VALUE.", param_hint="--set")
    # Anything but JSON is text: `--set enabled=false` is false, `--set description=gone` needs no quotes.
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _show_drift(drift: Drift) -> None:
    for key in drift.after:
        if drift.before.get(key) != drift.after[key]:
            before, after = (json.dumps(one.get(key)) for one in (drift.before, drift.after))
            click.echo(f"{drift.where}: {key} {before} -> {after}")


def _table(columns: Iterable[str], rows: Iterable[Iterable[str | None]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell or "") for cell in row))
    Console(soft_wrap=True).print(table)
