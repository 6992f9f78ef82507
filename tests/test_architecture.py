"""The house keeps its rules, and each rule notices when it is broken."""

import re

import pytest

from tests import architecture
from tests.architecture import (
    LONGEST_MODULE,
    MOST_MODULES,
    ROOT,
    RULES,
    RULES_OF_ALL,
    Module,
    import_cycle,
    project_modules,
    room_of,
)
from tests.rooms import ALLOWED

MODULES = project_modules()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps(rule: architecture.Rule) -> None:
    faults = [f"{path}: {fault}" for path, module in MODULES.items() for fault in rule(module)]

    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("rule", RULES_OF_ALL, ids=lambda rule: rule.__name__)
def test_the_whole_house_keeps(rule: architecture.RuleOfAll) -> None:
    faults = rule(MODULES.values())

    assert not faults, "\n" + "\n".join(faults)


def test_the_table_of_rooms_has_no_cycle() -> None:
    rooms = [Module(room, "\n".join(f"import {target}" for target in targets)) for room, targets in ALLOWED.items()]

    assert not (cycle := import_cycle(rooms)), " -> ".join(cycle)


def test_no_import_cycle() -> None:
    cycle = import_cycle(MODULES.values())

    assert not cycle, " -> ".join(cycle)


def test_no_module_of_the_tests_is_too_long() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in (ROOT / "tests").rglob("*.py")}

    assert not [f"{path}: {length} lines" for path, length in lines.items() if length > LONGEST_MODULE]


def test_all_three_floors_are_read() -> None:
    assert {"resources", "ops", "orchestrator_defs"} == {path.partition("/")[0] for path in MODULES}


BROKEN = [
    ("imports_upwards", "resources.a", "from ops.steps.step import step"),
    ("imports_upwards", "resources.a", "import orchestrator_defs.jobs.decorators"),
    ("imports_upwards", "ops.a", "from orchestrator_defs import workflow"),
    ("imports_upwards", "ops.a", "if TYPE_CHECKING:\n    from orchestrator_defs.jobs.decorators import workflow"),
    ("hidden_imports", "ops.a", "def f():\n    from resources.types import State"),
    ("hidden_imports", "ops.a", "class A:\n    async def f(self):\n        import resources.types"),
    ("hidden_imports", "ops.a", "def f():\n    importlib.import_module('resources.types')"),
    ("hidden_imports", "ops.a", "def f():\n    from . import step"),
    ("computed_imports", "ops.a", "def f(name):\n    return importlib.import_module(name)"),
    ("computed_imports", "orchestrator_defs.cli.db", "import_module('resources.' + name)"),
    ("relative_imports", "ops.a", "from . import step"),
    ("relative_imports", "ops.a", "from ..resources.types import State"),
    ("package_contents", "ops", "from ops.steps.step import step"),
    ("package_contents", "ops", "VERSION = 1"),
    ("package_contents", "orchestrator_defs", "from orchestrator_defs.definitions import defs"),
    ("package_contents", "orchestrator_defs", "__getattr__ = lazy_loader.attach_stub(__name__, '../ops')[0]"),
    ("package_contents", "ops.products", "import lazy_loader"),
    ("face_imports", "ops.steps.forms", "from ops import step"),
    ("face_imports", "orchestrator_defs.cli.main", "from orchestrator_defs import defs"),
    ("face_imports", "ops.a", "def f():\n    from resources import Product"),
    ("face_imports", "ops.a", "import resources"),
    ("face_imports", "ops.products.node", "from ops.steps.step import step"),
    ("face_imports", "orchestrator_defs.products.node", "from resources import settings"),
    ("product_imports", "ops.a", "from resources.products.node import Node"),
    ("product_imports", "ops.a", "from ops import products"),
    ("product_imports", "orchestrator_defs.cli.main", "import orchestrator_defs.products.node"),
    ("product_imports", "resources.products.node", "from ops.products.node import reserve"),
    ("product_imports", "ops.products.node", "from orchestrator_defs.products.node import create_node"),
    ("third_party_homes", "ops.a", "import sqlalchemy as sa"),
    ("third_party_homes", "orchestrator_defs.cli.db", "from alembic import command"),
    ("third_party_homes", "ops.a", "import psycopg"),
    ("third_party_homes", "ops.a", "import lazy_loader"),
    ("third_party_homes", "orchestrator_defs.jobs.decorators", "from fastapi import FastAPI"),
    ("third_party_homes", "resources.graphql", "import strawberry"),
    ("third_party_homes", "resources.a", "import click"),
    ("third_party_homes", "ops.a", "from rich.table import Table"),
    ("third_party_homes", "resources.database.session", "from starlette.routing import Route"),
    ("third_party_homes", "resources.labour", "import uvicorn"),
    ("third_party_homes", "resources.lab.inventory", "import pynetbox"),
    ("third_party_homes", "orchestrator_defs.api.security.middleware", "from joserfc import jwt"),
    ("private_dagster", "ops.a", "# argued\nfrom dagster._core.instance import DagsterInstance"),
    ("private_dagster", "orchestrator_defs.api.rest", "from dagster import _core"),
    ("private_dagster", "ops.a", "import dagster._utils.log"),
    ("private_dagster", "resources.runs.launching.launcher", "from dagster._core.launcher import RunLauncher"),
    ("private_dagster", "resources.runs.launching.launcher", "# argued\nimport dagster\nimport dagster._core"),
    (
        "private_dagster",
        "resources.runs.launching.launcher",
        "# argued\n\nfrom dagster._core.launcher import RunLauncher",
    ),
    ("door_imports", "orchestrator_defs.definitions", "from orchestrator_defs.api.app import app"),
    ("door_imports", "orchestrator_defs.jobs.decorators", "from orchestrator_defs import cli"),
    ("door_imports", "orchestrator_defs.cli.serve", "import orchestrator_defs.api.dagster_page"),
    ("module_docstring", "ops.a", "x = 1"),
    ("module_docstring", "ops.a", '"""Steps"""'),
    ("module_docstring", "ops.a", '"""steps are here."""'),
    ("module_length", "ops.a", "\n" * (LONGEST_MODULE + 1)),
    ("closed_rooms", "resources.database.session", "from resources.domain.blocks import ProductBlockModel"),
    ("closed_rooms", "resources.domain.models.fields", "from resources.domain.saving import records"),
    ("closed_rooms", "resources.clock", "from resources.database.session import SubscriptionDatabase"),
    ("closed_rooms", "resources.systems.netbox", "from resources.lab.launcher import lab_url"),
    ("closed_rooms", "resources.migrations.versions.0001_a", "from resources.domain.saving import search_text"),
    ("closed_rooms", "resources.migrations.versions.0001_a", "from resources.database import session"),
    ("closed_rooms", "resources.newcomer", "import json"),
    ("closed_rooms", "orchestrator_defs.cli.main", "PARTS = {'lists': 'orchestrator_defs.sensors.wake:wake'}"),
    ("closed_rooms", "ops.steps.step", "from ops.running.segment import Segment"),
    ("closed_rooms", "ops.steps.step", "from resources.lab.launcher import lab_url"),
    ("closed_rooms", "ops.steps.step", "from resources.migrations import env"),
    ("closed_rooms", "orchestrator_defs.jobs.tasks", "from orchestrator_defs.sensors.wake import process_sensors"),
    ("closed_rooms", "orchestrator_defs.health.readiness", "from resources.testing import fresh_database"),
]


