"""The command line loads what a command needs and no more; help and completion are as if it had loaded all."""

import os
import subprocess
import sys

from click.shell_completion import ShellComplete

from orchestrator_defs.cli.main import main
from resources.database.session import SubscriptionDatabase
from tests.architecture import ROOT

PRODUCTS = ("resources.products", "ops.products", "orchestrator_defs.products")
RUN = """
import sys
from orchestrator_defs.cli.main import main
for words in sys.argv[1:]:
    main(words.split(), standalone_mode=False)
print("loaded:", *sys.modules)
"""


def loaded_by(*commands: str, **environment: str) -> set[str]:
    """The modules that these commands have loaded, one after the other in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *commands],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_help_and_version_load_nothing_heavy() -> None:
    assert loaded_by("--help", "--version").isdisjoint(("dagster", "sqlalchemy", "pydantic", "rich", *PRODUCTS))


def test_commands_that_ask_only_the_database_load_neither_dagster_nor_the_definitions(
    database: SubscriptionDatabase,
) -> None:
    commands = ("process list", "process counts", "subscriptions list", "engine status", "db current")

    loaded = loaded_by(*commands, DATABASE_URI=database.uri)

    assert "sqlalchemy" in loaded
    assert loaded.isdisjoint(("dagster", "orchestrator_defs.definitions", *PRODUCTS))


def test_commands_are_completed_by_the_shell() -> None:
    completing = ShellComplete(main, {}, "orchestrator", "_ORCHESTRATOR_COMPLETE")

    assert [one.value for one in completing.get_completions([], "ch")] == ["check-inflight"]
    assert [one.value for one in completing.get_completions(["subscriptions"], "wor")] == ["workflows"]
    assert "--detach" in [one.value for one in completing.get_completions(["resume"], "--")]
