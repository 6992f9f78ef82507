"""Subscriptions: what may be started on them, how they are put in sync, and what customers call them."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from resources.database.tables import SubscriptionTable
from tests.engine import Engine
from tests.toy_network import World
from tests.web_client import WebClient

NOBODY = "00000000-0000-4000-8000-000000000000"
TARGETS = ["create", "modify", "terminate", "system", "validate", "reconcile"]


@pytest.fixture
def left_open(engine: Engine, world: World, device: Callable[[], str]) -> Iterator[tuple[str, UUID]]:
    """A device, and the process that failed on it."""
    subscription_id = device()
    world.broken.add("rename")
    try:
        yield subscription_id, engine.run("modify_device", [{"subscription_id": subscription_id}, {"hostname": "ams2"}])
    finally:
        world.broken.discard("rename")


def put_out_of_sync(engine: Engine, subscription_id: str) -> None:
    """Behind everybody's back."""
    with engine.database.transaction() as session:
        of_it = SubscriptionTable.subscription_id == UUID(subscription_id)
        session.execute(sa.update(SubscriptionTable).where(of_it).values(insync=False))


# --- what may be started ---


def test_what_may_be_started_is_told_by_target_in_lower_case(ui: WebClient, device: Callable[[], str]) -> None:
    answer = ui.get(f"/subscriptions/workflows/{device()}")
    assert answer.status == 200
    assert sorted(answer.data) == sorted(TARGETS)
    assert sorted(answer.data["modify"], key=lambda one: one["name"]) == [
        {"name": "modify_device", "description": "Rename device"},
        {"name": "modify_note", "description": "Modify note"},
    ]
    assert [one["name"] for one in answer.data["validate"]] == ["validate_device"]


def test_what_may_not_be_started_has_a_reason_to_translate(
    ui: WebClient, engine: Engine, device: Callable[[], str]
) -> None:
    subscription_id = device()
    put_out_of_sync(engine, subscription_id)
    found = ui.get(f"/subscriptions/workflows/{subscription_id}").data
    (entry,) = found["terminate"]
    assert found["reason"] == entry["reason"] == "subscription.not_in_sync"
    assert ui.get("/translations/en-GB").data["subscription"]["not_in_sync"]


def test_a_status_that_does_not_fit_is_told(ui: WebClient, engine: Engine, device: Callable[[], str]) -> None:
    subscription_id = device()
    engine.run("terminate_device", [{"subscription_id": subscription_id}])
    (entry,) = ui.get(f"/subscriptions/workflows/{subscription_id}").data["reconcile"]
    told = {name: entry[name] for name in ("reason", "usable_when", "status", "action")}
    assert told == {
        "reason": "subscription.no_modify_invalid_status",
        "usable_when": ["active"],
        "status": "terminated",
        "action": "modified",
    }


def test_actions_of_an_unknown_subscription_are_not_found(ui: WebClient) -> None:
    assert ui.get(f"/subscriptions/workflows/{NOBODY}").status == 404


# --- in sync ---


def test_a_subscription_is_put_in_sync(ui: WebClient, engine: Engine, device: Callable[[], str]) -> None:
    subscription_id = device()
    put_out_of_sync(engine, subscription_id)
    assert ui.put(f"/subscriptions/{subscription_id}/set_in_sync").status == 200
    assert ui.get(f"/subscriptions/{subscription_id}").data["insync"] is True


def test_processes_that_stand_in_the_way_are_named_so_that_they_become_links(
    ui: WebClient, left_open: tuple[str, UUID]
) -> None:
    subscription_id, process_id = left_open
    answer = ui.put(f"/subscriptions/{subscription_id}/set_in_sync")
    assert answer.status == 422
    before, _, after = answer.data["detail"].partition("[")
    assert before.strip()
    assert after == f"{process_id}]"  # the client shows what is before the bracket, and links the ids in it


# --- customers' words ---


def test_a_customers_words_are_written_and_changed(ui: WebClient, device: Callable[[], str]) -> None:
    words = {"customer_id": "acme", "subscription_id": device(), "description": "Our router"}
    path = "/subscription_customer_descriptions"
    assert ui.post(path, words).status == 204
    kept = ui.get(f"{path}/customer/acme/subscription/{words['subscription_id']}").data
    assert ui.put(path, {"id": kept["id"], **words, "description": "Their router"}).status == 204
    assert ui.get(f"{path}/{kept['id']}").data["description"] == "Their router"


def test_words_of_nobody_are_refused_in_json(ui: WebClient) -> None:
    words = {"customer_id": "acme", "subscription_id": NOBODY, "description": "Our router"}
    answer = ui.post("/subscription_customer_descriptions", words)
    assert (answer.status, type(answer.data["detail"])) == (404, str)


# --- lists ---


def test_a_list_says_which_of_how_many_it_has(ui: WebClient, device: Callable[[], str]) -> None:
    wanted = sorted(device() for _ in range(3))
    query = f"range=0,2&sort=startDate,desc&filter=subscriptionId,{'|'.join(wanted)}"
    answer = ui.get(f"/subscriptions/?{query}")
    assert (answer.status, answer.headers["content-range"]) == (200, "subscriptions 0-2/3")
    assert all(isinstance(one["insync"], bool) for one in answer.data)
    assert all(isinstance(one["start_date"], float) for one in answer.data)


def test_a_search_finds_by_words(ui: WebClient, device: Callable[[], str]) -> None:
    subscription_id = device()
    name = ui.get(f"/subscriptions/{subscription_id}").data["description"].split()[-1]
    answer = ui.get(f"/subscriptions/search?query={name}")
    assert (answer.status, answer.headers["content-range"]) == (200, "subscriptions 0-1/1")
    assert [one["subscription_id"] for one in answer.data] == [subscription_id]


def test_a_whole_subscription_that_is_known_is_not_sent_again(ui: WebClient, device: Callable[[], str]) -> None:
    path = f"/subscriptions/domain-model/{device()}"
    first = ui.get(path)
    assert (first.status, type(first.data["start_date"])) == (200, float)
    again = ui.get(path, **{"If-None-Match": first.headers["etag"]})
    assert (again.status, again.headers["etag"]) == (304, first.headers["etag"])


def test_a_whole_subscription_that_has_changed_is_sent_again(
    ui: WebClient, engine: Engine, device: Callable[[], str]
) -> None:
    subscription_id = device()
    path = f"/subscriptions/domain-model/{subscription_id}"
    tag: Any = ui.get(path).headers["etag"]
    put_out_of_sync(engine, subscription_id)
    again = ui.get(path, **{"If-None-Match": tag})
    assert (again.status, again.data["insync"]) == (200, False)
