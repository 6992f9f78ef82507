"""`orchestrator schedules`: what people read, what is refused, and what programs get."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance

from ops import SubmitFormPage, begin, step
from orchestrator_defs import task
from orchestrator_defs.cli import main as cli
from orchestrator_defs.sensors.schedule_sensor import schedule_sensor
from resources.users import Role, User
from tests.engine import Engine
from tests.ticks import daemon_context

Command = Callable[..., str]


class Colour(SubmitFormPage):
    colour: str


@step("Do it")
def do_it() -> None: ...


@task("Paint", Colour)
def paint() -> Any:
    return begin >> do_it


@pytest.fixture
def engine(engine_of: Callable[..., Engine]) -> Engine:
    return engine_of(paint)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, dagster_instance: DagsterInstance, tmp_path: Path, engine: Engine
) -> Command:
    """Runs `orchestrator schedules …`; what it prints."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))

    def invoke(*words: str, exit_code: int = 0) -> str:
        application = cli.application()
        application.orchestrator, application.database = engine.orchestrator, engine.database
        result = CliRunner().invoke(cli.main, ["schedules", *words], obj=application)
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result.output

    return invoke


def the_one(command: Command) -> Any:
    (found,) = json.loads(command("list", "--json"))
    return found


def test_schedule_is_made_listed_fired_shown_and_removed(
    command: Command, engine: Engine, later: Callable[..., Any]
) -> None:
    assert "There is none." in command("list")
    made = command("add", "paint", "colour=red", "--every", "1h", "--name", "Fresh [paint]", "--missed", "all")
    schedule_id = the_one(command)["schedule_id"]
    assert made.startswith(f"Schedule {schedule_id} of paint is made; it fires next at 20")
    assert "none yet" in command("list")
    with later(timedelta(hours=1, seconds=1)):
        sensor = schedule_sensor(engine.orchestrator, engine.orchestrator.jobs)
        sensor.evaluate_tick(daemon_context(engine.instance))
    process_id = the_one(command)["last_run"]["process_id"]
    assert f"process {process_id}" in command("list")
    shown = command("show", schedule_id[:8])
    assert ("Fresh [paint]" in shown, "{'colour': 'red'}" in shown, f"process {process_id}" in shown) == (True,) * 3
    assert command("remove", schedule_id[:8]) == f"Schedule {schedule_id} ('Fresh [paint]' of paint) is removed.\n"
    assert command("list", "--json") == "[]\n"


def test_a_change_says_from_now_on_when_with_what_and_as_whom(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("add", "paint", "colour=red", "--every", "1h", "--name", "Fresh paint")
    before = the_one(command)
    monkeypatch.setattr("orchestrator_defs.cli.schedules.operator", lambda: User("bob", roles=[Role.ADMIN]))
    said = command("change", before["schedule_id"][:8], "colour=blue", "--every", "2h", "--missed", "none")
    found = the_one(command)
    assert said.startswith(f"Schedule {found['schedule_id']} is changed and starts as bob; it fires next at 20")
    changes = {"inputs": [{"colour": "blue"}], "trigger_kwargs": {"hours": 2}, "missed": "none", "starts_as": "bob"}
    moments = {name: found[name] for name in ("next_run_at", "rights_at")}
    assert found == before | changes | moments


def test_a_schedule_is_taken_over_by_a_change_of_nothing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command("add", "paint", "colour=red", "--every", "1h")
    before = the_one(command)
    monkeypatch.setattr("orchestrator_defs.cli.schedules.operator", lambda: User("bob", roles=[Role.ADMIN]))
    command("change", before["schedule_id"])
    found = the_one(command)
    assert found == before | {"starts_as": "bob", "rights_at": found["rights_at"]}
    assert "starts as: bob, with the roles of 20" in command("show", found["schedule_id"])


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("--cron", "10 0 * * 1-5", "--timezone", "Europe/Amsterdam"), ("cron", "mon,tue,wed,thu,fri")),
        (("--every", "30m"), ("interval", 30)),
        (("--at", "2099-01-31T08:00"), ("date", "2099-01-31T08:00:00")),
    ],
)
def test_when_is_said_in_three_ways(command: Command, words: tuple[str, ...], kept: tuple[str, Any]) -> None:
    command("add", "paint", "colour=red", *words)
    found = the_one(command)
    assert found["trigger"] == kept[0]
    assert kept[1] in found["trigger_kwargs"].values()


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("paint", "colour=red"), 2, "give one of --cron, --every and --at"),
        (("paint", "colour=red", "--every", "1h", "--at", "2099-01-01"), 2, "give one of"),
        (("paint", "colour=red", "--every", "soon"), 2, "such as 30m or 4h, not 'soon'"),
        (("paint", "colour=red", "--cron", "99 0 * * *"), 1, "minute"),
        (("paint", "colour=red", "--at", "2020-01-01"), 1, "never fires"),
        (("paint", "--every", "1h"), 1, "colour"),
        (("pain", "colour=red", "--every", "1h"), 1, "pain"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    command: Command, words: tuple[str, ...], exit_code: int, said: str
) -> None:
    assert said in command("add", *words, exit_code=exit_code)
    assert command("list", "--json") == "[]\n"


def test_unknown_schedule_is_refused(command: Command) -> None:
    for name in ("show", "change", "remove"):
        assert "There is no schedule whose id begins with 'abc'" in command(name, "abc", exit_code=1)