def _sample(name: str, source: str) -> Module:
    return Module(name, source, is_package=name in {"ops", "orchestrator_defs", "ops.products"})


def test_each_rule_notices_what_breaks_it() -> None:
    unnoticed = [
        (rule, name, source) for rule, name, source in BROKEN if not getattr(architecture, rule)(_sample(name, source))
    ]

    assert not unnoticed, "\n".join(map(str, unnoticed))


def test_each_rule_has_an_example_that_breaks_it() -> None:
    assert {rule.__name__ for rule in RULES} == {rule for rule, _, _ in BROKEN}


KEPT = [
    ("resources.domain.blocks", "from resources.domain.saving.headers import SubscriptionHeader"),
    ("resources.migrations.env", "from resources.database.tables import metadata\nfrom resources import clock"),
    ("orchestrator_defs.cli.lab", "from resources.lab.control import LabControl"),
    ("orchestrator_defs.sensors.wake", "from ops.waiting import children\nfrom resources.runs.workers import worker"),
    ("ops.steps.a", "from resources.types import State\nfrom ops.steps.step import step"),
    ("ops.steps.a", "def f():\n    import json"),
    ("ops.products.node", "from resources.products.node import Node\nfrom ops.products.port import label"),
    ("ops.products.node", "from ops import StepContext, step\nfrom resources import InconsistentData, NetBox"),
    ("ops.steps.a", "from resources import clock\nimport resources.types"),
    ("orchestrator_defs.definitions", "from orchestrator_defs.products.node import create_node"),
    ("orchestrator_defs", "\n".join(architecture.ATTACHES_FACE)),
    ("resources.database.session", "import sqlalchemy as sa\nfrom psycopg import OperationalError"),
    ("resources.lab.asgi", "from starlette.applications import Starlette\nimport uvicorn"),
    ("resources.systems.netbox_connection", "import pynetbox"),
    ("resources.runs.launching.launcher", "# argued\nfrom dagster._core.launcher import RunLauncher"),
    ("resources.runs.launching.launcher", "from dagster._core.launcher import RunLauncher  # argued"),
    (
        "resources.runs.launching.launcher",
        "# argued\nimport dagster._core.events\nfrom dagster._core.events.log import (\n    EventLogEntry,\n)",
    ),
    ("ops.steps.a", "from dagster import OpExecutionContext, __version__"),
    ("orchestrator_defs.cli.main", "A = {'db': 'orchestrator_defs.cli.db:db'}\ndef f(name):\n    import_module(name)"),
    ("orchestrator_defs.cli.main", "import click\nfrom orchestrator_defs.cli.db import db\nimport rich"),
    ("orchestrator_defs.api.app", "from fastapi import FastAPI\nfrom orchestrator_defs.api.rest import router"),
]


