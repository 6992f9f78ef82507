"""The documentation is part of the product: what can be set or run stands in it."""

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import click
import yaml

from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.cli.main import COMMANDS, LazyCommand, main
from orchestrator_defs.testing import Testbed
from resources.runs.launching.launcher import WarmRunLauncher
from resources.settings import Settings
from resources.users import Role

PROJECT = Path(__file__).parents[1]
TEXTS = "\n".join(path.read_text() for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))))


def test_every_setting_is_documented() -> None:
    """By the name of its variable."""
    variables = [field.upper() for field in (*Settings.model_fields, *ApiSettings.model_fields)]
    assert [variable for variable in variables if f"`{variable}`" not in TEXTS] == []


def test_every_command_is_documented() -> None:
    """With `orchestrator` before it."""
    assert [name for name in main.commands if f"orchestrator {name}" not in TEXTS] == []


def test_every_command_has_help() -> None:
    """A sentence of its own, and one for each command below it."""
    commands = [command.command for command in main.commands.values()]
    below = [one for command in commands if isinstance(command, click.Group) for one in command.commands.values()]
    assert [command.name for command in (*commands, *below) if not command.help] == []


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    """At any width, though it loads none of them."""
    differing = [
        (words, width)
        for words in COMMANDS
        for width in (30, 70, 200)
        if LazyCommand(words).get_short_help_str(width) != LazyCommand(words).command.get_short_help_str(width)
    ]

    assert differing == []


def test_example_of_work_side_by_side_runs(testbed_of: Callable[..., Testbed]) -> None:
    """As it stands on its page, to the end."""
    (code,) = re.findall(r"```python\n(.*?)```", (PROJECT / "docs/side_by_side.md").read_text(), re.DOTALL)
    page = ModuleType("example_of_docs")
    exec(compile(code, "docs/side_by_side.md", "exec"), page.__dict__)
    bed = testbed_of([page.configure_ports, page.configure_port])
    run = bed.run("configure_ports", {"ports": ["1/1/1", "1/1/2", "1/1/3"]})
    assert sorted(one.state["configured"] for one in run.run_children()) == ["1/1/1.101", "1/1/2.102", "1/1/3.103"]
    bed.wake()
    run.assert_completed()
    assert len(run.state["children_results"]) == 3


def test_every_role_is_documented() -> None:
    """In the table on the page about security."""
    page = (PROJECT / "docs" / "security.md").read_text()
    assert [role for role in Role if f"| `{role}` |" not in page] == []


def test_every_option_of_the_launcher_is_documented() -> None:
    """On the page about workers."""
    page = (PROJECT / "docs" / "workers.md").read_text()
    assert [option for option in WarmRunLauncher.config_type() if f"`{option}`" not in page] == []


def test_the_configuration_with_a_queue_differs_in_the_queue_alone() -> None:
    """Whoever puts it in the place of dagster.yaml loses nothing."""
    plain, queued = (
        yaml.safe_load((PROJECT / name).read_text()) for name in ("dagster.yaml", "deploy/dagster-queued.yaml")
    )
    assert plain.pop("run_coordinator")["class"] == "DefaultRunCoordinator"
    assert queued.pop("run_coordinator")["class"] == "QueuedRunCoordinator"
    assert plain == queued
