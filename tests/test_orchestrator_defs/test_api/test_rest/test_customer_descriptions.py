"""Customers' descriptions over HTTP: the codes, and what changes."""

import json
from uuid import uuid4

import pytest

from resources.subscriptions.queries import find_product
from tests.test_resources.test_domain.domain import DeviceInactive
from tests.toy_network import DEVICE, World, device_workflows

PATH = "/subscription_customer_descriptions"
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def engine(engine_of):
    return engine_of(*device_workflows(World()), products=[DEVICE])


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


@pytest.fixture
def device(engine):
    """The id of a device."""
    with engine.database.transaction():
        made = DeviceInactive.from_product_id(find_product("Test Device").product_id, "customer")
        made.save()
    return str(made.subscription_id)


@pytest.fixture
def words(device):
    """What a client sends."""
    return {"customer_id": "acme", "subscription_id": device, "description": "Our router"}


@pytest.fixture
def described(api, words):
    """A description as it is read back."""
    assert api.post(PATH, json=words).status_code == 204
    return read(api, words)


def read(api, words):
    return api.get(f"{PATH}/customer/{words['customer_id']}/subscription/{words['subscription_id']}").json()


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_description_is_written_with_and_without_a_slash(api, words, slash):
    answer = api.post(PATH + slash, json=words)
    assert (answer.status_code, answer.content) == (204, b"")
    found = read(api, words)
    assert list(found) == ["id", "customer_id", "subscription_id", "description", "version", "created_at"]
    assert {key: found[key] for key in (*words, "version")} == {**words, "version": 1}
    assert isinstance(found["created_at"], float)


def test_one_is_read_by_its_id(api, described):
    assert api.get(f"{PATH}/{described['id']}").json() == described


def test_a_second_one_of_a_pair_is_refused(api, words, described):
    answer = api.post(PATH, json=words)
    assert answer.status_code == 409
    assert "'acme' has a description" in answer.json()["detail"]


def test_what_is_not_there_is_not_described(api, words):
    assert api.post(PATH, json={**words, "subscription_id": NOBODY}).status_code == 404


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_description_is_changed(api, words, described, slash):
    changed = {**words, "id": described["id"], "description": "The router"}
    assert api.put(PATH + slash, json=changed).status_code == 204
    found = read(api, words)
    assert (found["description"], found["version"]) == ("The router", 2)


def test_without_an_id_the_one_of_the_pair_is_changed(api, words, described):
    assert api.put(PATH, json={**words, "description": "Ours"}).status_code == 204
    assert read(api, words)["description"] == "Ours"


def test_a_stale_version_is_refused(api, words, described):
    changed = {**words, "id": described["id"], "version": 1}
    assert api.put(PATH, json=changed).status_code == 204
    answer = api.put(PATH, json=changed)
    assert (answer.status_code, "has version 2" in answer.json()["detail"]) == (409, True)


def test_one_that_there_is_not_is_not_changed(api, words, described):
    for difference in ({"customer_id": "other"}, {"id": str(uuid4())}, {"subscription_id": NOBODY}):
        answer = api.put(PATH, json={**words, "id": described["id"], **difference})
        assert answer.status_code == 404, difference
        assert read(api, words) == described, difference


def test_a_description_is_removed_once(api, words, described):
    assert api.delete(f"{PATH}/{described['id']}").status_code == 204
    assert api.delete(f"{PATH}/{described['id']}").status_code == 404
    assert api.get(f"{PATH}/customer/acme/subscription/{words['subscription_id']}").status_code == 404


def test_one_that_there_is_not_is_not_found(api):
    answer = api.get(f"{PATH}/{NOBODY}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_what_cannot_be_kept_is_refused(api, words):
    for difference in (
        {"description": "a\0b"},
        {"description": ""},
        {"description": "x" * 2001},
        {"description": None},
        {"customer_id": "a\0b"},
        {"customer_id": "x" * 256},
        {"subscription_id": "me"},
    ):
        for method in ("POST", "PUT"):
            body = json.dumps({**words, **difference})
            answer = api.request(method, PATH, content=body, headers={"Content-Type": "application/json"})
            refusal = (answer.status_code, answer.headers["content-type"])
            assert refusal == (422, "application/problem+json"), (method, difference)


def test_a_version_that_cannot_be_is_refused(api, words):
    for version in (0, 2**31, "x"):
        assert api.put(PATH, json={**words, "version": version}).status_code == 422, version


def test_a_path_that_cannot_be_is_refused(api):
    for path in ("/customer/acme/subscription/me", "/me"):
        assert api.get(PATH + path).status_code == 422, path


def test_what_is_no_description_at_all_is_refused(api):
    for body in (b"", b"{", b"\xff", b"[]", b"null"):
        answer = api.post(PATH, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), body
        assert answer.headers["content-type"] == "application/problem+json", body
