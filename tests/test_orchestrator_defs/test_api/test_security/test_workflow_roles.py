"""Least roles of workflows, as the routes of the whole application heed them, and whose name is written down."""

import pytest

from tests.drift import write_result
from tests.oidc import bearer, login_at
from tests.test_orchestrator_defs.test_api.test_rest.test_processes.workflows import Outside, toy_tasks
from tests.toy_network import DEVICE, World, device_workflows

INPUTS = [{"product": "Test Device"}, {"hostname": "ams1"}]


@pytest.fixture
def engine(engine_of):
    return engine_of(*device_workflows(World()), products=[DEVICE])


@pytest.fixture
def api(engine, api_of, provider):
    return api_of(engine, **login_at(provider), workflow_roles={"terminate_*": "engineer"})


@pytest.fixture
def as_(provider):
    """The headers of somebody with a role."""
    return lambda role, name="ada": bearer(provider.mint(roles=[role], preferred_username=name))


@pytest.fixture
def subscription_id(engine):
    return str(engine.of(engine.run("create_device", INPUTS)).subscription_id)


def test_a_workflow_is_started_by_whoever_has_its_role(api, as_, subscription_id):
    path, pages = "/processes/terminate_device", [{"subscription_id": subscription_id}]
    refused = api.post(path, json=pages, headers=as_("operator"))
    assert (refused.status_code, refused.json()["reason"]) == (403, "subscription.insufficient_workflow_permissions")
    assert refused.json()["detail"] == "ada may not start terminate_device: that needs the role engineer."
    assert api.post(path, json=pages, headers=as_("engineer")).status_code == 201


def test_a_workflow_is_scheduled_by_whoever_has_its_role(engine_of, api_of, provider, as_):
    api = api_of(engine_of(*toy_tasks(Outside())), **login_at(provider), workflow_roles={"look_*": "admin"})
    ask = {"workflow_name": "look_around", "trigger": "interval", "trigger_kwargs": {"hours": 4}}
    refused = api.post("/schedules/", json=ask, headers=as_("engineer"))
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "ada may not start look_around: that needs the role admin.",
    )
    made = api.post("/schedules/", json=ask, headers=as_("admin"))
    known = {"schedule_id": made.json()["schedule_id"]}
    for method, more in (("PUT", {"scheduled_type": "update", "name": "x"}), ("DELETE", {"scheduled_type": "delete"})):
        assert api.request(method, "/schedules/", json=known | more, headers=as_("engineer")).status_code == 403


def test_what_may_start_on_a_subscription_says_who_may_not(api, as_, subscription_id):
    def reasons(role):
        startable = api.get(f"/subscriptions/workflows/{subscription_id}", headers=as_(role)).json()
        return {one["name"]: one.get("reason") for one in startable["terminate"] + startable["modify"]}

    of_engineer, of_operator = reasons("engineer"), reasons("operator")
    assert of_engineer["terminate_device"] is None
    assert of_operator == {**of_engineer, "terminate_device": "subscription.insufficient_workflow_permissions"}


def test_a_process_is_aborted_by_whoever_has_the_role_of_its_workflow(api, as_, engine, subscription_id):
    process_id = engine.service.starts.start("terminate_device", [{"subscription_id": subscription_id}], user="tester")
    path = f"/processes/{process_id}/abort"
    assert api.put(path, headers=as_("operator")).status_code == 403
    assert api.put(path, headers=as_("engineer")).status_code == 204


@pytest.mark.parametrize(
    ("answer", "pattern"), [("push_intent", "reconcile_*"), ("accept_reality", "modify_*"), ("push_intent", "*_device")]
)
def test_drift_is_answered_by_whoever_has_the_role_of_the_workflow(
    engine, api_of, provider, as_, subscription_id, answer, pattern
):
    api = api_of(engine, **login_at(provider), workflow_roles={pattern: "engineer"})
    write_result(engine.database, subscription_id)
    path, body = f"/subscriptions/{subscription_id}/{answer}", {"reason": "Ticket 7."}
    assert api.post(path, json=body, headers=as_("viewer")).status_code == 403
    refused = api.post(path, json=body, headers=as_("operator"))
    assert (refused.status_code, refused.json()["reason"]) == (403, "subscription.insufficient_workflow_permissions")
    assert api.get(f"/subscriptions/{subscription_id}/validation", headers=as_("viewer")).status_code == 200
    answered = api.post(path, json=body, headers=as_("engineer"))
    assert answered.status_code == 201
    assert api.get(f"/processes/{answered.json()['id']}", headers=as_("viewer")).json()["created_by"] == "ada"


def test_nobody_starts_in_anothers_name(api, as_):
    answer = api.post("/processes/create_device?reporter=grace", json=INPUTS, headers=as_("operator"))
    process = api.get(f"/processes/{answer.json()['id']}", headers=as_("viewer")).json()
    assert process["created_by"] == "ada"
