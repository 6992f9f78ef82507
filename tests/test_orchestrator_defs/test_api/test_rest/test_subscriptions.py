"""Subscriptions over HTTP: exact shapes, tags, refusals."""

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from ops.steps.step import begin, step
from orchestrator_defs.api.security import middleware
from orchestrator_defs.jobs.decorators import modify_workflow
from resources.database.session import statement_counter
from resources.database.tables import ProcessTable, SubscriptionTable
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.domain.subscription_model import SubscriptionModel
from resources.processes.process_rows import get_process
from resources.settings import settings
from resources.subscriptions.customer_descriptions import create_customer_description
from resources.subscriptions.metadata import write_metadata
from resources.subscriptions.queries import find_product
from resources.types import SubscriptionLifecycle
from resources.users import Role, User
from tests.test_resources.test_domain.domain import CircuitInactive, Device, DeviceInactive, active_circuit
from tests.toy_network import DEVICE, World, device_workflows

NOBODY = "00000000-0000-4000-8000-000000000000"


@step("Nothing")
def nothing(): ...


async def only_ada(context):
    return context.user == "ada"


@modify_workflow("Guarded", product_type="Device", authorize_callback=only_ada)
def modify_guarded():
    return begin >> nothing


@pytest.fixture
def world():
    return World()


@pytest.fixture
def engine(engine_of, world):
    return engine_of(*device_workflows(world), modify_guarded, products=[DEVICE])


@pytest.fixture
def api(engine, api_of):
    return api_of(engine)


@pytest.fixture
def device(engine):
    """The id of a device in service."""
    with engine.database.transaction():
        made = DeviceInactive.from_product_id(find_product("Test Device").product_id, "customer", insync=True)
        made.device.hostname, made.description = "ams1", "Device ams1"
        made.save()
        Device.from_other_lifecycle(made, SubscriptionLifecycle.ACTIVE).save()
    return str(made.subscription_id)


@pytest.fixture
def circuit(engine, device):
    """The id of a circuit that uses the device."""
    SUBSCRIPTION_MODEL_REGISTRY["circuit"] = CircuitInactive
    with engine.database.transaction():
        made = active_circuit(Device.from_subscription(device), ends=2)
        made.insync = True
        made.save()
    return str(made.subscription_id)


def change(engine, subscription_id, **values):
    """Write columns of a subscription's row, behind everybody's back."""
    with engine.database.transaction() as session:
        of_it = SubscriptionTable.subscription_id == UUID(subscription_id)
        session.execute(sa.update(SubscriptionTable).where(of_it).values(**values))


def whole(api, subscription_id, **options):
    answer = api.get(f"/subscriptions/domain-model/{subscription_id}", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def moment(engine, subscription_id, name):
    with engine.database.transaction() as session:
        return getattr(session.get(SubscriptionTable, UUID(subscription_id)), name).timestamp()


# --- whole ---


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


@pytest.mark.parametrize(("filtered", "users"), [("true", 0), ("false", 1)])
def test_users_of_the_same_owner_are_left_out_unless_asked_for(api, circuit, filtered, users):
    found = whole(api, circuit, params={"filter_owner_relations": filtered})
    assert len(found["circuit"]["endpoints"][0]["in_use_by_ids"]) == users
    assert len(found["circuit"]["endpoints"][0]["in_use_by_relations"]) == users


@pytest.mark.parametrize("status", list(SubscriptionLifecycle))
def test_a_subscription_is_read_in_every_status(engine, api, status):
    with engine.database.transaction():
        made = DeviceInactive.from_product_id(find_product("Test Device").product_id, "customer")
        made.device.hostname = "lon1"
        made.save()
    change(engine, str(made.subscription_id), status=status.value)
    found = whole(api, made.subscription_id)
    assert (found["status"], found["device"]["hostname"], "warning" in found) == (status.value, "lon1", False)


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
    assert "does not fit the model" in found["warning"]
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


@pytest.mark.parametrize("wanted", ["{tag}", "W/{tag}", '"other", {tag}', 'W/"a,b",W/{tag} , "c"', "*"])
def test_who_has_it_already_is_told_so(api, device, wanted):
    path = f"/subscriptions/domain-model/{device}"
    tag = api.get(path).headers["etag"]
    answer = api.get(path, headers={"If-None-Match": wanted.format(tag=tag)})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)


@pytest.mark.parametrize("wanted", ['"other"', 'W/"x", "y"', "", "nonsense", '"*"', '"'])
def test_who_has_another_gets_it(api, device, wanted):
    answer = api.get(f"/subscriptions/domain-model/{device}", headers={"If-None-Match": wanted})
    assert (answer.status_code, answer.json()["subscription_id"]) == (200, device)


