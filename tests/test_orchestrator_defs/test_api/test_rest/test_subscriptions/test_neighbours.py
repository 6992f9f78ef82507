"""The subscriptions around one, over REST."""

from tests.test_orchestrator_defs.test_api.test_rest.test_subscriptions.network import active_circuit_on


def test_neighbours_are_listed_both_ways(api, circuit, device):
    used_by = api.get(f"/subscriptions/{device}/in_use_by")
    uses = api.get(f"/subscriptions/{circuit}/depends_on")
    assert used_by.headers["content-range"] == uses.headers["content-range"] == "subscriptions 0-1/1"
    assert uses.json() == [
        {
            "subscription_id": device,
            "description": "Device ams1",
            "status": "active",
            "insync": True,
            "product_name": "Test Device",
            "customer_id": "customer",
            "depth": 1,
        }
    ]
    assert [one["subscription_id"] for one in used_by.json()] == [circuit]
    assert api.get(f"/subscriptions/{device}/in_use_by", params={"status": ["initial"]}).json() == []
    assert api.get(f"/subscriptions/{device}/depends_on").json() == []


def test_neighbours_are_listed_in_parts(engine, api, circuit, device):
    with engine.database.transaction():
        active_circuit_on(device)
    found = [api.get(f"/subscriptions/{device}/in_use_by", params={"range": part}) for part in ("0,1", "1,2", "2,3")]
    assert [answer.headers["content-range"][14:] for answer in found] == ["0-1/2", "1-2/2", "2-2/2"]
    assert len({item["subscription_id"] for answer in found for item in answer.json()}) == 2
