"""Lists and look-ups."""

from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Session

from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue, WorkflowEntry
from resources.database.session import StatementCount
from resources.database.tables import SubscriptionTable
from resources.domain.saving import search_text
from resources.errors import SubscriptionError, UnknownProduct, UnknownSubscription
from resources.subscriptions.queries import (
    SubscriptionFilter,
    count_subscriptions,
    find_product,
    find_subscription,
    find_subscription_named,
    list_subscriptions,
    processes_of_subscription,
    workflows_of_product,
)
from resources.types import ProcessStatus, SubscriptionLifecycle, Target
from tests.test_resources.test_domain.samples import block, model, process, product, subscribe

MODEL = model("ListedModel", {"node": block("Node", {})})
WORKFLOWS = [
    WorkflowEntry("create_node", Target.CREATE, "Create a node", False, ("Node",)),
    WorkflowEntry("modify_node", Target.MODIFY, "Modify a node", False, ("Node",)),
    WorkflowEntry("create_port", Target.CREATE, "Create a port", False, ("Port",)),
]
NODE, PORT = catalogue_id("product", "Node Cisco"), catalogue_id("product", "Port")


@pytest.fixture(autouse=True)
def catalogue(session: Session) -> None:
    """Two products with their workflows."""
    port = product(MODEL, name="Port", product_type="Port", tag="PORT")
    Catalogue([product(MODEL, name="Node Cisco"), port], WORKFLOWS).apply()


def listed(where: SubscriptionFilter) -> set[str]:
    return {one.description for one in list_subscriptions(where)}


def searchable(session: Session, description: str, text: str) -> None:
    identifier = subscribe(NODE, description)
    vector = sa.cast(search_text.vector([("note", text)]), TSVECTOR)
    session.execute(sa.update(SubscriptionTable).filter_by(subscription_id=identifier).values(search=vector))


@pytest.mark.parametrize(
    "where",
    [
        SubscriptionFilter(product="Node Cisco"),
        SubscriptionFilter(product=NODE),
        SubscriptionFilter(product=str(NODE)),
        SubscriptionFilter(product_type="Node"),
        SubscriptionFilter(tag="NODE"),
        SubscriptionFilter(status=SubscriptionLifecycle.ACTIVE),
        SubscriptionFilter(insync=True),
        SubscriptionFilter(customer_id="acme"),
    ],
)
def test_each_filter_leaves_only_what_fits(where: SubscriptionFilter) -> None:
    subscribe(NODE, "wanted")
    subscribe(PORT, "other", status="initial", insync=False, customer_id="other")
    assert listed(where) == {"wanted"}


def test_filters_combine(session: Session) -> None:
    subscribe(NODE, "wanted", customer_id="a")
    subscribe(NODE, "not", customer_id="b")
    subscribe(PORT, "neither", customer_id="a")
    assert listed(SubscriptionFilter(product_type="Node", customer_id="a")) == {"wanted"}


@pytest.mark.parametrize("text", ["ams", "ams1", "AMS cisco", "ams1-core", "10.0", "o'brien", "  core  "])
def test_a_search_finds_words_by_their_beginning(session: Session, text: str) -> None:
    searchable(session, "wanted", "node_name:ams1-core Cisco 10.0.0.1 O'Brien")
    searchable(session, "other", "node_name:lon1-edge Nokia 192.0.2.1")
    assert listed(SubscriptionFilter(search=text)) == {"wanted"}


@pytest.mark.parametrize("text", ["&", "a & | !", "'", "\\", ":*", "(", "<->", "''"])
def test_no_search_text_is_an_error(session: Session, text: str) -> None:
    searchable(session, "one", "word")
    assert listed(SubscriptionFilter(search=text)) == set()


def test_pages_neither_overlap_nor_miss(session: Session) -> None:
    made = {subscribe(NODE, "same") for _ in range(7)}
    pages = [list_subscriptions(sort=("description",), limit=3, offset=offset) for offset in (0, 3, 6)]
    found = [one.subscription_id for page in pages for one in page]
    assert (len(found), set(found)) == (7, made)


@pytest.mark.parametrize(("key", "expected"), [("description", ["a", "b", "c"]), ("-description", ["c", "b", "a"])])
def test_lists_are_sorted_as_asked(key: str, expected: list[str]) -> None:
    for description in "bca":
        subscribe(NODE, description)
    assert [one.description for one in list_subscriptions(sort=(key,))] == expected


def test_an_unknown_sort_key_is_refused_with_those_there_are() -> None:
    with pytest.raises(SubscriptionError, match="'colour'; they can by subscription_id, description"):
        list_subscriptions(sort=("colour",))


def test_the_total_counts_what_the_filter_leaves() -> None:
    for number in range(5):
        subscribe(NODE if number else PORT)
    assert count_subscriptions(SubscriptionFilter(product_type="Node")) == 4


def test_a_list_is_one_statement(statements: StatementCount) -> None:
    for _ in range(20):
        subscribe(NODE)
    statements.clear()
    assert len(list_subscriptions()) == 20
    assert statements.count == 1


# --- by id ---


