"""The lists of version 9, and the page Search."""

from collections.abc import Callable
from typing import Any

from tests.web_client import WebClient

COLUMNS = [
    f"subscription.{name}"
    for name in (
        *("subscription_id", "description", "status", "insync", "product.name", "product.tag", "customer_name"),
        *("customer_abbreviation", "start_date", "end_date", "note", "metadata"),
    )
]


def test_the_list_of_subscriptions_pages_through_a_tab(ui: WebClient, device: Callable[[], str]) -> None:
    made = {device(), device()}
    status = {"bool": {"should": [{"term": {"subscription.status": "active"}}]}}
    ids = {"bool": {"should": [{"term": {"subscription.subscription_id": one}} for one in made]}}
    body: dict[str, Any] = {
        "query": "",
        "filters": {"bool": {"must": [status, ids]}},
        "order_by": {"element": "subscription.start_date", "direction": "desc"},
        "response_columns": COLUMNS,
    }
    first = ui.post("/search/subscriptions", {**body, "limit": 1})
    assert first.status == 200
    assert first.data["page_info"]["has_next_page"] is True
    second = ui.post(f"/search/subscriptions?cursor={first.data['page_info']['next_page_cursor']}", body)
    assert second.data["page_info"] == {"has_next_page": False, "next_page_cursor": None}
    hits = [*first.data["data"], *second.data["data"]]
    assert {hit["entity_id"] for hit in hits} == made
    assert [list(hit["response_columns"]) for hit in hits] == [COLUMNS, COLUMNS]
    assert [hit["response_columns"]["subscription.insync"] for hit in hits] == [True, True]


def test_the_page_of_searches_knows_what_to_offer(ui: WebClient) -> None:
    assert ui.get("/search/definitions").data["string"]["operators"]
    offered = ui.get("/search/paths?q=host&entity_type=SUBSCRIPTION").data
    assert offered["leaves"] == [
        {"name": "hostname", "ui_types": ["string"], "paths": ["subscription.device.hostname"]}
    ]
    refused = ui.post("/search/subscriptions", {"query": "(", "response_columns": []})
    assert (refused.status, "character 2" in refused.data["detail"]) == (400, True)
