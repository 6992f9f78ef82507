"""Lists of subscriptions over REST: searched, filtered, sorted, in parts."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from resources.settings import settings
from resources.subscriptions.metadata import write_metadata
from resources.subscriptions.queries import find_product
from tests.test_orchestrator_defs.test_api.test_rest.test_subscriptions.network import moment
from tests.test_resources.test_domain.domain import DeviceInactive


@pytest.fixture
def several(engine):
    """Three devices by name, in several states."""
    made = {}
    for name, day in (("ams1", 3), ("bru2", 1), ("lon3", 2)):
        with engine.database.transaction():
            subscription = DeviceInactive.from_product_id(find_product("Test Device").product_id, f"customer {name}")
            subscription.device.hostname = name
            subscription.description = f"Device {name}"
            subscription.start_date = None if name == "bru2" else datetime(2024, 1, day, tzinfo=UTC)
            subscription.insync = name != "lon3"
            subscription.save()
            made[name] = str(subscription.subscription_id)
    return made


def listed(answer):
    assert answer.status_code == 200, answer.text
    return [item["description"].removeprefix("Device ") for item in answer.json()]


def test_an_item_of_a_list_has_product_customer_and_metadata(engine, api, several):
    with engine.database.transaction():
        write_metadata(UUID(several["ams1"]), {"rack": 7})
        product = find_product("Test Device")
    assert api.get("/subscriptions/search", params={"query": "ams1"}).json() == [
        {
            "subscription_id": several["ams1"],
            "description": "Device ams1",
            "status": "initial",
            "insync": True,
            "customer_id": "customer ams1",
            "start_date": datetime(2024, 1, 3, tzinfo=UTC).timestamp(),
            "end_date": None,
            "note": None,
            "version": 1,
            "locked_by": None,
            "created_at": moment(engine, several["ams1"], "created_at"),
            "product": {
                "product_id": str(product.product_id),
                "name": "Test Device",
                "description": "a device",
                "product_type": "Device",
                "tag": "DEV",
                "status": "active",
                "created_at": product.created_at.timestamp(),
                "end_date": None,
            },
            "customer": {"customer_id": "customer ams1", "fullname": "customer ams1", "shortcode": "customer ams1"},
            "metadata": {"rack": 7},
            "last_validated": None,
            "validation_result": None,
            "validation_age": None,
        }
    ]


def test_the_default_customer_has_a_name(engine, api, several, monkeypatch):
    monkeypatch.setattr(settings(), "default_customer_identifier", "customer ams1")
    found = api.get(f"/subscriptions/{several['ams1']}").json()
    assert found["customer"] == {
        "customer_id": "customer ams1",
        "fullname": "Default customer",
        "shortcode": "default",
    }


def test_a_search_finds(api, several):
    for query, names in (
        ("", ["lon3", "bru2", "ams1"]),
        ("device", ["lon3", "bru2", "ams1"]),
        ("hostname:(ams1|lon)", ["lon3", "ams1"]),
        ("insync:false", ["lon3"]),
        ("-insync:false -ams1", ["bru2"]),
        ('"device bru2"', ["bru2"]),
        ("nothing", []),
    ):
        answer = api.get("/subscriptions/search", params={"query": query})
        assert listed(answer) == names, query
        assert answer.headers["content-range"] == f"subscriptions 0-{len(names)}/{len(names)}", query


def test_a_list_is_sorted_as_asked(api, several):
    for sort, names in (
        ("description,asc", ["ams1", "bru2", "lon3"]),
        ("description,desc", ["lon3", "bru2", "ams1"]),
        ("startDate,desc", ["ams1", "lon3", "bru2"]),
        ("start_date,asc", ["lon3", "ams1", "bru2"]),
        ("status,asc,insync,asc,description,desc", ["lon3", "bru2", "ams1"]),
    ):
        for path in ("/subscriptions/search", "/subscriptions/"):
            assert listed(api.get(path, params={"sort": sort})) == names, (path, sort)


def test_a_part_of_a_list_says_which(api, several):
    for wanted, names, shown in (
        ("0,2", ["ams1", "bru2"], "0-2/3"),
        ("2,4", ["lon3"], "2-3/3"),
        ("7,9", [], "7-7/3"),
        ("1,1", [], "1-1/3"),
    ):
        for path in ("/subscriptions/search", "/subscriptions/"):
            answer = api.get(path, params={"range": wanted, "sort": "description,asc"})
            found = (listed(answer), answer.headers["content-range"])
            assert found == (names, f"subscriptions {shown}"), (path, wanted)


def test_a_list_is_filtered(api, several):
    for wanted, names in (
        ("insync,false", ["lon3"]),
        ("status,initial-active", ["ams1", "bru2", "lon3"]),
        ("status,!INITIAL", []),
        ("tag,dev,description,Device ams1|device bru2", ["ams1", "bru2"]),
        ("product,Test Device,startDate,>2024-01-02", ["ams1"]),
        ("customerId,CUSTOMER lon3", ["lon3"]),
    ):
        answer = api.get("/subscriptions/", params={"filter": wanted, "sort": "description,asc"})
        assert listed(answer) == names, wanted


def test_what_cannot_be_understood_is_refused(api):
    for path, parameters in (
        ("search", {"query": "x" * 513}),
        ("search", {"query": "(" * 30}),
        ("search", {"query": "insync:maybe"}),
        ("search", {"range": "5,1"}),
        ("search", {"range": "a"}),
        ("search", {"range": "-1,5"}),
        ("search", {"sort": "description"}),
        ("search", {"sort": "colour,asc"}),
        ("search", {"sort": "description,up"}),
        ("", {"filter": "status"}),
        ("", {"filter": "colour,red"}),
        ("", {"filter": "insync,perhaps"}),
        ("", {"filter": "description,a\0b"}),
        ("", {"filter": f"version,{'9' * 31}"}),
    ):
        answer = api.get(f"/subscriptions/{path}", params=parameters)
        refusal = (answer.status_code, answer.headers["content-type"])
        assert refusal == (400, "application/problem+json"), (path, parameters, answer.text)


def test_signs_that_mean_nothing_find_nothing(api, several):
    assert listed(api.get("/subscriptions/search", params={"query": "& ' \\ \ud7ff"})) == []


def test_a_change_is_found_at_once(api, device):
    api.post("/subscription_customer_descriptions/", json=described(device, "Zeppelin"))
    assert listed(api.get("/subscriptions/search", params={"query": "zeppelin"})) == ["ams1"]


def described(subscription_id, text):
    return {"customer_id": "acme", "subscription_id": subscription_id, "description": text}
