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
