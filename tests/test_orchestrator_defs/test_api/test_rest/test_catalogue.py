"""Products, blocks, resource types and workflows over HTTP: read whole, edited where people may."""

import logging
from uuid import uuid4

import pytest

from resources.catalogue.catalogue import Product
from tests.test_resources.test_domain.domain import DeviceInactive
from tests.toy_network import DEVICE, OTHER, World, device_workflows


@pytest.fixture
def engine(engine_of):
    return engine_of(*device_workflows(World()), products=[DEVICE, OTHER])


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


@pytest.fixture
def device(api):
    return api.get("/products/", params={"tag": "DEV"}).json()[0]


def create_device(engine):
    return engine.of(engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "ams1"}])).row.state[
        "subscription_id"
    ]


# --- reading ---


def test_a_product_has_every_key_that_clients_know(device):
    assert list(device) == [
        "product_id",
        "name",
        "description",
        "product_type",
        "tag",
        "status",
        "created_at",
        "end_date",
        "product_blocks",
        "fixed_inputs",
        "workflows",
    ]
    assert device["name"] == "Test Device"
    assert (device["product_type"], device["tag"], device["status"]) == ("Device", "DEV", "active")
    assert device["end_date"] is None


def test_moments_are_seconds_since_1970(device):
    assert isinstance(device["created_at"], float)
    assert device["created_at"] > 1_700_000_000


def test_a_product_has_its_blocks_with_their_resource_types(device):
    (block,) = device["product_blocks"]
    assert block["name"] == "Test Device"
    assert "hostname" in [one["resource_type"] for one in block["resource_types"]]
    assert list(block["resource_types"][0]) == ["resource_type_id", "resource_type", "description"]


def test_a_product_has_its_workflows_by_name(device):
    names = [workflow["name"] for workflow in device["workflows"]]
    assert names == sorted(names)
    assert {"create_device", "terminate_device", "modify_note"} <= set(names)
    workflow = next(one for one in device["workflows"] if one["name"] == "create_device")
    assert list(workflow) == ["workflow_id", "name", "target", "description", "is_task", "created_at"]
    assert (workflow["target"], workflow["description"], workflow["is_task"]) == ("CREATE", "Create device", False)


def test_fixed_inputs_are_text(engine_of, api_of):
    class Fast(DeviceInactive):
        speed: int

    product = Product("Fast Device", "FAST", Fast, "Device", "a fast one", fixed_inputs={"speed": 100})
    api = api_of(engine_of(*device_workflows(World()), products=[product]))
    (found,) = api.get("/products/").json()
    assert [(one["name"], one["value"], one["product_id"]) for one in found["fixed_inputs"]] == [
        ("speed", "100", found["product_id"])
    ]


def test_products_are_filtered(api):
    for query, names in (
        ({}, ["Other Thing", "Test Device"]),
        ({"tag": "OTHER"}, ["Other Thing"]),
        ({"product_type": "Device"}, ["Test Device"]),
        ({"tag": "OTHER", "product_type": "Device"}, []),
    ):
        assert [one["name"] for one in api.get("/products/", params=query).json()] == names, query


def test_a_product_alone_is_the_same_as_in_the_list(api, device):
    assert api.get(f"/products/{device['product_id']}").json() == device


def test_a_list_takes_five_statements_however_many_products(engine, database, api, statements):
    api.get("/products/")
    statements.clear()
    assert len(api.get("/products/").json()) == 2
    assert statements.count == 5
    statements.clear()
    assert len(api.get("/products/", params={"tag": "DEV"}).json()) == 1
    assert statements.count == 5


def test_what_there_is_not_is_404(api):
    for kind in ("products", "product_blocks", "resource_types", "workflows"):
        unknown = uuid4()
        for answer in (api.get(f"/{kind}/{unknown}"), api.patch(f"/{kind}/{unknown}", json={"description": "x"})):
            assert answer.status_code == 404, kind
            assert str(unknown) in answer.json()["detail"], kind


def test_an_id_that_is_none_is_422(api):
    for kind in ("products", "product_blocks", "resource_types", "workflows"):
        assert api.get(f"/{kind}/nonsense").status_code == 422, kind


def test_a_nul_character_is_refused(api):
    for query in ("tag=%00", "product_type=a%00b"):
        assert api.get(f"/products/?{query}").status_code == 422, query


def test_workflows_are_listed_by_target_and_kind(api):
    assert [one["name"] for one in api.get("/workflows/", params={"target": "CREATE"}).json()] == ["create_device"]
    tasks = api.get("/workflows/", params={"is_task": "true"}).json()
    assert "task_clean_up_tasks" in [one["name"] for one in tasks]
    assert all(one["is_task"] for one in tasks)


