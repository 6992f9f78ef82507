"""Who uses whom."""

from itertools import pairwise
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from resources.catalogue.apply import catalogue_id
from resources.catalogue.catalogue import Catalogue
from resources.database.session import StatementCount
from resources.subscriptions.relations import depends_on_subscriptions, in_use_by_subscriptions, status_relations
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.samples import block, hold, model, product, subscribe

NODE = model("RelatedModel", {"node": block("Node", {})})


@pytest.fixture
def node(session: Session) -> UUID:
    """The id of a product to subscribe to."""
    Catalogue([product(NODE)]).apply()
    return catalogue_id("product", "Node")


def chain(node: UUID, *names: str) -> list[UUID]:
    """Subscriptions of which each holds a block of the next."""
    ids = [subscribe(node, name) for name in names]
    for user, used in pairwise(ids):
        hold(user, used)
    return ids


def test_direct_users_are_found_and_no_others(node: UUID) -> None:
    _, link, port = chain(node, "l2vpn", "link", "port")
    assert [user.subscription_id for user in in_use_by_subscriptions(port)] == [link]


def test_what_is_used_is_found_the_other_way(node: UUID) -> None:
    _, link, port = chain(node, "l2vpn", "link", "port")
    assert [used.subscription_id for used in depends_on_subscriptions(link)] == [port]


def test_deeper_relations_carry_their_depth(node: UUID) -> None:
    _, _, port = chain(node, "l2vpn", "link", "port")
    found = in_use_by_subscriptions(port, depth=5)
    assert [(user.description, user.depth) for user in found] == [("link", 1), ("l2vpn", 2)]


def test_the_depth_is_limited(node: UUID) -> None:
    ids = chain(node, *(f"s{number:02}" for number in range(14)))
    assert len(in_use_by_subscriptions(ids[-1], depth=99)) == 10


def test_a_circle_ends_and_does_not_contain_its_start(node: UUID) -> None:
    first, second, third = chain(node, "a", "b", "c")
    hold(third, first)
    assert {user.subscription_id for user in in_use_by_subscriptions(first, depth=10)} == {second, third}


def test_the_nearest_way_counts(node: UUID) -> None:
    far, _, near = chain(node, "a", "b", "c")
    hold(far, near)
    assert {user.description: user.depth for user in in_use_by_subscriptions(near, depth=10)} == {"a": 1, "b": 1}


def test_two_relations_between_the_same_subscriptions_count_once(node: UUID) -> None:
    user, used = chain(node, "link", "port")
    hold(user, used)
    assert len(in_use_by_subscriptions(used)) == 1


def test_statuses_filter_the_answer_but_not_the_way(node: UUID) -> None:
    port = subscribe(node, "port")
    link, vpn = subscribe(node, "link", status="terminated"), subscribe(node, "vpn")
    hold(link, port)
    hold(vpn, link)
    found = in_use_by_subscriptions(port, statuses=[SubscriptionLifecycle.ACTIVE], depth=3)
    assert [user.subscription_id for user in found] == [vpn]


def test_relations_are_one_statement_at_any_depth(node: UUID, statements: StatementCount) -> None:
    ids = chain(node, *"abcdefgh")
    statements.clear()
    in_use_by_subscriptions(ids[-1], depth=10)
    assert statements.count == 1


def test_neighbours_out_of_sync_are_found_in_both_directions(node: UUID) -> None:
    port = subscribe(node, "port")
    user, used = subscribe(node, "user", insync=False), subscribe(node, "used", insync=False)
    hold(user, port)
    hold(port, used)
    hold(port, subscribe(node, "fine"))
    assert [one.description for one in status_relations(port).locked_relations] == ["used", "user"]


def test_terminated_users_do_not_count_as_users(node: UUID) -> None:
    port = subscribe(node, "port")
    hold(subscribe(node, "gone", status="terminated"), port)
    hold(subscribe(node, "alive"), port)
    assert [one.description for one in status_relations(port).unterminated_in_use_by] == ["alive"]
