"""What a plan says of changed values, and what is refused because subscriptions would fail to load."""

from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from pydantic import Field, SecretStr
from sqlalchemy.orm import Session

from resources.catalogue.apply import catalogue_id
from resources.catalogue.backlog import read_backlog
from resources.catalogue.catalogue import Catalogue, WorkflowEntry
from resources.database.tables import SubscriptionTable, WorkflowTable
from resources.domain.models.formerly import FilledBy, Formerly, StoredBlock, present_values
from resources.errors import CatalogueBlocked, CatalogueError, InvalidBlocks, ModelDeclarationError
from resources.types import Target
from tests.test_resources.test_catalogue.nodes import CREATE_NODE, details, node
from tests.test_resources.test_domain.samples import block, documents, model, product, stored_values, subscribe


@pytest.fixture
def with_a_node(session: Session) -> Any:
    """A database with one node `ams1`, and its subscription's id."""
    node(node_name=str).apply()
    return subscribe(catalogue_id("product", "Node"), Node={"node_name": "ams1"})


# --- a value more ---


def test_a_required_value_without_an_origin_is_refused_and_nothing_changes(with_a_node: Any) -> None:
    changed = node(node_name=str, site=str)
    with pytest.raises(CatalogueBlocked, match=r"(?s)Nothing was changed.*'site' added, required when .*--fill"):
        changed.apply()
    assert changed.plan().blocked


def test_a_value_that_is_given_is_stored_wherever_it_is_lacking(with_a_node: Any, session: Session) -> None:
    changed = node(node_name=str, site=str)
    changed.apply(fills={("Node", "site"): "AMS"})
    assert stored_values(session, with_a_node) == [{"node_name": "ams1", "site": "AMS"}]
    assert documents(SubscriptionTable)[0]["node"]["site"] == "AMS"


def test_a_given_value_that_does_not_fit_is_refused(with_a_node: Any) -> None:
    with pytest.raises(CatalogueError, match=r"'Node.speed' cannot be filled with 'fast': Input should be a valid int"):
        node(node_name=str, speed=int).plan(fills={("Node", "speed"): "fast"})


def test_a_given_value_that_nothing_has_is_refused(with_a_node: Any) -> None:
    with pytest.raises(CatalogueError, match=r"no value 'Node\.spede'"):
        node(node_name=str, speed=int).plan(fills={("Node", "spede"): 1})


@pytest.mark.parametrize(
    ("field", "origin"),
    [((str, "AMS"), "the default 'AMS'"), ((list, Field(default_factory=lambda: [1])), "the default")],
)
def test_a_default_is_stored_by_the_back_fill(with_a_node: Any, field: Any, origin: str) -> None:
    changed = node(node_name=str, site=field)
    assert any(f"the back-fill stores {origin} [1 subscription]" in line for line in details(changed))
    changed.apply()
    assert read_backlog(sa.true()).waiting == 1


def test_a_required_block_more_is_refused_unless_something_makes_it(with_a_node: Any) -> None:
    rack = block("Rack", {"row": int})

    def catalogue(held: Any) -> Catalogue:
        return Catalogue([product(model("NodeModel", {"node": block("Node", {"node_name": str, "rack": held})}))])

    assert "would fail to load" in str(catalogue(rack).plan().blocked)
    assert not catalogue(rack | None).plan().blocked
    made = catalogue(Annotated[rack, FilledBy(lambda stored: {"row": 1})])
    assert any("the back-fill makes it of what <lambda> returns" in line for line in details(made))


# --- a changed type ---


def test_what_fits_the_new_type_is_left_alone(with_a_node: Any) -> None:
    changed = node(node_name=Annotated[str, Field(max_length=10)])
    (line,) = details(changed)
    assert "'node_name' changes its type: string → string (maxLength 10); what is stored fits" in line
    changed.apply()
    assert read_backlog(sa.true()).total == 0