def test_a_tag_is_strong(api, device):
    assert api.get(f"/subscriptions/domain-model/{device}").headers["etag"].startswith('"')


def saved(subscription_id, **changes):
    subscription = SubscriptionModel.from_subscription(subscription_id)
    for name, value in changes.items():
        setattr(subscription, name, value)
    subscription.save()


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


def active_circuit_on(device):
    other = CircuitInactive.from_product_id(find_product("circuit").product_id, "customer")
    for end in other.circuit.endpoints:
        end.socket.device = Device.from_subscription(device).device
    other.save()


@pytest.mark.parametrize("what", CHANGES)
def test_the_tag_changes_with_the_answer(engine, api, circuit, device, what):
    path = f"/subscriptions/domain-model/{circuit}"
    before = api.get(path)
    with engine.database.transaction():
        CHANGES[what](circuit, device)
    after = api.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.json() != before.json()


def test_the_tag_stays_when_the_answer_does(engine, api, circuit, device):
    path = f"/subscriptions/domain-model/{circuit}"
    before = api.get(path)
    with engine.database.transaction():
        saved(device, note="a new version of the owner of a block, which shows another value elsewhere")
    change(engine, circuit, validation_started_at=datetime.now(UTC))
    after = api.get(path)
    assert (after.headers["etag"], after.json()) == (before.headers["etag"], before.json())


def test_the_tag_is_of_the_question(api, circuit):
    path = f"/subscriptions/domain-model/{circuit}"
    assert len({api.get(path, params={"filter_owner_relations": each}).headers["etag"] for each in (True, False)}) == 2


# --- lists ---


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


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["lon3", "bru2", "ams1"]),
        ("device", ["lon3", "bru2", "ams1"]),
        ("hostname:(ams1|lon)", ["lon3", "ams1"]),
        ("insync:false", ["lon3"]),
        ("-insync:false -ams1", ["bru2"]),
        ('"device bru2"', ["bru2"]),
        ("nothing", []),
    ],
)
def test_a_search_finds(api, several, query, names):
    answer = api.get("/subscriptions/search", params={"query": query})
    assert listed(answer) == names
    assert answer.headers["content-range"] == f"subscriptions 0-{len(names)}/{len(names)}"


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("description,asc", ["ams1", "bru2", "lon3"]),
        ("description,desc", ["lon3", "bru2", "ams1"]),
        ("startDate,desc", ["ams1", "lon3", "bru2"]),
        ("start_date,asc", ["lon3", "ams1", "bru2"]),
        ("status,asc,insync,asc,description,desc", ["lon3", "bru2", "ams1"]),
    ],
)
@pytest.mark.parametrize("path", ["/subscriptions/search", "/subscriptions/"])
def test_a_list_is_sorted_as_asked(api, several, path, sort, names):
    assert listed(api.get(path, params={"sort": sort})) == names


