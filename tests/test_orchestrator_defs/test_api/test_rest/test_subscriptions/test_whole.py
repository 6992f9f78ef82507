"""A subscription read whole over REST: every block, whoever owns it, and the tag that tells whether it changed."""

from uuid import UUID

import sqlalchemy as sa

from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.subscriptions.customer_descriptions import create_customer_description
from resources.subscriptions.metadata import write_metadata
from resources.subscriptions.queries import find_product
from resources.types import SubscriptionLifecycle
from tests.test_orchestrator_defs.test_api.test_rest.test_subscriptions.network import (
    NOBODY,
    active_circuit_on,
    change,
    moment,
    saved,
    whole,
)
from tests.test_resources.test_domain.domain import Device, DeviceInactive


def test_a_subscription_is_read_whole(engine, api, device):
    with engine.database.transaction():
        description = create_customer_description(UUID(device), "acme", "Ours")
        write_metadata(UUID(device), {"rack": 7})
        product = find_product("Test Device")
        block = Device.from_subscription(device).device
    assert whole(api, device) == {
        "subscription_id": device,
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
        "description": "Device ams1",
        "status": "active",
        "insync": True,
        "customer_id": "customer",
        "start_date": moment(engine, device, "start_date"),
        "end_date": None,
        "note": None,
        "version": 2,
        "locked_by": None,
        "created_at": moment(engine, device, "created_at"),
        "customer": {"customer_id": "customer", "fullname": "customer", "shortcode": "customer"},
        "metadata": {"rack": 7},
        "customer_descriptions": [
            {
                "id": str(description.id),
                "subscription_id": device,
                "customer_id": "acme",
                "description": "Ours",
                "version": 1,
                "created_at": description.created_at.timestamp(),
            }
        ],
        "device": {
            "name": "Test Device",
            "subscription_instance_id": str(block.subscription_instance_id),
            "owner_subscription_id": device,
            "label": None,
            "hostname": "ams1",
            "in_use_by_ids": [],
            "in_use_by_relations": [],
        },
    }


def test_blocks_of_others_are_shown_with_their_values_and_users(api, circuit, device):
    found = whole(api, circuit)
    ends = found["circuit"]["endpoints"]
    sockets = [end["socket"] for end in ends]
    used = sockets[0]["device"]
    assert found["protected"] is True
    assert (found["circuit"]["title"], found["circuit"]["speed"]) == ("2 ends at 1000 Mbit/s", 1000)
    assert [end["vlan"] for end in ends] == [100, 101]
    assert (used["hostname"], used["owner_subscription_id"]) == ("ams1", device)
    assert sorted(used["in_use_by_ids"]) == sorted(one["subscription_instance_id"] for one in sockets)
    assert {one["subscription_id"] for one in used["in_use_by_relations"]} == {circuit}


def test_users_of_the_same_owner_are_left_out_unless_asked_for(api, circuit):
    for filtered, users in (("true", 0), ("false", 1)):
        found = whole(api, circuit, params={"filter_owner_relations": filtered})
        assert len(found["circuit"]["endpoints"][0]["in_use_by_ids"]) == users, filtered
        assert len(found["circuit"]["endpoints"][0]["in_use_by_relations"]) == users, filtered


def test_a_subscription_is_read_in_every_status(engine, api):
    for status in SubscriptionLifecycle:
        with engine.database.transaction():
            made = DeviceInactive.from_product_id(find_product("Test Device").product_id, "customer")
            made.device.hostname = "lon1"
            made.save()
        change(engine, str(made.subscription_id), status=status.value)
        found = whole(api, made.subscription_id)
        shown = (found["status"], found["device"]["hostname"], "warning" in found)
        assert shown == (status.value, "lon1", False), status


def test_what_has_no_model_is_shown_as_it_was_saved(api, circuit, device):
    before = whole(api, circuit)
    del SUBSCRIPTION_MODEL_REGISTRY["circuit"]
    found = whole(api, circuit)
    assert "'circuit' as it was last saved" in found["warning"]
    assert "No model is registered" in found["warning"]
    assert found["circuit"]["endpoints"][0]["socket"] == before["circuit"]["endpoints"][0]["socket"]
    assert {key: found[key] for key in ("description", "product", "protected", "version")} == {
        key: before[key] for key in ("description", "product", "protected", "version")
    }


def test_what_does_not_fit_its_model_is_shown_as_it_was_saved(engine, api, circuit):
    change(engine, circuit, status="initial")
    with engine.database.transaction() as session:
        session.execute(sa.text("DELETE FROM subscription_instance_relations WHERE attribute = 'endpoints'"))
    found = whole(api, circuit)
    assert "fit the model" in found["warning"]
    assert len(found["circuit"]["endpoints"]) == 2


def test_an_unknown_subscription_is_not_found(api):
    for path in (
        "domain-model/{}",
        "workflows/{}",
        "{}",
        "{}/versions",
        "{}/versions/1",
        "{}/in_use_by",
        "{}/depends_on",
    ):
        answer = api.get("/subscriptions/" + path.format(NOBODY))
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
        assert NOBODY in answer.json()["detail"]


def test_who_has_it_already_is_told_so(api, device):
    path = f"/subscriptions/domain-model/{device}"
    tag = api.get(path).headers["etag"]
    for wanted in ("{tag}", "W/{tag}", '"other", {tag}', 'W/"a,b",W/{tag} , "c"', "*"):
        answer = api.get(path, headers={"If-None-Match": wanted.format(tag=tag)})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag), wanted


def test_who_has_another_gets_it(api, device):
    for wanted in ('"other"', 'W/"x", "y"', "", "nonsense", '"*"', '"'):
        answer = api.get(f"/subscriptions/domain-model/{device}", headers={"If-None-Match": wanted})
        assert (answer.status_code, answer.json()["subscription_id"]) == (200, device), wanted


def test_a_tag_is_strong(api, device):
    assert api.get(f"/subscriptions/domain-model/{device}").headers["etag"].startswith('"')


def renamed(device, hostname):
    subscription = Device.from_subscription(device)
    subscription.device.hostname = hostname
    subscription.save()


CHANGES = {
    "a value": lambda circuit, device: saved(circuit, note="x"),
    "sync": lambda circuit, device: saved(circuit, insync=False),
    "a value of a block of another": lambda circuit, device: renamed(device, "ams9"),
    "metadata": lambda circuit, device: write_metadata(UUID(circuit), {"a": 1}),
    "a customer's description": lambda circuit, device: create_customer_description(UUID(circuit), "c", "d"),
    "another user of a block": lambda circuit, device: active_circuit_on(device),
}


def test_the_tag_changes_with_the_answer(engine, api, circuit, device):
    path = f"/subscriptions/domain-model/{circuit}"
    for what, change_it in CHANGES.items():
        before = api.get(path)
        with engine.database.transaction():
            change_it(circuit, device)
        after = api.get(path, headers={"If-None-Match": before.headers["etag"]})
        assert after.status_code == 200, what
        assert after.json() != before.json(), what


def test_the_tag_stays_when_the_answer_does(engine, api, circuit, device):
    path = f"/subscriptions/domain-model/{circuit}"
    before = api.get(path)
    with engine.database.transaction():
        saved(device, note="a new version of the owner of a block, which shows another value elsewhere")
    change(engine, circuit, search=None)
    after = api.get(path)
    assert (after.headers["etag"], after.json()) == (before.headers["etag"], before.json())


def test_the_tag_is_of_the_question(api, circuit):
    path = f"/subscriptions/domain-model/{circuit}"
    assert len({api.get(path, params={"filter_owner_relations": each}).headers["etag"] for each in (True, False)}) == 2
