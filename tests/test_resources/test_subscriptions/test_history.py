"""What was changed in a subscription."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue, WorkflowEntry
from resources.database.session import StatementCount
from resources.domain.saving.authorship import Author, authored_by
from resources.subscriptions.history import read_document, read_history
from resources.types import Target
from tests.test_resources.test_domain.samples import block, model, process, product

NODE = model("HistoricModel", {"node": block("Node", {"node_name": (str, "new")})})
RENAME_NODE = WorkflowEntry("rename_node", Target.MODIFY, "Rename a node", False, ("Node",))


@pytest.fixture
def node(session: Session) -> UUID:
    """A node in its third version; the newest was made by a step of a process."""
    Catalogue([product(NODE)], [RENAME_NODE]).apply()
    made = NODE.from_product_id(catalogue_id("product", "Node"), "acme")
    made.save()
    for name in ("ams1", "ams2"):
        holder = process(catalogue_id("workflow", "rename_node"), made.subscription_id)
        made.node.node_name = name  # type: ignore[attr-defined]
        with authored_by(Author("anna", holder, "rename")):
            made.save()
    return made.subscription_id


def test_history_runs_from_the_newest_to_the_first(node: UUID) -> None:
    assert [entry.version for entry in read_history(node)] == [3, 2, 1]


def test_each_entry_differs_from_the_one_before(node: UUID) -> None:
    changes = [[(one["before"], one["after"]) for one in entry.difference] for entry in read_history(node)]
    assert changes[:2] == [[("ams1", "ams2")], [("new", "ams1")]]


def test_the_first_entry_is_all_that_was_set(node: UUID) -> None:
    first = {one["path"]: one for one in read_history(node)[-1].difference}
    assert all(one["before"] is None for one in first.values())
    assert first["node"]["after"]["node_name"] == "new"


def test_an_entry_names_user_workflow_and_step(node: UUID) -> None:
    newest = read_history(node)[0]
    assert (newest.created_by, newest.workflow_name, newest.step_key) == ("anna", "rename_node", "rename")


def test_a_cut_history_is_one_statement_and_knows_its_last_difference(node: UUID, statements: StatementCount) -> None:
    statements.clear()
    entries = read_history(node, limit=2)
    assert (len(entries), statements.count) == (2, 1)
    assert entries[-1].difference[0]["before"] == "new"


def test_what_does_not_exist_has_no_history(session: Session) -> None:
    assert (read_history(uuid4()), read_document(uuid4())) == ([], {})


def test_the_document_is_the_present(node: UUID) -> None:
    assert read_document(node)["node"]["node_name"] == "ams2"