def test_a_workflow_that_the_code_has_no_more_is_404(engine, api):
    workflow = api.get("/workflows/", params={"target": "CREATE"}).json()[0]
    with engine.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE workflows SET deleted_at = now() WHERE name = 'create_device'")
    assert api.get(f"/workflows/{workflow['workflow_id']}").status_code == 404


# --- editing ---


def test_a_product_is_edited(api, device):
    answer = api.patch(f"/products/{device['product_id']}", json={"description": "a finer device"})
    assert answer.status_code == 200
    assert answer.json() == device | {"description": "a finer device"}
    assert api.get(f"/products/{device['product_id']}").json()["description"] == "a finer device"


def test_a_product_gets_another_status(api, device):
    answer = api.patch(f"/products/{device['product_id']}", json={"status": "phase out"})
    assert answer.json() == device | {"status": "phase out"}


def test_a_life_does_not_end_while_subscriptions_live(engine, api, device):
    create_device(engine)
    answer = api.patch(f"/products/{device['product_id']}", json={"status": "end of life"})
    assert answer.status_code == 409
    assert "1 subscription that is not terminated" in answer.json()["detail"]
    assert api.get(f"/products/{device['product_id']}").json()["status"] == "active"


def test_a_life_ends_when_all_subscriptions_are_terminated(engine, api, device):
    engine.run("terminate_device", [{"subscription_id": create_device(engine)}])
    answer = api.patch(f"/products/{device['product_id']}", json={"status": "end of life"})
    assert answer.json()["status"] == "end of life"


def test_what_the_code_has_no_more_gets_no_other_life(engine, api, device):
    with engine.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE products SET end_date = now() WHERE tag = 'DEV'")
    answer = api.patch(f"/products/{device['product_id']}", json={"status": "active"})
    assert answer.status_code == 409
    assert "has not been in the code since" in answer.json()["detail"]


def test_a_description_is_edited(api, device):
    for kind, place in (
        ("product_blocks", lambda device: device["product_blocks"][0]["product_block_id"]),
        ("resource_types", lambda device: device["product_blocks"][0]["resource_types"][0]["resource_type_id"]),
        ("workflows", lambda device: device["workflows"][0]["workflow_id"]),
    ):
        path = f"/{kind}/{place(device)}"
        before = api.get(path).json()
        answer = api.patch(path, json={"description": "in other words"})
        assert answer.status_code == 200, kind
        assert answer.json() == before | {"description": "in other words"} == api.get(path).json(), kind


def test_what_is_the_codes_or_cannot_be_kept_is_refused(api, device):
    for edit in (
        {"name": "Mine"},
        {"tag": "MINE"},
        {"description": ""},
        {"description": "x" * 2001},
        {"description": "a\0b"},
        {"description": 7},
        {"status": "splendid"},
    ):
        answer = api.patch(f"/products/{device['product_id']}", json=edit)
        assert answer.status_code == 422, edit
        assert api.get(f"/products/{device['product_id']}").json() == device, edit


def test_what_json_can_hardly_say_is_refused(api, device):
    for body in (
        b'{"description": "\\ud800"}',
        b'{"\\ud800": "key"}',
        b'{"description": NaN}',
        b'{"description": [-Infinity, 1e999]}',
    ):
        answer = api.patch(
            f"/products/{device['product_id']}", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422, body


def test_applying_the_catalogue_leaves_what_people_edited(engine, api, device):
    block = device["product_blocks"][0]
    value, workflow = block["resource_types"][0], device["workflows"][0]
    paths = [
        f"/products/{device['product_id']}",
        f"/product_blocks/{block['product_block_id']}",
        f"/resource_types/{value['resource_type_id']}",
        f"/workflows/{workflow['workflow_id']}",
    ]
    for path in paths:
        api.patch(path, json={"description": "edited"})
    api.patch(paths[0], json={"status": "phase out"})
    with engine.database.transaction() as session:
        # Something differs, so that rows are written at all.
        session.connection().exec_driver_sql("UPDATE products SET tag = 'X'")
        session.connection().exec_driver_sql("UPDATE product_blocks SET tag = 'X'")
        session.connection().exec_driver_sql("UPDATE workflows SET is_task = NOT is_task")
        assert engine.orchestrator.catalogue.apply()
    assert {api.get(path).json()["description"] for path in paths} == {"edited"}
    assert api.get(paths[0]).json()["status"] == "phase out"
    assert api.get(paths[0]).json()["tag"] == "DEV"


def test_the_log_says_who_edited(api, device, caplog):
    with caplog.at_level(logging.INFO, logger="orchestrator_defs.api.rest.catalogue"):
        api.patch(f"/products/{device['product_id']}", json={"description": "edited"})
    assert f"Product {device['product_id']} was edited by 'SYSTEM'." in caplog.text


def test_an_edit_to_nothing_changes_nothing(api, device):
    assert api.patch(f"/products/{device['product_id']}", json={}).json() == device
