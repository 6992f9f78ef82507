"""What a call about subscriptions costs, however much there is."""

import json

from resources.database.session import statement_counter
from tests.test_orchestrator_defs.test_api.test_rest.test_subscriptions.network import (
    active_circuit_on,
    change,
    put_in_sync,
    saved,
)

CALLS = {
    "/subscriptions/": 2,
    "/subscriptions/search?query=ams1": 3,
    "/subscriptions/search?query=insync:true": 2,
    "/subscriptions/domain-model/{}": 5,
    "/subscriptions/workflows/{}": 5,
    "/subscriptions/{}": 1,
    "/subscriptions/{}/versions": 3,
    "/subscriptions/{}/versions/1": 1,
    "/subscriptions/{}/in_use_by": 3,
    "/subscriptions/{}/depends_on": 2,
}
"""Of a device, which is used by others and uses none: where nothing is counted, nothing is listed."""


def test_a_call_takes_the_same_statements_however_much_there_is(engine, api, circuit, device):
    def count(path):
        api.get(path)
        with statement_counter(engine.database.engine) as counted:
            assert api.get(path).status_code == 200
        return counted.count

    few = {path: count(path.format(device)) for path in CALLS}
    with engine.database.transaction():
        for number in range(5):
            active_circuit_on(device)
            saved(device, note=f"{number}")
    many = {path: count(path.format(device)) for path in CALLS}
    assert few == many == CALLS


def test_what_is_known_already_takes_one_statement(engine, api, circuit):
    path = f"/subscriptions/domain-model/{circuit}"
    tag = api.get(path).headers["etag"]
    with statement_counter(engine.database.engine) as counted:
        assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert counted.count == 1


def test_putting_in_sync_takes_four_statements_and_one_when_nothing_is_to_do(engine, api, device):
    put_in_sync(api, device)
    change(engine, device, insync=False)
    with statement_counter(engine.database.engine) as counted:
        put_in_sync(api, device)
        put_in_sync(api, device)
    assert counted.count == 4 + 1


def test_every_answer_is_json(api, device):
    for path in CALLS:
        json.loads(api.get(path.format(device)).content)