def test_rules_leave_good_modules_alone() -> None:
    faults = [
        f"{name}: {fault}"
        for name, source in KEPT
        for rule in RULES
        for fault in rule(_sample(name, f'"""Say why."""\n{source}'))
    ]

    assert not faults, "\n" + "\n".join(faults)


def test_a_permission_that_nobody_needs_is_noticed() -> None:
    modules = [Module("ops.running.segment", "from ops.steps.step import Step")]

    assert "ops.running -> ops.starting" in architecture.unused_permissions(modules)
    assert "ops.running -> ops.steps" not in architecture.unused_permissions(modules)


def test_a_full_package_is_noticed() -> None:
    modules = [Module(f"ops.steps.step_{number}", "") for number in range(MOST_MODULES + 1)]

    assert architecture.full_packages(modules) == [f"ops.steps has {MOST_MODULES + 1} modules; {MOST_MODULES} at most"]
    assert not architecture.full_packages([*modules[1:], Module("ops.steps", "", is_package=True)])


def test_a_name_on_two_floors_is_noticed() -> None:
    modules = [Module(name, "") for name in ("resources.processes.waits", "ops.waiting.waits", "ops.steps.state")]

    assert architecture.shared_names(modules) == ["ops.waiting.waits and resources.processes.waits have one name"]


def test_routes_and_commands_may_be_called_like_what_they_show() -> None:
    names = ("resources.processes.schedules", "orchestrator_defs.api.rest.schedules", "orchestrator_defs.cli.schedules")

    assert not architecture.shared_names([Module(name, "") for name in names])


def test_the_room_of_a_module_is_the_longest_name_that_fits() -> None:
    assert room_of("resources.domain.saving.records.HeaderRecord") == "resources.domain.saving"
    assert room_of("resources.domain.blocks") == "resources.domain"
    assert room_of("resources.domains.blocks") is None


def test_cycle_is_found_through_a_function_and_named_along_its_way() -> None:
    modules = [
        Module("ops.a", "import ops.b"),
        Module("ops.b", "def f():\n    from ops import c"),
        Module("ops.c", "from ops.a import x"),
        Module("ops.d", "import ops.a"),
    ]

    assert import_cycle(modules) == ["ops.a", "ops.b", "ops.c", "ops.a"]


def test_cycle_through_a_package_is_found() -> None:
    modules = [Module("ops", "from ops.a import x", is_package=True), Module("ops.a", "from ops import x")]

    assert import_cycle(modules) == ["ops", "ops.a", "ops"]


def test_a_diamond_is_no_cycle() -> None:
    modules = [
        Module("ops.a", "import ops.b, ops.c"),
        Module("ops.b", "import ops.d"),
        Module("ops.c", "import ops.d"),
        Module("ops.d", ""),
    ]

    assert import_cycle(modules) == []


PAGE = (architecture.ROOT / "docs" / "architecture.md").read_text()


def test_the_page_about_the_architecture_has_the_table() -> None:
    shown = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", PAGE, re.MULTILINE))

    def within(room: str, target: str) -> str:
        return f"`{target.removeprefix(room.partition('.')[0] + '.')}`"

    assert shown == {
        room: ", ".join(within(room, target) for target in targets) or "nothing" for room, targets in ALLOWED.items()
    }


def test_the_page_about_the_architecture_names_modules_that_exist() -> None:
    named = re.findall(r"`((?:resources|ops|orchestrator_defs)/[\w/]+\.py)`", PAGE)

    assert named
    assert not [path for path in named if path not in MODULES]
