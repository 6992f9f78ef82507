"""The database that orchestrator-core made, in this run's server, and an orchestrator that declares its products."""

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import psycopg
import pytest

from orchestrator_defs.testing import Testbed
from resources.catalogue.catalogue import Product
from resources.core_import.findings import Report
from resources.core_import.importing import CoreImport, Options
from resources.core_import.source import CoreDatabase
from resources.database.embedded import EmbeddedServer
from resources.database.throwaway import administer
from tests.test_carried_over.rewriting import rewritten

HERE = Path(__file__).parent
DUMP = HERE / "core.sql"

Import = Callable[..., Report]


@pytest.fixture(scope="session")
def core_template(server: EmbeddedServer) -> Iterator[str]:
    """A database with the dump, to be copied."""
    name = f"core_{uuid4().hex}"
    administer(server, "CREATE DATABASE {}", name)
    with psycopg.connect(server.uri(name)) as connection:
        connection.execute(DUMP.read_bytes())
    yield name
    administer(server, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def core_uri(server: EmbeddedServer, core_template: str) -> Iterator[str]:
    """A database of orchestrator-core of the test's own."""
    name = f"core_{uuid4().hex}"
    administer(server, "CREATE DATABASE {} TEMPLATE {}", name, core_template)
    yield server.uri(name)
    administer(server, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def core(core_uri: str) -> Iterator[psycopg.Connection]:
    """A connection to it, which commits each statement."""
    with psycopg.connect(core_uri, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The products of orchestrator-core's project, with their imports changed."""
    folder = tmp_path_factory.mktemp("core")
    source = (HERE / "core_project" / "products.py").read_text()
    (folder / "imported_products.py").write_text(rewritten(source))
    sys.path.insert(0, str(folder))
    yield importlib.import_module("imported_products")
    sys.path.remove(str(folder))


@pytest.fixture
def bed(products: ModuleType, testbed_of: Callable[..., Testbed]) -> Testbed:
    """An orchestrator with these products in its database."""
    declared = [Product(name, tag, model, kind, name, inputs) for name, tag, model, kind, inputs in products.CATALOGUE]
    bed = testbed_of([], declared)
    bed.orchestrator.prepare()
    return bed


def run_import(bed: Testbed, uri: str, **options: bool) -> Report:
    with CoreDatabase.opened(uri) as source:
        return CoreImport(source, bed.database, Options("tester", **options), Report()).run()


@pytest.fixture
def imported(bed: Testbed, core_uri: str) -> Import:
    """Imports the database, with options; the report."""
    return partial(run_import, bed, core_uri)
