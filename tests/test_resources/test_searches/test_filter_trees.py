"""Both forms of filters that clients send become trees of the query language."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidQuery
from resources.searches.filter_trees import read_filters
from resources.subscriptions.search_query import parse, render

KEYS = ["bool", "must", "should", "term", "range", "gte", "path", "op", "children", "condition", "value"]
JSON: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        st.none()
        | st.booleans()
        | st.floats()
        | st.integers()
        | st.text(max_size=20)
        | st.lists(JSON, max_size=2)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), JSON, max_size=2)
    )
)


def plain(path: str) -> str:
    return path.removeprefix("subscription.")


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ({"term": {"subscription.status": "active"}}, "status=active"),
        ({"term": {"subscription.insync": False}}, "insync=false"),
        ({"term": {"subscription.note": {"value": "a*b"}}}, r'note="a\*b"'),
        (
            {"bool": {"must": [{"term": {"status": "active"}}, {"bool": {"should": [{"exists": {"field": "note"}}]}}]}},
            "status=active note=*",
        ),
        ({"bool": {"should": [{"term": {"a": 1}}, {"term": {"b": 2}}]}}, "a=1|b=2"),
        ({"bool": {"must_not": {"term": {"a": 1}}, "must": {"term": {"b": None}}}}, 'b="" -a=1'),
        ({"range": {"subscription.port.speed": {"gte": 10000, "lt": 2.5}}}, "port.speed>=10000 port.speed<2.5"),
        ({"terms": {"a": ["x", "y z"]}}, 'a=x|a="y z"'),
        ({"wildcard": {"a": "am*"}}, "a=am*"),
        ({"prefix": {"a": "am"}}, "a=am*"),
        ([{"term": {"a": 1}}, {"term": {"b": 2}}], "a=1 b=2"),
        (
            {
                "op": "OR",
                "children": [
                    {
                        "path": "subscription.status",
                        "condition": {"op": "neq", "value": "active"},
                        "value_kind": "string",
                    },
                    {"path": "a", "condition": {"op": "between", "value": {"start": 1, "end": 5}}},
                    {"path": "a", "condition": {"op": "like", "value": "%x%"}},
                ],
            },
            "-status=active|a:1..5|a=*x*",
        ),
    ],
)
def test_filters_are_read_as_a_query(filters: Any, query: str) -> None:
    node = read_filters(filters, plain)
    assert node is not None
    assert render(node) == query
    assert parse(query) == node


@pytest.mark.parametrize(
    "filters",
    [
        "text",
        {"bool": {}},
        {"bool": {"may": []}},
        {"term": {}},
        {"term": {"a": [1]}},
        {"regexp": {"a": "x"}},
        {"term": {"a b": 1}},
        {"term": {"a": "\0"}},
        {"op": "XOR", "children": [{"term": {"a": 1}}]},
        {"path": "a"},
        {"path": "a", "condition": {"op": "matches_lquery", "value": "x"}},
        {"terms": {"a": [1] * 201}},
    ],
)
def test_what_is_no_filter_is_refused(filters: Any) -> None:
    with pytest.raises(InvalidQuery, match="filters"):
        read_filters(filters, plain)


@given(JSON)
def test_any_json_gives_a_tree_or_a_sentence(filters: Any) -> None:
    try:
        read_filters(filters, plain)
    except InvalidQuery as error:
        assert str(error)
