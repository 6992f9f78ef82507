"""`orchestrator export`."""

import csv
import json
from io import StringIO
from types import SimpleNamespace

from click.testing import CliRunner, Result

from orchestrator_defs.cli.application import operator
from orchestrator_defs.cli.export import export
from orchestrator_defs.cli.main import main
from resources.searches.saved_queries import save_query
from tests.engine import Engine
from tests.toy_network import DEVICE, World, add_device, device_workflows


def run(engine: Engine, *arguments: str) -> Result:
    application = SimpleNamespace(database=engine.database, catalogue=None)
    return CliRunner().invoke(export, arguments, obj=application)


def test_what_a_query_finds_is_written(engine_of) -> None:
    engine = engine_of(*device_workflows(World()), products=[DEVICE])
    for name in ("ams1", "lon7"):
        add_device(engine.bed, hostname=name)
    columns = ("--column", "description", "--column", "device.hostname")
    found = run(engine, "subscriptions", "--query", "device.hostname=ams*", *columns)
    assert list(csv.reader(StringIO(found.output))) == [["description", "device.hostname"], ["Device ams1", "ams1"]]
    products = json.loads(run(engine, "products", "--format", "json").output)
    assert [one["name"] for one in products] == [DEVICE.name]


def test_what_cannot_be_asked_is_a_sentence(engine_of) -> None:
    engine = engine_of(products=[DEVICE])
    application = SimpleNamespace(database=engine.database, catalogue=None)
    result = CliRunner().invoke(main, ["export", "workflows", "--query", "(a"], obj=application)
    assert (result.exit_code, result.output) == (
        1,
        "Error: The search cannot be read at character 1: the parenthesis is not closed.\n",
    )


def test_a_saved_search_is_exported_by_its_id(engine_of) -> None:
    engine = engine_of(*device_workflows(World()), products=[DEVICE])
    for name in ("ams1", "lon7"):
        add_device(engine.bed, hostname=name)
    parameters = {"query": "ams1", "response_columns": ["description"]}
    with engine.database.transaction():
        kept = save_query("mine", "subscriptions", parameters, is_shared=False, user=operator()).query_id
    assert run(engine, "--saved", str(kept)).output.split() == ["description", "Device", "ams1"]
    assert "Say what to export" in run(engine).output
    assert "Say what to export" in run(engine, "products", "--saved", str(kept)).output
