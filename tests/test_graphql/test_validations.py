"""The newest validation of subscriptions: shown, filtered and sorted, in a constant number of statements."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resources.secrecy import MASK, remember
from tests.drift import HOSTNAME, write_result
from tests.test_graphql.conftest import Asker, Network

SHOWN = """
query($f: [GraphqlFilter!], $s: [GraphqlSort!], $n: Int!) {
  subscriptions(filterBy: $f, sortBy: $s, first: $n) {
    page { description lastValidated validationResult validationAge
      validation { result workflow differences version finishedAt seconds dueAt } }
    pageInfo { filterFields sortFields }
  }
}
"""


def page(ask: Asker, name: str, *more: dict[str, str], **options: Any) -> list[dict[str, Any]]:
    filters = [{"field": "description", "value": f"Node {name}*"}, *more]
    found: list[dict[str, Any]] = ask.data(SHOWN, **{"n": 100, "f": filters, **options})["subscriptions"]["page"]
    return found


def test_a_subscription_has_its_newest_validation(ask: Asker, network: Network) -> None:
    remember("hunter2-of-val")
    node, _never = network.node("valone"), network.node("valnever")
    write_result(ask.engine.database, node.subscription_id, differences=[HOSTNAME | {"found": "hunter2-of-val"}])
    (one,) = page(ask, "valone")
    assert (one["validationResult"], one["validation"]["result"], one["validationAge"]) == ("drifted", "drifted", 0)
    assert one["lastValidated"] == one["validation"]["finishedAt"]
    assert one["validation"]["differences"] == [HOSTNAME | {"found": MASK}]
    (never,) = page(ask, "valnever")
    assert (never["validation"], never["lastValidated"], never["validationAge"]) == (None, None, None)


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [
        ("validationResult", "drifted", ["agetwo"]),
        ("validationAge", ">24h", ["ageone"]),
        ("lastValidated", "<2020", []),
    ],
)
def test_lists_are_filtered_and_sorted_by_it(
    ask: Asker, network: Network, field: str, value: str, names: list[str]
) -> None:
    name = f"{field[-3:]}x"
    for number, (result, hours) in enumerate((("passed", 48), ("drifted", 2), ("passed", 1))):
        node = network.node(f"{name}{'age' + ('one', 'two', 'three')[number]}")
        at = datetime.now(UTC) - timedelta(hours=hours)
        write_result(ask.engine.database, node.subscription_id, result, finished_at=at)
    found = page(ask, name, {"field": field, "value": value})
    assert [one["description"] for one in found] == [f"Node {name}{each}" for each in names]
    newest = page(ask, name, s=[{"field": "validationAge", "order": "ASC"}])
    assert [one["description"][-3:] for one in newest] == ["ree", "two", "one"]


def test_validations_of_a_page_take_one_statement(ask: Asker, network: Network) -> None:
    for number in range(3):
        node = network.node(f"stat{number}")
        write_result(ask.engine.database, node.subscription_id)
    of_one = len(ask.statements(SHOWN, n=1))
    assert len(ask.statements(SHOWN, n=100)) == of_one


HISTORY = """
query($f: [GraphqlFilter!], $n: Int!, $first: Int!, $after: Int!) {
  subscriptions(filterBy: $f, first: $n) { page { description
    validations(first: $first, after: $after) {
      page { result workflow reason differences version finishedAt seconds createdBy }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor totalItems totalIsExact }
    } } }
}
"""


def write_history(ask: Asker, node: Any, *hours: int, **more: Any) -> None:
    for ago in hours:
        at = datetime.now(UTC) - timedelta(hours=ago)
        write_result(ask.engine.database, node.subscription_id, finished_at=at, seconds=ago, **more)


def history(ask: Asker, name: str, **options: Any) -> dict[str, Any]:
    filters = [{"field": "description", "value": f"Node {name}"}]
    asked = {"n": 10, "first": 3, "after": 0, **options}
    (one,) = ask.data(HISTORY, f=filters, **asked)["subscriptions"]["page"]
    found: dict[str, Any] = one["validations"]
    return found


def test_a_subscription_has_its_past_validations_the_newest_first(ask: Asker, network: Network) -> None:
    remember("hunter3-of-val")
    node, _never = network.node("histone"), network.node("histnever")
    write_history(ask, node, 3, 1, 4, 2, differences=[HOSTNAME | {"found": "hunter3-of-val"}])
    found = history(ask, "histone")
    assert [one["seconds"] for one in found["page"]] == [1, 2, 3]
    about = {"hasNextPage": True, "hasPreviousPage": False, "startCursor": 0, "endCursor": 2}
    assert found["pageInfo"] == about | {"totalItems": 4, "totalIsExact": True}
    assert found["page"][0]["differences"] == [HOSTNAME | {"found": MASK}]
    assert found["page"][0]["createdBy"] == "ada"
    rest = history(ask, "histone", after=3)
    assert [one["seconds"] for one in rest["page"]] == [4]
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)
    assert history(ask, "histone", after=9)["pageInfo"]["totalItems"] == 4
    assert history(ask, "histnever") == {
        "page": [],
        "pageInfo": {
            "hasNextPage": False,
            "hasPreviousPage": False,
            "startCursor": None,
            "endCursor": None,
            "totalItems": 0,
            "totalIsExact": True,
        },
    }


def test_two_pages_of_one_history_lie_beside_each_other(ask: Asker, network: Network) -> None:
    write_history(ask, network.node("histtwo"), 1, 2, 3)
    query = """{ subscriptions(filterBy: {field: "description", value: "Node histtwo"}) { page {
      a: validations(first: 1) { page { seconds } } b: validations(first: 1, after: 1) { page { seconds } } } } }"""
    (found,) = ask.data(query)["subscriptions"]["page"]
    assert (found["a"]["page"], found["b"]["page"]) == ([{"seconds": 1}], [{"seconds": 2}])


def test_the_history_of_a_page_is_one_statement_more(ask: Asker, network: Network) -> None:
    for number in range(3):
        write_history(ask, network.node(f"histstat{number}"), 1, 2, 3, 4)
    plain = len(ask.statements("query($n: Int!) { subscriptions(first: $n) { page { description } } }", n=10))
    of = {n: len(ask.statements(HISTORY, n=n, first=3, after=0)) for n in (1, 10, 100)}
    assert of == dict.fromkeys((1, 10, 100), plain + 1)