@pytest.mark.parametrize(
    ("wanted", "names", "shown"),
    [("0,2", ["ams1", "bru2"], "0-2/3"), ("2,4", ["lon3"], "2-3/3"), ("7,9", [], "7-7/3"), ("1,1", [], "1-1/3")],
)
@pytest.mark.parametrize("path", ["/subscriptions/search", "/subscriptions/"])
def test_a_part_of_a_list_says_which(api, several, path, wanted, names, shown):
    answer = api.get(path, params={"range": wanted, "sort": "description,asc"})
    assert (listed(answer), answer.headers["content-range"]) == (names, f"subscriptions {shown}")


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("insync,false", ["lon3"]),
        ("status,initial-active", ["ams1", "bru2", "lon3"]),
        ("status,!INITIAL", []),
        ("tag,dev,description,Device ams1|device bru2", ["ams1", "bru2"]),
        ("product,Test Device,startDate,>2024-01-02", ["ams1"]),
        ("customerId,CUSTOMER lon3", ["lon3"]),
    ],
)
def test_a_list_is_filtered(api, several, wanted, names):
    assert listed(api.get("/subscriptions/", params={"filter": wanted, "sort": "description,asc"})) == names


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
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
        ("", {"filter": f"version,{'9' * 30}"}),
    ],
)
def test_what_cannot_be_understood_is_refused(api, path, parameters):
    answer = api.get(f"/subscriptions/{path}", params=parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text


def test_signs_that_mean_nothing_find_nothing(api, several):
    assert listed(api.get("/subscriptions/search", params={"query": "\0 & ' \\ \ud7ff"})) == []


def test_a_change_is_found_at_once(api, device):
    api.post("/subscription_customer_descriptions/", json=described(device, "Zeppelin"))
    assert listed(api.get("/subscriptions/search", params={"query": "zeppelin"})) == ["ams1"]


def described(subscription_id, text):
    return {"customer_id": "acme", "subscription_id": subscription_id, "description": text}


# --- what may be started ---


def startable(api, subscription_id):
    answer = api.get(f"/subscriptions/workflows/{subscription_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_workflows_are_listed_by_target_in_lower_case(api, device):
    found = startable(api, device)
    assert list(found) == ["create", "modify", "terminate", "system", "validate", "reconcile"]
    assert found["terminate"] == [{"name": "terminate_device", "description": "Terminate device"}]
    assert {"name": "modify_device", "description": "Rename device"} in found["modify"]
    assert found["system"] == []


def test_a_reason_is_a_key_to_translate(engine, api, device):
    change(engine, device, insync=False)
    found = startable(api, device)
    (entry,) = found["terminate"]
    assert (entry["reason"], set(entry)) == ("subscription.not_in_sync", {"name", "description", "reason", "message"})
    assert found["reason"] == "subscription.not_in_sync"


def test_a_status_in_which_it_cannot_be_is_told(engine, api, device):
    change(engine, device, status="terminated")
    (entry,) = startable(api, device)["validate"]
    assert {key: entry[key] for key in ("reason", "usable_when", "status", "action")} == {
        "reason": "subscription.no_modify_invalid_status",
        "usable_when": ["active"],
        "status": "terminated",
        "action": "modified",
    }


def test_who_uses_it_is_told(api, circuit, device):
    (entry,) = startable(api, device)["terminate"]
    assert entry["unterminated_in_use_by_subscriptions"] == [circuit]
    assert entry["unterminated_in_use_by_subscriptions_detail"][0]["product"] == {"name": "circuit"}


def test_neighbours_that_are_out_of_sync_are_told(engine, api, circuit, device):
    change(engine, circuit, insync=False)
    found = startable(api, device)
    (entry,) = found["terminate"]
    assert found["reason"] == entry["reason"] == "subscription.relations_not_in_sync"
    assert found["locked_relations"] == entry["locked_relations"] == [circuit]
    assert found["locked_relations_detail"] == [
        {
            "subscription_id": circuit,
            "description": "Initial subscription of the circuit",
            "status": "active",
            "insync": False,
            "product": {"name": "circuit"},
        }
    ]


def test_what_the_user_may_not_start_says_so(api, device):
    guarded = next(one for one in startable(api, device)["modify"] if one["name"] == "modify_guarded")
    assert guarded["reason"] == "subscription.insufficient_workflow_permissions"


def test_what_the_user_has_no_role_for_says_so(engine, api_of, device, monkeypatch):
    monkeypatch.setattr(middleware, "NOBODY", User("ada", roles=[Role.OPERATOR]))
    (entry,) = startable(api_of(engine, workflow_roles={"terminate_*": "admin"}), device)["terminate"]
    assert entry["reason"] == "subscription.insufficient_workflow_permissions"
    assert "needs the role admin" in entry["message"]


# --- in sync ---


def put_in_sync(api, subscription_id):
    return api.put(f"/subscriptions/{subscription_id}/set_in_sync")


def test_a_subscription_is_put_in_sync_and_its_history_says_by_whom(engine, api, device):
    change(engine, device, insync=False)
    answer = put_in_sync(api, device)
    assert (answer.status_code, answer.json()) == (
        200,
        {"subscription_id": device, "insync": True, "changed": True},
    )
    newest = api.get(f"/subscriptions/{device}/versions").json()[0]
    assert api.get(f"/subscriptions/{device}").json()["insync"] is True
    assert {key: newest[key] for key in ("version", "created_by", "process_id", "step_key", "difference")} == {
        "version": 3,
        "created_by": "SYSTEM",
        "process_id": None,
        "step_key": "set_in_sync",
        "difference": [],
    }


def test_what_is_in_sync_stays_as_it_is(api, device):
    answer = put_in_sync(api, device)
    assert (answer.status_code, answer.json()["changed"]) == (200, False)
    assert api.get(f"/subscriptions/{device}").json()["version"] == 2


def test_an_unknown_one_is_not_put_in_sync(api):
    assert put_in_sync(api, NOBODY).status_code == 404


@pytest.fixture
def failed(engine, world, device):
    """The id of a process that failed and holds the device."""
    world.broken.add("rename")
    process_id = engine.run("modify_device", [{"subscription_id": device}, {"hostname": "ams2"}])
    assert engine.process(process_id).last_status == "failed"
    return str(process_id)


def test_an_unfinished_process_stands_in_the_way_and_is_named_last(api, device, failed):
    answer = put_in_sync(api, device)
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        f"Subscription {device} cannot be put in sync while processes that changed it are unfinished; "
        f"resume or abort these first: [{failed}]"
    )
    assert api.get(f"/subscriptions/{device}").json()["insync"] is False


def test_an_aborted_process_does_not_stand_in_the_way(engine, api, device, failed):
    engine.service.interventions.abort(UUID(failed), user="tester")
    assert put_in_sync(api, device).status_code == 200


def test_an_unfinished_task_does_not_stand_in_the_way(engine, api, world, device):
    world.broken.add("compare")
    task = engine.run("validate_device", [{"subscription_id": device}])
    assert engine.process(task).last_status == "failed"
    change(engine, device, insync=False)
    assert put_in_sync(api, device).status_code == 200


def test_who_holds_it_stands_in_the_way_even_if_it_only_changed_it_on_its_way(engine, api, circuit, device, failed):
    change(engine, circuit, insync=False, locked_by=UUID(failed))
    answer = put_in_sync(api, circuit)
    assert (answer.status_code, f"[{failed}]" in answer.json()["detail"]) == (422, True)


def test_the_check_can_be_disabled_and_still_nothing_is_let_go_of(engine, api, device, failed, monkeypatch):
    monkeypatch.setattr(settings(), "disable_insync_check", True)
    assert put_in_sync(api, device).status_code == 200
    found = api.get(f"/subscriptions/{device}").json()
    assert (found["insync"], found["locked_by"]) == (True, failed)


def test_two_unfinished_processes_are_named_in_the_order_of_their_start(engine, api, device, failed):
    with engine.database.transaction() as session:
        first = get_process(UUID(failed))
        other = ProcessTable(
            process_id=uuid4(), workflow_id=first.workflow_id, last_status="suspended", step_keys=[],
        )  # fmt: skip
        session.add(other)
        session.flush()
        session.execute(
            sa.text("INSERT INTO processes_subscriptions (process_id, subscription_id) VALUES (:p, :s)"),
            {"p": other.process_id, "s": UUID(device)},
        )
        second = str(other.process_id)
    assert put_in_sync(api, device).json()["detail"].endswith(f": [{failed}, {second}]")


# --- history and neighbours ---


def test_a_history_is_read_newest_first_and_in_parts(engine, api):
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    device = engine.process(process_id).state["subscription_id"]
    answer = api.get(f"/subscriptions/{device}/versions", params={"range": "0,1"})
    (newest,) = answer.json()
    assert answer.headers["content-range"] == "versions 0-1/2"
    assert (newest["version"], newest["workflow_name"], newest["created_by"]) == (2, "create_device", "tester")
    assert {"path": "status", "before": "initial", "after": "active"} in newest["difference"]
    (oldest,) = api.get(f"/subscriptions/{device}/versions", params={"range": "1,2"}).json()
    assert (oldest["version"], oldest["step_key"]) == (1, "construct")


def test_a_version_is_read_whole(api, device):
    first = api.get(f"/subscriptions/{device}/versions/1").json()
    second = api.get(f"/subscriptions/{device}/versions/2").json()
    assert [one["document"]["status"] for one in (first, second)] == ["initial", "active"]
    assert second["difference"] == api.get(f"/subscriptions/{device}/versions").json()[0]["difference"]
    assert isinstance(first["created_at"], float)


@pytest.mark.parametrize(("number", "status"), [(3, 404), (0, 422), (2**31, 422), ("x", 422)])
def test_a_version_that_there_is_not_is_not_found(api, device, number, status):
    assert api.get(f"/subscriptions/{device}/versions/{number}").status_code == status


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


# --- statements ---

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


@pytest.mark.parametrize("path", CALLS)
def test_a_call_takes_the_same_statements_however_much_there_is(engine, api, circuit, device, path):
    def count():
        api.get(path.format(device))
        with statement_counter(engine.database.engine) as counted:
            assert api.get(path.format(device)).status_code == 200
        return counted.statements

    few = count()
    with engine.database.transaction():
        for number in range(5):
            active_circuit_on(device)
            saved(device, note=f"{number}")
    many = count()
    assert len(few) == len(many) == CALLS[path], many


def test_what_is_known_already_takes_one_statement(engine, api, circuit):
    path = f"/subscriptions/domain-model/{circuit}"
    tag = api.get(path).headers["etag"]
    with statement_counter(engine.database.engine) as counted:
        assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert counted.count == 1


def test_putting_in_sync_takes_three_statements_and_one_when_nothing_is_to_do(engine, api, device):
    put_in_sync(api, device)
    change(engine, device, insync=False)
    with statement_counter(engine.database.engine) as counted:
        put_in_sync(api, device)
        put_in_sync(api, device)
    assert counted.count == 3 + 1


def test_every_answer_is_json(api, device):
    for path in CALLS:
        json.loads(api.get(path.format(device)).content)