@pytest.mark.parametrize("prefix", ["abcd", "ABCD1234", "abcd1234-0000-4000-8000-000000000001", "abcd1234-00"])
def test_a_subscription_is_found_by_the_beginning_of_its_id(prefix: str) -> None:
    identifier = UUID("abcd1234-0000-4000-8000-000000000001")
    subscribe(NODE, "wanted", subscription_id=identifier)
    subscribe(NODE, "other", subscription_id=UUID("abce1234-0000-4000-8000-000000000001"))
    assert find_subscription(prefix).subscription_id == identifier


def test_an_ambiguous_beginning_is_refused_with_the_candidates() -> None:
    for last in (1, 2):
        subscribe(NODE, f"number {last}", subscription_id=UUID(int=0xABCD1234_0000_4000_8000_000000000000 + last))
    with pytest.raises(SubscriptionError, match=r"(?s)more of it.*number 1.*number 2"):
        find_subscription("abcd")


@pytest.mark.parametrize("prefix", ["abc", "ams1", "", "zzzzzzzz", "a" * 33])
def test_what_is_no_id_is_refused_with_what_would_be(prefix: str) -> None:
    with pytest.raises(UnknownSubscription, match="at least 4"):
        find_subscription(prefix)


def test_an_id_that_nobody_has_is_said_to_be_unknown() -> None:
    with pytest.raises(UnknownSubscription, match="There is no subscription abcd"):
        find_subscription("abcd")


# --- by name ---


@pytest.mark.parametrize("name", ["abcd1234", "Node ams1", "ams1", "AMS1", " ams1 ", "core-rou", "core ams"])
def test_a_subscription_is_found_by_what_people_call_it(session: Session, name: str) -> None:
    identifier = UUID("abcd1234-0000-4000-8000-000000000001")
    subscribe(NODE, "Node ams1", subscription_id=identifier)
    vector = sa.cast(search_text.vector([("note", "node ams1 cisco core_router")]), TSVECTOR)
    session.execute(sa.update(SubscriptionTable).filter_by(subscription_id=identifier).values(search=vector))
    searchable(session, "Node ams10", "node ams10 nokia")
    assert find_subscription_named(name).subscription_id == identifier


def test_a_name_that_looks_like_an_id_is_a_name() -> None:
    identifier = subscribe(NODE, "Node face1", subscription_id=UUID("abcd1234-0000-4000-8000-000000000001"))
    assert find_subscription_named("face1").subscription_id == identifier


def test_a_terminated_subscription_gives_its_name_to_the_living() -> None:
    subscribe(NODE, "Node ams1", status="terminated")
    living = subscribe(NODE, "Node ams1")
    assert find_subscription_named("ams1").subscription_id == living


def test_a_name_of_several_is_refused_with_the_candidates() -> None:
    for description in ("Node ams1", "Port ams1"):
        subscribe(NODE, description)
    with pytest.raises(SubscriptionError, match=r"(?s)'ams1' may be more than one.*Node ams1.*Port ams1"):
        find_subscription_named("ams1")


@pytest.mark.parametrize("name", ["", "%", "_", "nobody", "'", str(PORT)])
def test_a_name_that_nobody_has_is_said_to_be_unknown(name: str) -> None:
    subscribe(NODE, "Node ams1")
    with pytest.raises(UnknownSubscription, match="There is no subscription"):
        find_subscription_named(name)


# --- products, workflows, processes ---


@pytest.mark.parametrize("name_or_id", ["Node Cisco", NODE, str(NODE)])
def test_a_product_is_found_by_name_and_by_id(name_or_id: str | UUID) -> None:
    assert find_product(name_or_id).product_id == NODE


def test_an_unknown_product_is_refused_with_those_called_alike() -> None:
    with pytest.raises(UnknownProduct, match="did you mean 'Node Cisco'"):
        find_product("node cysco")


@pytest.mark.parametrize("wanted", ["node", "Node C", "NODE CISCO"])
def test_an_unknown_product_is_refused_with_those_that_begin_so(wanted: str) -> None:
    with pytest.raises(UnknownProduct, match="did you mean 'Node Cisco'"):
        find_product(wanted)


@pytest.mark.parametrize("wanted", ["Nonsense", "", "Router"])
def test_a_product_like_no_other_is_refused_with_those_there_are(wanted: str) -> None:
    with pytest.raises(UnknownProduct, match="there are 'Node Cisco', 'Port'"):
        find_product(wanted)


def test_workflows_of_a_product_can_be_asked_by_target() -> None:
    assert [one.name for one in workflows_of_product(NODE, target=Target.CREATE)] == ["create_node"]


def test_a_deleted_workflow_is_no_workflow_of_a_product(session: Session) -> None:
    session.execute(sa.text("UPDATE workflows SET deleted_at = now() WHERE name = 'modify_node'"))
    assert [one.name for one in workflows_of_product(NODE)] == ["create_node"]


def test_processes_of_a_subscription_are_listed_with_workflow_and_status() -> None:
    subscription = subscribe(NODE)
    process(catalogue_id("workflow", "create_node"), subscription, status="failed")
    process(catalogue_id("workflow", "create_node"), subscribe(NODE))
    (found,) = processes_of_subscription(subscription)
    assert (found.workflow_name, found.status, found.target) == ("create_node", ProcessStatus.FAILED, Target.CREATE)
