"""`orchestrator import services`."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid5

import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli.application import operator
from orchestrator_defs.cli.main import main
from resources.subscriptions.history import read_history
from resources.subscriptions.lists import list_subscriptions
from resources.subscriptions.queries import find_product
from tests.engine import Engine
from tests.toy_network import DEVICE, World, device_workflows

Invoke = Callable[..., Result]
PRODUCT = ("--product", "Test Device", "--key", "serial", "--column", "Router=device.hostname", "--column", "Site=")
CSV = "serial,Router,Site\n1,ams1,Amsterdam\n2,,Utrecht\n3,lon7,London\n"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def engine(engine_of: Callable[..., Engine], world: World) -> Engine:
    made = engine_of(*device_workflows(world), products=[DEVICE])
    made.orchestrator.prepare()
    return made


@pytest.fixture
def invoke(engine: Engine, tmp_path: Path) -> Invoke:
    """Runs the command on a file with this text."""
    (tmp_path / "services.csv").write_text(CSV)

    def run(*arguments: str, file: str = "services.csv") -> Result:
        application = SimpleNamespace(database=engine.database, orchestrator=engine.orchestrator)
        words = ["import", "services", str(tmp_path / file), *arguments]
        return CliRunner().invoke(main, words, obj=application)

    return run


def names(engine: Engine) -> dict[str, Any]:
    with engine.database.transaction():
        return {line.description: line.subscription_id for line in list_subscriptions()}


def test_rows_are_imported_and_refused_ones_are_reported(engine: Engine, invoke: Invoke) -> None:
    result = invoke(*PRODUCT, "--description", "Device {Router}")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-2:] == [
        "row 3: device.hostname: a value is missing",
        "2 imported, 0 there already, 1 refused.",
    ]
    assert set(names(engine)) == {"Device ams1", "Device lon7"}
    with engine.database.transaction():
        (first,) = read_history(names(engine)["Device ams1"])
    assert (first.created_by, first.reason) == (operator(), "imported from services.csv")


def test_refused_rows_are_repaired_and_imported(engine: Engine, invoke: Invoke, tmp_path: Path) -> None:
    invoke(*PRODUCT, "--refused", str(tmp_path / "refused.csv"))
    text = (tmp_path / "refused.csv").read_text()
    assert "a value is missing" in text
    (tmp_path / "refused.csv").write_text(text.replace("2,,", "2,utr1,"))
    result = invoke(*PRODUCT, file="refused.csv")
    assert (result.exit_code, len(names(engine))) == (0, 3)


def test_a_report_for_programs_has_each_row(engine: Engine, invoke: Invoke) -> None:
    report = json.loads(invoke(*PRODUCT, "--dry-run", "--json").stdout)
    refusal = {"row": 3, "reason": "device.hostname: a value is missing"}
    assert report == {"imported": 2, "present": 0, "refused": 1, "refusals": [refusal], "dry_run": True}
    assert names(engine) == {}


def test_a_validation_keeps_out_what_the_network_does_not_have(engine: Engine, world: World, invoke: Invoke) -> None:
    """No step that writes to the network runs; the comparison does, once for each row that is right by itself."""
    with engine.database.transaction():
        world.hostnames[str(uuid5(find_product("Test Device").product_id, "1"))] = "ams1"
    result = invoke(*PRODUCT, "--validate")
    assert "row 4: validate_device has drifted: device.hostname is None and should be 'lon7'" in result.stdout
    assert set(names(engine)) == {"Test Device 1"}
    assert world.calls == ["compare", "compare"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--product", "Nothing"), "Nothing"),
        ((*PRODUCT, "--column", "Router"), "is not THEIRS=OURS"),
        ((*PRODUCT, "--refused", "refused.json"), "let it end with .csv, too"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(invoke: Invoke, arguments: tuple[str, ...], sentence: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code in (1, 2)
    assert sentence in result.stderr