def test_what_does_not_fit_the_new_type_is_refused_with_an_example(with_a_node: Any) -> None:
    with pytest.raises(CatalogueBlocked, match=r"what is stored does not fit, such as 'ams1': .*Formerly"):
        node(node_name=int).apply()


def test_a_conversion_that_fails_is_refused_with_an_example(with_a_node: Any) -> None:
    changed = node(node_name=Annotated[int, Formerly(convert=int)])
    assert "such as 'ams1': ValueError: invalid literal" in str(changed.plan().blocked)


def test_a_secret_is_no_example(session: Session) -> None:
    node(key=str).apply()
    subscribe(catalogue_id("product", "Node"), Node={"key": "hidden"})
    (blocked,) = node(key=Annotated[SecretStr, Field(max_length=3)]).plan().blocked
    assert "a secret" in blocked.detail and "hidden" not in blocked.detail


# --- what a marker takes over ---


def test_a_value_that_another_takes_over_is_no_loss_and_leaves_no_difference(with_a_node: Any) -> None:
    changed = node(label_text=Annotated[str, Formerly("node_name", convert=str.upper)])
    assert not changed.plan().removals
    changed.apply()
    assert details(changed) == []


def test_values_are_not_dropped_before_the_back_fill_has_read_them(with_a_node: Any) -> None:
    changed = node(label_text=Annotated[str, Formerly("node_name", convert=str.upper)])
    with pytest.raises(CatalogueBlocked, match="yet to read values"):
        changed.apply(drop_values=True)
    changed.apply()
    with pytest.raises(CatalogueBlocked, match="orchestrator catalogue backfill"):
        changed.apply(drop_values=True)


def test_a_value_of_several_near_blocks_that_differ_is_not_chosen_by_chance() -> None:
    near = [StoredBlock("Port", {"site": site}, None, None, None, lambda _: []) for site in ("AMS", "RTM")]
    holder = block("Node", {"site": Annotated[str, Formerly(block="Port")]})
    with pytest.raises(InvalidBlocks, match="say with FilledBy which of them counts"):
        present_values(holder, {"site"}, StoredBlock("Node", {}, None, None, None, lambda _: near))


@pytest.mark.parametrize("wrong", [lambda: Formerly(), lambda: Formerly(convert=1), lambda: FilledBy("AMS")])  # type: ignore[arg-type]
def test_a_marker_that_says_nothing_is_refused_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(ModelDeclarationError):
        wrong()


# --- products and workflows ---


def test_a_split_product_stays_until_its_subscriptions_are_given_away(with_a_node: Any) -> None:
    cls = model("NodeModel", {"node": block("Node", {"node_name": str})})
    fast = product(cls, name="Fast node", split_from="Node", split_when=lambda one: True)
    assert "keep it in the code" in str(Catalogue([fast]).plan().blocked)
    assert not Catalogue([fast, product(cls)]).plan().blocked


def test_a_split_says_both_whose_and_which() -> None:
    with pytest.raises(ModelDeclarationError, match="give both `split_from`"):
        product(model("NodeModel", {"node": block("Node", {})}), split_from="Node")


def test_a_renamed_workflow_keeps_its_row(session: Session) -> None:
    cls = model("NodeModel", {"node": block("Node", {"node_name": str})})
    Catalogue([product(cls)], [CREATE_NODE]).apply()
    renamed = WorkflowEntry("make_node", Target.CREATE, "Make", False, ("Node",), formerly=("create_node",))
    Catalogue([product(cls)], [renamed]).apply(remove=True)
    (row,) = session.execute(sa.select(WorkflowTable.name, WorkflowTable.workflow_id)).all()
    assert tuple(row) == ("make_node", catalogue_id("workflow", "create_node"))


def test_a_former_name_may_be_used_again(session: Session) -> None:
    node(node_name=str).apply()
    node(full_name=Annotated[str, Formerly("node_name")]).apply()
    again = node(full_name=Annotated[str, Formerly("node_name")], node_name=str | None)
    again.apply()
    assert details(again) == []
