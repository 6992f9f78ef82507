"""The command `orchestrator`: each command is imported only when it is called."""

import atexit
import gc
from functools import cached_property
from importlib import import_module
from typing import Any

import click

from orchestrator_defs.cli.application import Application, ApplicationGroup
from orchestrator_defs.cli.code_options import code_options

COMMANDS = {
    "run": (
        "orchestrator_defs.cli.processes.commands:run",
        "Start WORKFLOW and wait until it stops; exit code 3 when it then waits for something.",
    ),
    "resume": (
        "orchestrator_defs.cli.processes.interventions:resume",
        "Resume a process from its last committed step, and wait until it stops.",
    ),
    "abort": (
        "orchestrator_defs.cli.processes.interventions:abort",
        "Abort a process; what it changed stays, and its subscription is unlocked but out of sync.",
    ),
    "process": (
        "orchestrator_defs.cli.processes.commands:process",
        "Show processes, and intervene in those that have stopped.",
    ),
    "schedules": (
        "orchestrator_defs.cli.schedules:schedules",
        "List, make, change and remove schedules, which start workflows by themselves.",
    ),
    "engine": (
        "orchestrator_defs.cli.engine:engine",
        "Pause and release the whole engine.",
    ),
    "subscriptions": (
        "orchestrator_defs.cli.subscriptions.commands:subscriptions",
        "List subscriptions; `show` and `history` look into one.",
    ),
    "subscriptions workflows": (
        "orchestrator_defs.cli.subscriptions.workflows:workflows",
        "Show which workflows you may start on a subscription, and why not the others.",
    ),
    "subscriptions validation": (
        "orchestrator_defs.cli.subscriptions.drift:validation",
        "Show what the newest validation of a subscription found.",
    ),
    "subscriptions push-intent": (
        "orchestrator_defs.cli.subscriptions.drift:push_intent",
        "Answer the drift that the newest validation found: push what the subscription says, and wait.",
    ),
    "subscriptions accept-reality": (
        "orchestrator_defs.cli.subscriptions.drift:accept_reality",
        "Answer the drift that the newest validation found: modify the subscription to it, and wait.",
    ),
    "export": (
        "orchestrator_defs.cli.export:export",
        "Write all that a query finds as CSV or JSON to the standard output.",
    ),
    "catalogue": (
        "orchestrator_defs.cli.catalogue:catalogue",
        "Compare products, blocks and workflows of the code with the database.",
    ),
    "import": (
        "orchestrator_defs.cli.imports.commands:imports",
        "Take over what exists already: subscriptions, and their history.",
    ),
    "import services": (
        "orchestrator_defs.cli.imports.services:services",
        "Import the services of FILE (.csv, .json, .jsonl, .yaml) as subscriptions of a product, in sync.",
    ),
    "import core": (
        "orchestrator_defs.cli.imports.core:core",
        "Take over subscriptions and processes of orchestrator-core 5 into this database; ids and dates stay.",
    ),
    "db": (
        "orchestrator_defs.cli.db:db",
        "Migrate, show and compare the schema of the database.",
    ),
    "db own": (
        "orchestrator_defs.cli.projects.tables:own",
        "Write and take back migrations of tables of your own; `orchestrator db upgrade` applies them.",
    ),
    "lab": (
        "orchestrator_defs.cli.lab:lab",
        "A simulated NetBox, playbook runner and devices, for an embedded database without NETBOX_URL or PLAYBOOK_URL.",
    ),
    "workers": (
        "orchestrator_defs.cli.workers:workers",
        "Resident workers, which execute launched runs.",
    ),
    "doctor": (
        "orchestrator_defs.cli.doctor:doctor",
        "Check everything that processes need, and say what to do.",
    ),
    "check-inflight": (
        "orchestrator_defs.cli.doctor:check_inflight",
        "Compare the code with every unfinished process.",
    ),
    "init": (
        "orchestrator_defs.cli.init:init",
        "Write a project of your own into the new folder DIR: a product with its whole life, a fake, tests.",
    ),
    "port-code": (
        "orchestrator_defs.cli.projects.port_code:port_code",
        "Carry the project of orchestrator-core in DIR over, into a package beside its code, and list what is left.",
    ),
    "new": (
        "orchestrator_defs.cli.projects.new:new",
        "Write another product into the project of this folder: blocks, steps, forms, workflows, a test, run configs.",
    ),
    "demo": (
        "orchestrator_defs.cli.demo:demo",
        "Create nodes, ports, core links and L2VPNs in the lab; change, drift, validate, reconcile and terminate.",
    ),
    "seed": (
        "orchestrator_defs.cli.seed:seed",
        "Fill the database with made-up subscriptions and their processes, as many as you like.",
    ),
    "serve": (
        "orchestrator_defs.cli.serve:serve",
        "Serve the API at /api, its documentation at /api/docs, and Dagster's page at /.",
    ),
    "up": (
        "orchestrator_defs.cli.up:up",
        "Start the database, the lab, Dagster's page, the API, the daemon and workers here, and run them until ^C.",
    ),
}
"""Command -> module and attribute, and the first sentence of its help, which the list of commands shows."""

PARTS = {
    "database": "resources.database.session:SubscriptionDatabase",
    "orchestrator": "orchestrator_defs.jobs.finding:find_orchestrator",
    "instance": "orchestrator_defs.processes.instance:dagster_instance",
    "processes": "orchestrator_defs.processes.processes:Processes",
}
"""What a command may load -> module and attribute."""


class LazyCommand(click.Command):
    """A command that is imported when it is called; before that only its name and first sentence are known."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.where, sentence = COMMANDS[words]
        super().__init__(words.rpartition(" ")[2], help=sentence)

    @cached_property
    def command(self) -> click.Command:
        """The command itself; a group with those of its own that are imported when they are called."""
        found: click.Command = imported(self.where)
        if isinstance(found, click.Group):
            for below in commands_below(self.words):
                found.add_command(below)
        return found

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """The context in which click runs the command, completes its arguments or shows its help."""
        return self.command.make_context(*args, **kwargs)


def commands_below(words: str) -> list[LazyCommand]:
    """The commands of a group, or with no words those of `orchestrator`."""
    return [LazyCommand(name) for name in COMMANDS if name.rpartition(" ")[0] == words]


def imported(where: str) -> Any:
    """What COMMANDS or PARTS name."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


def application() -> Application:
    """What commands are given."""
    return Application(lambda part: imported(PARTS[part]))


@click.group(cls=ApplicationGroup, commands=commands_below(""))
@click.version_option(package_name="dagster-service-orchestrator")
@code_options
@click.pass_context
def main(context: click.Context) -> None:
    """Service orchestrator on Dagster: products, subscriptions, and the workflows that move them through their life."""
    context.obj = context.obj or application()
    atexit.register(gc.freeze)  # at exit the interpreter would spend more than a second collecting garbage


if __name__ == "__main__":
    main()
