"""What may be started on a subscription, over REST: and if not, why."""

from orchestrator_defs.api.security import middleware
from resources.users import Role, User
from tests.test_orchestrator_defs.test_api.test_rest.test_subscriptions.network import change


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
