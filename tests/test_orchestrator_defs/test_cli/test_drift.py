"""`orchestrator subscriptions validation`, `push-intent` and `accept-reality`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli.application import ApplicationGroup
from orchestrator_defs.cli.processes.endings import end
from orchestrator_defs.cli.subscriptions import drift
from orchestrator_defs.cli.subscriptions.commands import subscriptions
from orchestrator_defs.processes.processes import Processes
from tests.drift import HOSTNAME, write_result
from tests.engine import Engine
from tests.toy_network import DEVICE, World, add_device, device_workflows

Invoke = Callable[..., Result]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def engine(engine_of: Callable[..., Engine], world: World) -> Engine:
    return engine_of(*device_workflows(world), products=[DEVICE])


@pytest.fixture
def device(engine: Engine, world: World) -> UUID:
    """A device in service."""
    return add_device(engine.bed, world)


@pytest.fixture
def invoke(engine: Engine) -> Invoke:
    """Runs one of the commands on the engine."""

    @contextmanager
    def processes() -> Iterator[Processes]:
        yield engine.service

    commands = ApplicationGroup(commands=[drift.validation, drift.push_intent, drift.accept_reality, subscriptions])
    application = SimpleNamespace(database=engine.database, processes=processes)
    return lambda *arguments: CliRunner().invoke(commands, arguments, obj=application)


def test_what_was_never_validated_says_so(invoke: Invoke, device: UUID) -> None:
    assert invoke("validation", "ams1").output == "Device ams1 was never validated.\n"


def test_drift_is_shown_with_both_answers(engine: Engine, invoke: Invoke, device: UUID) -> None:
    write_result(engine.database, device)
    shown = invoke("validation", "ams1").output
    assert "Device ams1: drifted at" in shown
    assert "device.hostname" in shown
    for answer in ("push-intent", "accept-reality"):
        assert f"orchestrator subscriptions {answer} {device} --reason WHY" in shown


def test_history_and_json_are_for_programs(engine: Engine, invoke: Invoke, device: UUID) -> None:
    write_result(engine.database, device, "passed")
    write_result(engine.database, device)
    assert [one["result"] for one in json.loads(invoke("validation", "ams1", "--history", "5", "--json").output)] == [
        "drifted",
        "passed",
    ]
    assert json.loads(invoke("validation", "ams1", "--json").output)["differences"] == [HOSTNAME]
    assert "passed" in invoke("validation", "ams1", "--history", "5").output


@pytest.mark.parametrize(("answer", "hostname"), [("push-intent", "ams1"), ("accept-reality", "utr1")])
def test_drift_is_answered(
    engine: Engine, invoke: Invoke, world: World, device: UUID, answer: str, hostname: str
) -> None:
    write_result(engine.database, device)
    result = invoke(answer, "ams1", "--reason", "Ticket 7.")
    assert result.exit_code == 0, result.output
    assert "is completed" in result.output
    assert engine.bed.subscription(device).device.hostname == hostname


def test_an_answer_needs_a_reason(engine: Engine, invoke: Invoke, device: UUID) -> None:
    write_result(engine.database, device)
    assert invoke("push-intent", "ams1").exit_code == 2
    assert "Give a reason" in invoke("push-intent", "ams1", "--reason", " ").output


def test_nothing_to_answer_is_one_sentence(invoke: Invoke, device: UUID) -> None:
    result = invoke("accept-reality", "ams1", "--reason", "x")
    assert result.exit_code == 1
    assert result.output == f"Error: Subscription {device} was never validated, so there is no drift to answer.\n"


def test_lists_show_the_result_and_know_it(engine: Engine, invoke: Invoke, device: UUID) -> None:
    write_result(engine.database, device)
    add_device(engine.bed, hostname="bru1")
    shown = invoke("subscriptions", "--query", "validation_result:drifted", "--json").output
    assert [one["validation_result"] for one in json.loads(shown)] == ["drifted"]
    assert "drifted" in invoke("subscriptions").output


def test_a_validation_that_fails_names_both_ways_out(
    engine: Engine, world: World, device: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    world.hostnames[str(device)] = "utr1"
    validation = engine.run("validate_device", [{"subscription_id": str(device)}])
    with pytest.raises(SystemExit):
        end(engine.service.queries.detail(validation))
    told = capsys.readouterr().err
    assert f"orchestrator run reconcile_device subscription_id={device}" in told
    assert f"orchestrator subscriptions accept-reality {device} --reason WHY" in told
