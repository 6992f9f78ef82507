"""Whether the database has the catalogue of the code, and the embedded one that is brought up to date."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.catalogue.catalogue import Catalogue
from resources.database.session import StatementCount, SubscriptionDatabase
from resources.database.tables import EngineSettingsTable, ProductBlockTable, ProductTable, WorkflowTable
from resources.errors import CatalogueOutOfDate
from tests.test_resources.test_catalogue.nodes import CREATE_NODE, PLAIN, WITH_SPEED, details, node, row
from tests.test_resources.test_domain.samples import block, model, product, subscribe


def test_being_current_is_known_after_one_statement(database: SubscriptionDatabase, statements: StatementCount) -> None:
    catalogue = node(node_name=str)
    with database.transaction():
        catalogue.apply()
    statements.clear()
    catalogue.ensure_current(database)
    catalogue.ensure_current(database)
    assert statements.count == 1


def test_a_server_of_your_own_is_never_changed_unasked(database: SubscriptionDatabase) -> None:
    with pytest.raises(CatalogueOutOfDate, match=r"(?s)orchestrator catalogue apply.*create product 'Node'"):
        node(node_name=str).ensure_current(database)


@pytest.fixture
def embedded(database: SubscriptionDatabase, monkeypatch: pytest.MonkeyPatch) -> SubscriptionDatabase:
    """A database that counts as embedded; what this process saw of it is forgotten each time."""
    monkeypatch.setattr(SubscriptionDatabase, "is_embedded", True)
    monkeypatch.setattr("resources.catalogue.catalogue._seen", Forgetful())
    return database


class Forgetful(set[tuple[str, str]]):
    """Every look is a new process's first."""

    def __contains__(self, _: object) -> bool:
        return False


def names(session: Session, table: Any) -> set[str]:
    """Of the rows that are neither retired nor deleted."""
    ended = table.deleted_at if table is WorkflowTable else table.end_date
    return set(session.scalars(sa.select(table.name).where(ended.is_(None))))


def test_the_embedded_database_is_brought_up_to_date(embedded: SubscriptionDatabase) -> None:
    node(node_name=str).ensure_current(embedded)
    with embedded.transaction() as session:
        assert row(session).tag == "NODE"


def test_an_experiment_on_the_embedded_database_retires_nothing(embedded: SubscriptionDatabase) -> None:
    Catalogue([product(PLAIN)], [CREATE_NODE]).ensure_current(embedded)
    with embedded.transaction() as session:
        subscribe(row(session).product_id, Node={"node_name": "ams1"})
    domain = model("DomainModel", {"domain": block("Domain", {"fqdn": str})})
    Catalogue([product(domain, name="Domain")]).ensure_current(embedded)
    with embedded.transaction() as session:
        assert names(session, ProductTable) == names(session, ProductBlockTable) == {"Node", "Domain"}
        assert names(session, WorkflowTable) == {"create_node"}


def test_what_vanished_from_the_code_stays_until_the_catalogue_is_applied(embedded: SubscriptionDatabase) -> None:
    Catalogue([product(PLAIN), product(PLAIN, name="Port")]).ensure_current(embedded)
    smaller = Catalogue([product(PLAIN)])
    smaller.ensure_current(embedded)
    with embedded.transaction() as session:
        assert names(session, ProductTable) == {"Node", "Port"}
        assert details(smaller) == ["remove product 'Port': no longer in the code"]
        smaller.apply(remove=True)
        assert names(session, ProductTable) == {"Node"}


def test_a_value_an_input_and_a_workflow_that_vanished_stay_likewise(embedded: SubscriptionDatabase) -> None:
    Catalogue([product(WITH_SPEED, fixed_inputs={"speed": "fast"})], [CREATE_NODE]).ensure_current(embedded)
    smaller = Catalogue([product(model("NodeModel", {"node": block("Node", {"site": str})}))])
    smaller.ensure_current(embedded)
    with embedded.transaction() as session:
        assert row(session).fixed_inputs == {"speed": "fast"}
        assert details(smaller) == [
            "remove workflow 'create_node': no longer in the code; its processes keep their history",
            "remove resource type 'node_name': no block has it",
            "update product block 'Node': value 'node_name' removed; no instance holds it",
            "update product 'Node': fixed input speed: fast → nothing",
            "update product 'Node': workflow 'create_node' removed",
        ]
        smaller.apply(remove=True)
        assert not smaller.plan()


def test_two_code_locations_add_to_one_embedded_database_in_turn(embedded: SubscriptionDatabase) -> None:
    one = Catalogue([product(PLAIN, name="One")], [replace(CREATE_NODE, name="create_one")])
    two = Catalogue([product(PLAIN, name="Two")], [replace(CREATE_NODE, name="create_two")])
    for catalogue in (one, two, one, two):
        catalogue.ensure_current(embedded)
        with embedded.transaction() as session:
            assert not catalogue.plan().additions
    with embedded.transaction() as session:
        assert names(session, ProductTable) == {"One", "Two"}
        assert names(session, WorkflowTable) == {"create_one", "create_two"}


def test_with_other_code_in_the_database_being_current_still_takes_one_statement(
    embedded: SubscriptionDatabase, statements: StatementCount
) -> None:
    Catalogue([product(PLAIN), product(PLAIN, name="Port")]).ensure_current(embedded)
    node(node_name=str).ensure_current(embedded)
    statements.clear()
    node(node_name=str).ensure_current(embedded)
    assert statements.count == 1


def test_a_difference_that_is_none_is_no_reason_to_refuse(database: SubscriptionDatabase) -> None:
    with database.transaction() as session:
        node(node_name=str).apply()
        session.execute(sa.update(EngineSettingsTable).values(catalogue_hash={"orchestrator": "of an older version"}))
    node(node_name=str).ensure_current(database)


def test_two_processes_may_apply_at_once(database: SubscriptionDatabase) -> None:
    def apply(_: int) -> bool:
        with database.transaction():
            return bool(node(node_name=str).apply())

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(apply, range(4))) == [False, False, False, True]
