"""What the plan of a catalogue says, and what applying it makes of rows and of stored values."""

from collections.abc import Callable
from types import new_class
from typing import Annotated, Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from annotated_types import Len
from pydantic import Field
from sqlalchemy.orm import Session

from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue
from resources.database.session import StatementCount
from resources.database.tables import (
    ProductBlockRelationTable,
    ProductBlockTable,
    ProductTable,
    ProductWorkflowTable,
    ResourceTypeTable,
    SubscriptionTable,
    SubscriptionVersionTable,
    WorkflowTable,
)
from resources.domain.subscription_model import SubscriptionModel
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_catalogue.nodes import BLOCK, CREATE_NODE, PLAIN, WITH_SPEED, Speed, details, node, row
from tests.test_resources.test_domain.samples import block, documents, model, product, stored_values, subscribe

ACTIVE = SubscriptionLifecycle.ACTIVE


# --- the first time ---


def test_an_empty_database_gets_every_row(session: Session) -> None:
    Catalogue([product(WITH_SPEED, fixed_inputs={"speed": Speed.FAST})], [CREATE_NODE]).apply()
    assert row(session).fixed_inputs == {"speed": "fast"}
    assert session.scalars(sa.select(ProductBlockTable.name)).all() == ["Node"]
    assert session.scalars(sa.select(ResourceTypeTable.resource_type)).all() == ["node_name"]
    assert session.scalar(sa.select(sa.func.count()).select_from(ProductWorkflowTable)) == 1


def test_ids_follow_from_names(session: Session) -> None:
    node(node_name=str).apply()
    assert row(session).product_id == catalogue_id("product", "Node")


def test_applying_twice_does_nothing_more(session: Session) -> None:
    catalogue = node(node_name=str)
    assert catalogue.apply()
    assert not catalogue.apply()
    assert not catalogue.plan()


def test_a_plan_writes_nothing(session: Session) -> None:
    assert node(node_name=str).plan()
    assert session.query(ProductTable).count() == 0


def test_the_description_of_a_value_is_that_of_its_field(session: Session) -> None:
    node(site=(str, Field(description="Where it stands"))).apply()
    assert session.scalars(sa.select(ResourceTypeTable.description)).all() == ["Where it stands"]


def test_the_description_of_a_block_is_the_first_line_of_its_docstring(session: Session) -> None:
    node(site=str).apply()
    assert session.scalars(sa.select(ProductBlockTable.description)).all() == ["Node of the tests."]


def test_how_many_blocks_a_block_may_hold_is_kept(session: Session) -> None:
    port = block("Port", {})
    link = block("Link", {"ends": Annotated[list[port], Len(2, 4)], "spare": port | None})  # type: ignore[valid-type]
    Catalogue([product(model("LinkModel", {"link": link}))]).apply()
    kept = session.execute(sa.select(ProductBlockRelationTable.min, ProductBlockRelationTable.max)).one()
    assert tuple(kept) == (2, 5)


def test_a_block_that_holds_its_own_kind_is_walked_once(session: Session) -> None:
    tree = block("Tree", {"branches": "list[TreeBlock]"})
    tree.model_rebuild(_types_namespace={"TreeBlock": tree})
    Catalogue([product(model("TreeModel", {"tree": tree}))]).apply()
    assert session.scalar(sa.select(sa.func.count()).select_from(ProductBlockRelationTable)) == 1


# --- statements ---


def test_a_plan_takes_a_constant_number_of_statements(session: Session, statements: StatementCount) -> None:
    counts = []
    for size in (1, 30):
        blocks = {f"node{i}": block(f"Node{i}", {f"value{i}": str}) for i in range(size)}
        statements.clear()
        Catalogue([product(model("Many", blocks))]).plan()
        counts.append(statements.count)
    assert counts == [8, 8]


def test_applying_takes_a_constant_number_of_statements(session: Session, statements: StatementCount) -> None:
    counts = []
    for size in (2, 30):
        blocks = {f"node{i}": block(f"Node{i}of{size}", {f"value{i}": str}) for i in range(size)}
        products = [product(model("Many", blocks), name=f"Node {i} of {size}") for i in range(size)]
        catalogue = Catalogue(products, [CREATE_NODE])
        statements.clear()
        catalogue.apply()
        counts.append(statements.count)
    assert counts[0] <= counts[1] <= 25


# --- changes ---


def test_words_and_status_that_people_edited_stay(session: Session) -> None:
    node(node_name=str).apply()
    session.execute(sa.update(ProductTable).values(description="Edited", status="phase out"))
    catalogue = node(node_name=str, site=(str, ""))
    catalogue.apply()
    assert (row(session).description, row(session).status) == ("Edited", "phase out")


