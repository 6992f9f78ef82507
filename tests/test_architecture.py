"""The house keeps its five rules, and each rule notices when it is broken."""

import pytest

from tests import architecture
from tests.architecture import RULES, Module, import_cycle, project_modules

MODULES = project_modules()


@pytest.mark.parametrize("path", MODULES)
def test_module_keeps_the_rules(path: str) -> None:
    faults = [f"{path}: {fault}" for rule in RULES for fault in rule(MODULES[path])]

    assert not faults, "\n" + "\n".join(faults)


def test_no_import_cycle() -> None:
    cycle = import_cycle(MODULES.values())

    assert not cycle, " -> ".join(cycle)


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
    ("relative_imports", "ops.a", "from . import step"),
    ("relative_imports", "ops.a", "from ..resources.types import State"),
    ("package_contents", "ops", "from ops.steps.step import step"),
    ("package_contents", "ops", "VERSION = 1"),
    ("package_contents", "orchestrator_defs", "from orchestrator_defs.jobs.decorators import workflow"),
    ("package_contents", "ops.products", "from orchestrator_defs.definitions import defs"),
    ("product_imports", "ops.a", "from resources.products.node import Node"),
    ("product_imports", "ops.a", "from ops import products"),
    ("product_imports", "orchestrator_defs.cli.main", "import orchestrator_defs.products.node"),
    ("product_imports", "resources.products.node", "from ops.products.node import reserve"),
    ("product_imports", "ops.products.node", "from orchestrator_defs.products.node import create_node"),
    ("strangers", "ops.a", "import sqlalchemy as sa"),
    ("strangers", "orchestrator_defs.cli.db", "from alembic import command"),
    ("strangers", "ops.a", "import psycopg"),
    ("strangers", "orchestrator_defs.jobs.decorators", "from fastapi import FastAPI"),
    ("strangers", "resources.graphql", "import strawberry"),
    ("strangers", "resources.a", "import click"),
    ("strangers", "ops.a", "from rich.table import Table"),
    ("strangers", "resources.database.session", "from starlette.routing import Route"),
    ("strangers", "resources.labour", "import uvicorn"),
    ("strangers", "resources.lab.inventory", "import pynetbox"),
    ("strangers", "orchestrator_defs.api.security.middleware", "from joserfc import jwt"),
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
    ("module_length", "ops.a", "\n" * 601),
]


@pytest.mark.parametrize(("rule", "name", "source"), BROKEN)
def test_rule_notices(rule: str, name: str, source: str) -> None:
    module = Module(name, source, is_package=name in {"ops", "orchestrator_defs", "ops.products"})

    assert getattr(architecture, rule)(module)


KEPT = [
    ("ops.a", "from resources.types import State\nfrom ops.steps.step import step"),
    ("ops.a", "def f():\n    import json"),
    ("ops.products.node", "from resources.products.node import Node\nfrom ops.products.port import label"),
    ("orchestrator_defs.definitions", "from orchestrator_defs.products.node import create_node"),
    ("orchestrator_defs", "from orchestrator_defs.definitions import defs\n__all__ = ['defs']"),
    ("resources.database.session", "import sqlalchemy as sa\nfrom psycopg import OperationalError"),
    ("resources.lab.asgi", "from starlette.applications import Starlette\nimport uvicorn"),
    ("resources.systems.netbox", "import pynetbox"),
    ("resources.runs.launching.launcher", "# argued\nfrom dagster._core.launcher import RunLauncher"),
    ("resources.runs.launching.launcher", "from dagster._core.launcher import RunLauncher  # argued"),
    (
        "resources.runs.launching.launcher",
        "# argued\nimport dagster._core.events\nfrom dagster._core.events.log import (\n    EventLogEntry,\n)",
    ),
    ("ops.a", "from dagster import OpExecutionContext, __version__"),
    ("orchestrator_defs.cli.main", "import click\nfrom orchestrator_defs.cli.db import db\nimport rich"),
    ("orchestrator_defs.api.app", "from fastapi import FastAPI\nfrom orchestrator_defs.api.rest import router"),
]


@pytest.mark.parametrize(("name", "source"), KEPT)
def test_rules_leave_a_good_module_alone(name: str, source: str) -> None:
    module = Module(name, f'"""Say why."""\n{source}', is_package=name == "orchestrator_defs")

    assert [fault for rule in RULES for fault in rule(module)] == []


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
