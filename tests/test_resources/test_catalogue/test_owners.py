"""Whose a row of the catalogue is: two code locations on one database, and one that was renamed."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.orm import Session

from resources.catalogue.catalogue import Catalogue
from resources.catalogue.owners import belongings
from resources.database.session import StatementCount, SubscriptionDatabase
from resources.database.tables import (
    ProcessTable,
    ProductBlockTable,
    ProductProductBlockTable,
    ProductTable,
    ResourceTypeTable,
    WorkflowTable,
)
from resources.errors import CatalogueClash, CatalogueError
from tests.test_resources.test_catalogue.nodes import BLOCK, CREATE_NODE, PLAIN, details, row
from tests.test_resources.test_domain.samples import block, model, process, product, subscribe

BUILT_IN = replace(CREATE_NODE, name="modify_note", is_built_in=True)
DOMAIN = model("DomainModel", {"domain": block("Domain", {"fqdn": str, "node_name": str})})
CREATE_DOMAIN = replace(CREATE_NODE, name="create_domain", product_types=("Domain",))


def shipped(*workflows: Any, name: str = "shipped") -> Catalogue:
    return Catalogue([product(PLAIN)], [CREATE_NODE, replace(BUILT_IN, product_types=("Node",)), *workflows], name)


def own(name: str = "own", **changes: Any) -> Catalogue:
    """Another location, which shares the resource type `node_name` with the shipped one."""
    domain = product(DOMAIN, **{"name": "Domain", "product_type": "Domain", **changes})
    return Catalogue([domain], [CREATE_DOMAIN, replace(BUILT_IN, product_types=("Domain",))], name)


def owners(session: Session, table: Any) -> dict[str, str | None]:
    return dict(session.execute(sa.select(table.name, table.owner)).all())


def empty(name: str) -> Catalogue:
    return Catalogue([], [], name)


@pytest.fixture
def both(session: Session) -> Session:
    """A database with the catalogues of two locations."""
    shipped().apply()
    own().apply()
    return session


def test_rows_belong_to_the_location_that_applied_them(both: Session) -> None:
    assert owners(both, ProductTable) == {"Node": "shipped", "Domain": "own"}
    assert owners(both, ProductBlockTable) == {"Node": "shipped", "Domain": "own"}
    assert owners(both, WorkflowTable) == {
        "create_node": "shipped",
        "create_domain": "own",
        "modify_note": "engine",
    }


@pytest.mark.usefixtures("both")
def test_a_plan_leaves_the_rows_of_another_location_alone() -> None:
    assert details(shipped()) == details(own()) == []


def test_removing_leaves_the_rows_of_another_location_alone(both: Session) -> None:
    subscribe(row(both).product_id, Node={"node_name": "ams1"})
    assert not own().apply(remove=True)
    empty("own").apply(remove=True, drop_values=True)
    assert not shipped().plan()
    assert row(both).end_date is None


@pytest.mark.usefixtures("both")
def test_a_plan_counts_the_rows_that_it_leaves_alone() -> None:
    plan = own().plan()
    assert (plan.owner, plan.others) == ("own", {"shipped": {"product": 1, "product block": 1, "workflow": 1}})


def test_a_built_in_workflow_is_retired_by_no_location(both: Session) -> None:
    empty("own").apply(remove=True)
    assert not both.scalar(sa.select(WorkflowTable.deleted_at).where(WorkflowTable.name == "modify_note"))


def test_a_resource_type_stays_while_a_block_of_another_location_has_it(both: Session) -> None:
    empty("own").apply(remove=True)
    assert set(both.scalars(sa.select(ResourceTypeTable.resource_type))) == {"node_name"}
    empty("shipped").apply(remove=True)
    assert not set(both.scalars(sa.select(ResourceTypeTable.resource_type)))


def test_a_resource_type_that_another_location_uses_is_not_renamed(both: Session) -> None:
    host = (str, Field(json_schema_extra={"formerly": "node_name"}))
    renamed = model("DomainModel", {"domain": block("Domain", {"fqdn": str, "host": host})})
    Catalogue([product(renamed, name="Domain", product_type="Domain")], [CREATE_DOMAIN], "own").apply(remove=True)
    assert set(both.scalars(sa.select(ResourceTypeTable.resource_type))) == {"fqdn", "host", "node_name"}
    assert not shipped().plan()


def test_both_locations_are_known_to_be_current_after_one_statement(
    database: SubscriptionDatabase, statements: StatementCount
) -> None:
    with database.transaction():
        shipped().apply()
        own().apply()
    for catalogue in (shipped(), own()):
        statements.clear()
        with database.transaction(read_only=True):
            assert catalogue.is_current()
        assert statements.count == 1


# --- one name, two owners ---


def test_a_name_of_two_owners_is_refused_with_both(session: Session) -> None:
    shipped().apply()
    for action in (shipped(name="own").plan, shipped(name="own").apply, shipped(name="own").is_current):
        with pytest.raises(CatalogueClash) as refusal:
            action()
        assert str(refusal.value).startswith(
            "Code location 'own' declares what belongs to code location 'shipped': product 'Node', workflow "
            "'create_node'. "
        )
        assert "catalogue apply --take-over shipped" in str(refusal.value)
    assert owners(session, ProductTable) == {"Node": "shipped"}


def test_a_former_name_that_another_location_has_is_refused(session: Session) -> None:
    shipped().apply()
    with pytest.raises(CatalogueClash, match="'own' declares what belongs to code location 'shipped': product 'Node'"):
        own(formerly="Node").plan()


def test_a_new_row_never_gets_the_id_of_a_renamed_one(session: Session) -> None:
    Catalogue([product(PLAIN, name="Router", formerly="Node")], [], "shipped").apply()
    own(name="own").apply()
    renamed = Catalogue([product(DOMAIN, product_type="Domain")], [], "own")
    renamed.apply()
    assert owners(session, ProductTable) == {"Router": "shipped", "Domain": "own", "Node": "own"}


def test_what_an_owner_has_retired_is_free_for_another(both: Session) -> None:
    empty("shipped").apply(remove=True)
    moved = shipped(name="own")
    assert "update workflow 'create_node': becomes that of 'own'; so far that of 'shipped'" in details(moved)
    moved.apply()
    assert owners(both, WorkflowTable)["create_node"] == "own"


def test_a_location_cannot_be_called_as_the_engine() -> None:
    for name in ("engine", "nobody"):
        with pytest.raises(CatalogueError, match=f"A code location cannot be called '{name}'"):
            empty(name)


# --- one block, two locations ---


def with_a_node(name: str = "own", **fields: Any) -> Catalogue:
    """A location whose product holds a block `Node`, by default the shipped one."""
    node = block("Node", fields) if fields else BLOCK
    hosting = model("HostingModel", {"domain": block("Domain", {"fqdn": str}), "node": node})
    return Catalogue([product(hosting, name="Hosting", product_type="Hosting")], [], name)


def test_a_block_that_both_declare_alike_is_shared(session: Session) -> None:
    shipped().apply()
    with_a_node().apply()
    assert owners(session, ProductBlockTable) == {"Node": "shipped", "Domain": "own"}
    assert session.query(ProductProductBlockTable).count() == 3
    assert details(shipped()) == details(with_a_node()) == []


@pytest.mark.usefixtures("session")
def test_a_block_that_both_declare_otherwise_is_refused_with_both() -> None:
    shipped().apply()
    with pytest.raises(CatalogueClash, match=r"'own' .* 'shipped': product block 'Node'\. .*its values are the same"):
        with_a_node(node_name=str, colour=str).plan()


def test_a_shared_block_that_its_owner_drops_is_left_to_the_other(session: Session) -> None:
    shipped().apply()
    with_a_node().apply()
    assert "product block 'Node': no longer in the code; it becomes that of 'own'" in "".join(details(empty("shipped")))
    empty("shipped").apply(remove=True)
    assert owners(session, ProductBlockTable)["Node"] == "own"
    assert details(with_a_node()) == []


def test_a_location_that_no_longer_holds_a_shared_block_removes_its_link_alone(session: Session) -> None:
    shipped().apply()
    with_a_node().apply()
    hosting = model("HostingModel", {"domain": block("Domain", {"fqdn": str})})
    Catalogue([product(hosting, name="Hosting", product_type="Hosting")], [], "own").apply(remove=True)
    assert session.query(ProductProductBlockTable).count() == 2
    assert details(shipped()) == []


# --- rows of before, and renamed locations ---


def forget_owners(session: Session) -> None:
    for table in (ProductTable, ProductBlockTable, WorkflowTable):
        session.execute(sa.update(table).values(owner=None))
    session.execute(sa.text("UPDATE engine_settings SET catalogue_hash = NULL"))


def test_rows_from_before_become_those_of_the_location_that_declares_them(both: Session) -> None:
    forget_owners(both)
    assert "update product 'Domain': becomes that of 'own'; so far that of 'nobody'" in details(own())
    own().apply(remove=True)
    assert owners(both, ProductTable) == {"Node": None, "Domain": "own"}
    shipped().apply(remove=True)
    assert owners(both, ProductTable) == {"Node": "shipped", "Domain": "own"}


def test_rows_from_before_are_no_reason_to_refuse(both: Session) -> None:
    forget_owners(both)
    assert own().is_current()


def test_a_renamed_location_takes_over_its_rows_and_processes(both: Session) -> None:
    process(both.scalars(sa.select(WorkflowTable.workflow_id).filter_by(name="create_domain")).one())
    both.execute(sa.update(ProcessTable).values(location="own"))
    assert belongings("own") == {"product": 1, "product block": 1, "workflow": 1, "process": 1}
    own("renamed").apply(take_over="own")
    assert owners(both, ProductTable) == {"Node": "shipped", "Domain": "renamed"}
    assert set(both.scalars(sa.select(ProcessTable.location))) == {"renamed"}
    assert details(own("renamed")) == []


def test_a_plan_shows_what_is_taken_over_and_changes_nothing(both: Session) -> None:
    changes = [str(change) for change in own("renamed").plan(take_over="own")]
    assert "update workflow 'create_domain': becomes that of 'renamed'; so far that of 'own'" in changes
    assert owners(both, ProductTable)["Domain"] == "own"


def test_what_a_renamed_location_no_longer_has_waits_for_consent(both: Session) -> None:
    smaller = empty("renamed")
    smaller.apply(take_over="own")
    assert owners(both, ProductTable)["Domain"] == "renamed"
    assert "remove product 'Domain': no longer in the code" in details(smaller)


def test_what_is_left_from_before_can_be_taken_over(both: Session) -> None:
    forget_owners(both)
    own().apply()
    own().apply(take_over="nobody", remove=True)
    assert owners(both, ProductTable) == {"Domain": "own"}


@pytest.mark.usefixtures("both")
def test_taking_over_from_an_unknown_location_is_refused_with_the_known_ones() -> None:
    for action in (own().plan, own().apply):
        with pytest.raises(CatalogueError, match="belongs to code location 'onw'; rows belong to 'own', 'shipped'"):
            action(take_over="onw")