def test_a_changed_fixed_input_is_named_with_the_subscriptions_it_touches(session: Session) -> None:
    Catalogue([product(WITH_SPEED, fixed_inputs={"speed": "slow"})]).apply()
    subscribe(row(session).product_id)
    changed = Catalogue([product(WITH_SPEED, fixed_inputs={"speed": "fast"})])
    assert details(changed) == ["update product 'Node': fixed input speed: slow → fast [1 subscription]"]
    changed.apply()
    assert row(session).fixed_inputs == {"speed": "fast"}


def test_a_vanished_product_without_subscriptions_is_removed(session: Session) -> None:
    node(node_name=str).apply()
    plan = Catalogue([]).apply(remove=True)
    assert {change.action for change in plan} == {"remove"}
    assert session.query(ProductTable).count() == session.query(ProductBlockTable).count() == 0


def test_a_vanished_product_with_subscriptions_is_kept_and_ended(session: Session) -> None:
    node(node_name=str).apply()
    subscribe(row(session).product_id, Node={"node_name": "ams1"})
    plan = Catalogue([]).apply(remove=True)
    kept = next(change for change in plan if change.kind == "product")
    assert (kept.subscriptions, kept.warning) == (1, True)
    assert row(session).status == "end of life"
    assert not Catalogue([]).plan()


def test_a_product_that_returns_lives_again(session: Session) -> None:
    catalogue = node(node_name=str)
    catalogue.apply()
    subscribe(row(session).product_id, Node={"node_name": "ams1"})
    Catalogue([]).apply(remove=True)
    assert "is back in the code; its status becomes 'active'" in "".join(details(catalogue))
    catalogue.apply()
    assert (row(session).status, row(session).end_date) == ("active", None)


def test_a_renamed_product_keeps_its_row(session: Session) -> None:
    node(node_name=str).apply()
    subscribe(row(session).product_id)
    renamed = Catalogue([product(model("NodeModel", {"node": BLOCK}), name="Router", formerly="Node")])
    assert details(renamed) == [
        "update product 'Router': renamed from 'Node'; the row and its id stay [1 subscription]"
    ]
    renamed.apply()
    assert row(session, "Router").product_id == catalogue_id("product", "Node")
    assert not renamed.plan()


def test_a_renamed_product_has_the_same_id_in_a_new_database(session: Session) -> None:
    Catalogue([product(PLAIN, name="Router", formerly=("Box", "Node"))]).apply()
    assert row(session, "Router").product_id == catalogue_id("product", "Box")


def test_a_vanished_workflow_keeps_its_row_and_is_marked(session: Session) -> None:
    Catalogue([product(PLAIN)], [CREATE_NODE]).apply()
    plan = Catalogue([product(PLAIN)]).apply(remove=True)
    assert [(change.action, change.name) for change in plan] == [("remove", "create_node"), ("update", "Node")]
    assert session.scalars(sa.select(WorkflowTable.deleted_at)).one() is not None


def test_a_workflow_that_returns_is_revived(session: Session) -> None:
    catalogue = Catalogue([product(PLAIN)], [CREATE_NODE])
    catalogue.apply()
    Catalogue([product(PLAIN)]).apply(remove=True)
    catalogue.apply()
    assert session.scalars(sa.select(WorkflowTable.deleted_at)).one() is None
    assert not catalogue.plan()


# --- values ---


def test_a_removed_value_is_counted_and_kept(session: Session) -> None:
    node(node_name=str, site=str).apply()
    subscription = subscribe(row(session).product_id, Node={"node_name": "ams1", "site": "AMS"})
    smaller = node(node_name=str)
    assert details(smaller)[-1] == (
        "update product block 'Node': value 'site' removed; 1 instance hold it and keep it until it is applied with "
        "--drop-values [1 subscription]"
    )
    smaller.apply(remove=True)
    assert stored_values(session, subscription) == [{"node_name": "ams1", "site": "AMS"}]
    assert not smaller.plan()


def test_kept_values_can_be_dropped_later(session: Session) -> None:
    node(node_name=str, site=str).apply()
    subscription = subscribe(row(session).product_id, Node={"node_name": "ams1", "site": "AMS"})
    smaller = node(node_name=str)
    smaller.apply(remove=True)
    dropped = smaller.apply(drop_values=True)
    assert [(change.detail, change.subscriptions) for change in dropped] == [
        ("value 'site' dropped from 1 instance", 1)
    ]
    assert stored_values(session, subscription) == [{"node_name": "ams1"}]
    assert documents(SubscriptionTable) == [{"node": {"name": "Node", "node_name": "ams1"}}]


def test_a_renamed_value_moves_everywhere_it_is_stored(session: Session) -> None:
    node(site=str).apply()
    subscription = subscribe(row(session).product_id, Node={"site": "AMS"}, Other={"site": "stays"})
    renamed = node(location=(str, Field(json_schema_extra={"formerly": "site"})))
    assert "value 'site' renamed to 'location'; moved in 1 instance [1 subscription]" in "".join(details(renamed))
    renamed.apply()
    document = {"node": {"name": "Node", "location": "AMS"}, "other": {"name": "Other", "site": "stays"}}
    assert sorted(stored_values(session, subscription), key=str) == [{"location": "AMS"}, {"site": "stays"}]
    assert documents(SubscriptionTable) == [document]
    assert documents(SubscriptionVersionTable) == [document]
    assert not renamed.plan()


def test_a_renamed_value_keeps_its_resource_type(session: Session) -> None:
    node(site=str).apply()
    before = session.scalars(sa.select(ResourceTypeTable.resource_type_id)).one()
    node(location=(str, Field(json_schema_extra={"formerly": "site"}))).apply()
    kept = session.execute(sa.select(ResourceTypeTable.resource_type_id, ResourceTypeTable.resource_type)).one()
    assert tuple(kept) == (before, "location")


def test_a_value_already_stored_under_the_new_name_wins(session: Session) -> None:
    node(site=str).apply()
    subscription = subscribe(row(session).product_id, Node={"site": "old", "location": "new"})
    node(location=(str, Field(json_schema_extra={"formerly": "site"}))).apply()
    assert stored_values(session, subscription) == [{"location": "new"}]


def test_a_renamed_block_takes_its_instances_along(session: Session) -> None:
    node(site=str).apply()
    subscription = subscribe(row(session).product_id, Node={"site": "AMS"})
    router = block("Router", {"site": str}, formerly="Node")
    renamed = Catalogue([product(model("NodeModel", {"node": router}))])
    renamed.apply()
    assert stored_values(session, subscription) == [{"site": "AMS"}]
    assert documents(SubscriptionTable) == [{"node": {"name": "Router", "site": "AMS"}}]
    assert not renamed.plan()


def test_a_required_value_without_default_warns_of_subscriptions_that_lack_it(session: Session) -> None:
    node(node_name=str).apply()
    subscribe(row(session).product_id, Node={"node_name": "ams1"})
    warning = node(node_name=str, site=str).plan().warnings
    assert [change.subscriptions for change in warning] == [1]
    assert "1 subscription without it would fail to load" in warning[0].detail


@pytest.mark.parametrize("annotation", [(str, "AMS"), str | None, list[str]])
def test_a_value_that_may_be_missing_does_not_warn(session: Session, annotation: Any) -> None:
    node(node_name=str).apply()
    subscribe(row(session).product_id, Node={"node_name": "ams1"})
    assert not node(node_name=str, site=annotation).plan().warnings


# --- together with the models ---


def test_values_of_every_status_belong_to_the_block(session: Session) -> None:
    inactive = block("Node", {})
    active = new_class("NodeActive", (inactive,), {"lifecycle": [ACTIVE]}, annotated(site=str))
    first = model("NodeModel", {"node": inactive})
    new_class("NodeModelActive", (first,), {"lifecycle": [ACTIVE]}, annotated(node=active))
    Catalogue([product(first)]).apply()
    assert session.scalars(sa.select(ResourceTypeTable.resource_type)).all() == ["site"]


def annotated(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda namespace: namespace.update({"__annotations__": fields, "__module__": __name__})


def test_saving_with_a_smaller_model_keeps_the_value_that_was_taken_out(session: Session) -> None:
    larger = model("NodeModel", {"node": block("Node", {"node_name": (str, "ams1"), "site": (str, "AMS")})})
    Catalogue([product(larger)]).apply()
    subscription_id = saved(larger)
    smaller = model("NodeModel", {"node": block("Node", {"node_name": (str, "ams1")})})
    Catalogue([product(smaller)]).apply(remove=True)
    subscription = smaller.from_subscription(subscription_id)
    assert subscription.save() is None
    subscription.node.node_name = "ams2"  # type: ignore[attr-defined]
    subscription.save()
    assert stored_values(session, subscription_id) == [{"node_name": "ams2", "site": "AMS"}]


def test_a_subscription_saved_under_an_old_field_name_is_read_under_the_new(session: Session) -> None:
    old = model("NodeModel", {"node": block("Node", {"site": (str, "AMS")})})
    Catalogue([product(old)]).apply()
    subscription_id = saved(old)
    location = (str | None, Field(None, json_schema_extra={"formerly": "site"}))
    renamed = model("NodeModel", {"node": block("Node", {"location": location})})
    Catalogue([product(renamed)]).apply(remove=True)
    assert renamed.from_subscription(subscription_id).node.location == "AMS"  # type: ignore[attr-defined]
    assert renamed.as_of(subscription_id, 1).node.location == "AMS"  # type: ignore[attr-defined]


def saved(of: type[SubscriptionModel]) -> UUID:
    subscription = of.from_product_id(catalogue_id("product", "Node"), "acme")
    subscription.save()
    return subscription.subscription_id
